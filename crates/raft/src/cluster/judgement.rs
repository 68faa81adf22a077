//! Whether a peer that answers is the one that the cluster knows.
//!
//! A member that lost its disk, or was given an older copy of it, forgot what it had acknowledged: counted as the
//! member it was, it could help to elect a leader that lacks acknowledged entries.

use super::identity::{Boot, Lineage};
use super::member::MemberNode;
use crate::transport::message::BeatAnswer;
use crate::types::{LogId, Vote};

/// What a peer is to this node, by its last answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The very start that the membership names.
    Same,
    /// The same disk, started again since.
    Restarted,
    /// A member's id on a disk that lacks what the member had.
    Lost(Loss),
    /// Not a member, or one that was never reached before; fresh, or of this node's line of history.
    Stranger,
    /// It belongs to another line of history, or this node belongs to none.
    OtherCluster,
}

impl Verdict {
    /// Whether it may be called, and counted on.
    pub(crate) fn is_verified(self) -> bool {
        matches!(self, Verdict::Same | Verdict::Restarted)
    }
}

/// What became of a member's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It is another one.
    Wiped,
    /// It is an older copy.
    RolledBack,
}

/// What this node remembers of a peer's earlier starts, while it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PeerMemory {
    /// The last start that was verified.
    pub(crate) boot: Option<Boot>,
    /// The highest entry that it acknowledged to this node: durable on its disk.
    pub(crate) acknowledged: Option<LogId>,
    /// Its highest vote: durable as well.
    pub(crate) vote: Option<Vote>,
}

impl PeerMemory {
    /// Takes in an answer that was judged.
    pub(crate) fn follow(&mut self, verdict: Verdict, answer: &BeatAnswer) {
        match verdict {
            // Let in by the cluster, as it is: what an earlier start had is no longer expected of it.
            Verdict::Same if self.boot != Some(answer.boot) => {
                *self = PeerMemory { boot: Some(answer.boot), acknowledged: None, vote: Some(answer.vote) };
            }
            Verdict::Same | Verdict::Restarted => {
                self.boot = Some(answer.boot);
                self.voted(&answer.boot, answer.vote);
            }
            Verdict::Lost(_) | Verdict::Stranger | Verdict::OtherCluster => {}
        }
    }

    /// What this start of the peer said to have on its disk.
    pub(crate) fn acknowledged(&mut self, boot: &Boot, log_id: Option<LogId>) {
        if self.boot == Some(*boot) {
            self.acknowledged = self.acknowledged.max(log_id);
        }
    }

    pub(crate) fn voted(&mut self, boot: &Boot, vote: Vote) {
        if self.boot == Some(*boot) && self.vote.is_none_or(|known| known < vote) {
            self.vote = Some(vote);
        }
    }

    /// Whether another start, with this answer, lacks what the remembered one had.
    fn exceeds(&self, answer: &BeatAnswer) -> bool {
        let Some(boot) = self.boot.filter(|boot| *boot != answer.boot) else { return false };
        // Whether a quorum granted the vote, a node may forget.
        let forgot_vote = self.vote.is_some_and(|vote| answer.vote.leader_id < vote.leader_id);
        !boot.continues_as(&answer.boot) || answer.last_log_id < self.acknowledged || forgot_vote
    }
}

/// Judges `answer` by what the membership says of the peer (`record`) and what this node remembers of it.
pub(crate) fn judge(
    record: Option<&MemberNode>,
    memory: &PeerMemory,
    own_lineage: Option<Lineage>,
    answer: &BeatAnswer,
) -> Verdict {
    let foreign = answer.lineage.is_some() && answer.lineage != own_lineage;
    if own_lineage.is_none() || foreign {
        return Verdict::OtherCluster;
    }
    match record.and_then(|member| member.boot) {
        None => Verdict::Stranger,
        Some(known) if known == answer.boot => Verdict::Same,
        Some(known) if known.disk_id != answer.boot.disk_id => Verdict::Lost(Loss::Wiped),
        Some(known) if !known.continues_as(&answer.boot) || memory.exceeds(answer) => {
            Verdict::Lost(Loss::RolledBack)
        }
        Some(_) => Verdict::Restarted,
    }
}

#[cfg(test)]
#[path = "judgement_tests.rs"]
mod tests;
