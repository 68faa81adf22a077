//! The one place where commands meet rows: delegation, the clock that never goes back, and changes that are made
//! once however often they are proposed.

use super::command::{Command, Origin, Proposal};
use super::feature_level::ORIGINS_SINCE;
use super::overlay::Overlay;
use super::rows::{Rows, RowsMut, StateFault};
use super::table::{meta, sessions};
use super::{Outcome, Refusal};
use crate::time::Timestamp;

/// Applies one committed proposal. The caller makes all of its rows durable together, or none.
///
/// # Errors
/// [`StateFault`] when the rows can't be read or written. The node must halt: its state is not known.
pub fn apply(proposal: &Proposal, rows: &mut dyn RowsMut) -> Result<Outcome, StateFault> {
    let now = proposal.stamp.max(meta::clock(rows)?);
    // Also for a repetition: the stamp tells the cluster's time, whatever comes of the command.
    meta::put_clock(rows, now)?;
    if repeats(proposal.origin, rows)? {
        return Ok(Refusal::AppliedBefore.outcome());
    }
    dispatch(&proposal.command, now, rows)
}

/// Whether a change of this origin was applied before. If not, it is noted, whatever comes of it: what was
/// refused once must not be done by a repetition that nobody waits for.
fn repeats(origin: Option<Origin>, rows: &mut dyn RowsMut) -> Result<bool, StateFault> {
    let level = meta::feature_level(rows)?;
    match origin {
        // Members of a lower level know no origins; all must do as they do until none is left.
        Some(origin) if level >= ORIGINS_SINCE => Ok(!sessions::note(rows, origin)?),
        _ => Ok(false),
    }
}

/// What `command` would come to if it were applied to these rows at `now`; nothing is changed.
///
/// # Errors
/// [`StateFault`] when the rows can't be read.
pub fn preview(command: &Command, now: Timestamp, rows: &dyn Rows) -> Result<Outcome, StateFault> {
    // Read for its faults alone: met here they fail a request, met in the log they halt the node.
    meta::feature_level(rows)?;
    let now = now.max(meta::clock(rows)?);
    dispatch(command, now, &mut Overlay::over(rows))
}

fn dispatch(command: &Command, now: Timestamp, rows: &mut dyn RowsMut) -> Result<Outcome, StateFault> {
    match command {
        Command::InitializeCluster(command) => command.apply(now, rows),
        Command::Bootstrap(command) => command.apply(now, rows),
        Command::CreateSecret(command) => command.apply(now, rows),
        Command::UpdateSecret(command) => command.apply(now, rows),
        Command::RotateSecret(command) => command.apply(now, rows),
        Command::DeleteSecret(command) => command.apply(rows),
        Command::RemoveExpired(command) => command.apply(now, rows),
        Command::CreateRole(command) => command.apply(now, rows),
        Command::SetRules(command) => command.apply(rows),
        Command::DeleteRole(command) => command.apply(rows),
        Command::IssueToken(command) => command.apply(now, rows),
        Command::RevokeToken(command) => command.apply(now, rows),
        Command::TouchTokens(command) => command.apply(now, rows),
        Command::RaiseFeatureLevel(command) => command.apply(rows),
        Command::InstallIntegrityKey(command) => command.apply(rows),
        Command::AdoptRotation(command) => command.apply(rows),
        Command::BeginRewrap(command) => command.apply(rows),
        Command::RewrapKeys(command) => command.apply(rows),
        Command::EndRewrap(command) => command.apply(now, rows),
        Command::PrepareRotation(command) => command.apply(now, rows),
        Command::BeginAttempt(command) => command.apply(now, rows),
        Command::PromoteVersion(command) => command.apply(now, rows),
        Command::FailRotation(command) => command.apply(now, rows),
        Command::HastenRotation(command) => command.apply(now, rows),
    }
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
