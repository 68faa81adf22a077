//! Whose calls this node takes.
//!
//! The listener has held the certificate against the id that the caller claims. Here the caller is held against
//! the line of history, against the start of this node that it means, and against the membership.

use super::identity::{Boot, Lineage};
use crate::transport::message::{BeatAnswer, Caller, Rejection};
use crate::types::{LogId, StoredMembership};

/// What a caller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallKind {
    /// To know where this node stands.
    Beat,
    /// A vote, or to know whether it would get one.
    Vote,
    Append,
    Snapshot,
    Transfer,
    Propose,
    ReadIndex,
    Manage,
}

/// A call that is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Admission {
    /// The line of history that this node, which belongs to none, joins with this call.
    pub(crate) adopt: Option<Lineage>,
}

/// This node, as far as a call concerns it.
pub(super) struct Callee<'a> {
    pub(super) node_id: u64,
    pub(super) boot: Boot,
    pub(super) lineage: Option<Lineage>,
    pub(super) membership: &'a StoredMembership,
    /// The last entry in its log.
    pub(super) last_log_id: Option<LogId>,
}

/// What this node heard of the caller when it asked where everybody stands.
#[derive(Clone, Copy, Default)]
pub(super) struct Heard<'a> {
    /// The caller's own last answer.
    pub(super) answer: Option<&'a BeatAnswer>,
    /// Somebody that this node asks said lately that the caller leads.
    pub(super) leads: bool,
}

pub(super) fn admit(
    callee: &Callee<'_>,
    caller: &Caller,
    call: CallKind,
    heard: Heard<'_>,
) -> Result<Admission, Rejection> {
    if caller.to != callee.node_id {
        return Err(Rejection::OtherNode { here: callee.node_id, meant: caller.to });
    }
    if call == CallKind::Beat {
        return Ok(Admission { adopt: None });
    }
    if caller.to_boot != Some(callee.boot) {
        return Err(Rejection::OtherBoot);
    }
    let lineage = caller.lineage.ok_or(Rejection::OtherLineage)?;
    if callee.lineage.is_some_and(|own| own != lineage) {
        return Err(Rejection::OtherLineage);
    }
    match call {
        CallKind::Beat => {}
        CallKind::Append | CallKind::Snapshot | CallKind::Transfer => check_leader(callee, caller, heard)?,
        CallKind::Vote => check_candidate(callee, caller, heard.answer)?,
        CallKind::Propose | CallKind::ReadIndex | CallKind::Manage => check_member(callee, caller)?,
    }
    Ok(Admission { adopt: Some(lineage).filter(|_| callee.lineage.is_none()) })
}

/// Whoever can send a part of the log was elected by a quorum that looked at it, and its term says when. This node
/// may be too far behind to know on which disk it is, or that it is a member at all; then those that this node knows
/// say whether it leads.
fn check_leader(callee: &Callee<'_>, caller: &Caller, heard: Heard<'_>) -> Result<(), Rejection> {
    let knows_nobody = callee.membership.membership().nodes().next().is_none();
    if knows_nobody || heard.leads { Ok(()) } else { check_member(callee, caller) }
}

fn check_member(callee: &Callee<'_>, caller: &Caller) -> Result<(), Rejection> {
    match callee.membership.membership().get_node(&caller.from) {
        Some(_) => Ok(()),
        None => Err(Rejection::NotAMember(caller.from)),
    }
}

/// A candidate must be the member that this node knows. One that is further than this node may have been let in
/// by entries that this node lacks; whether it may be elected, the logs decide.
fn check_candidate(
    callee: &Callee<'_>,
    caller: &Caller,
    heard: Option<&BeatAnswer>,
) -> Result<(), Rejection> {
    let members = callee.membership.membership();
    if members.nodes().next().is_none() {
        return Ok(());
    }
    let refusal = match members.get_node(&caller.from) {
        None => Rejection::NotAMember(caller.from),
        Some(member) if member.boot.is_some_and(|known| known.continues_as(&caller.boot)) => return Ok(()),
        Some(_) => Rejection::OtherDisk(caller.from),
    };
    let heard = heard.filter(|answer| answer.boot == caller.boot && answer.lineage == callee.lineage);
    if heard.is_some_and(|answer| answer.last_log_id > callee.last_log_id) { Ok(()) } else { Err(refusal) }
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
