//! What the members need done next, as a function of what the leader sees.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::identity::Boot;
use crate::cluster::judgement::Verdict;
use crate::cluster::member::MemberNode;
use crate::cluster::peer::Sighting;
use crate::cluster::quorum::is_voter;
use crate::types::{Membership, StoredMembership};

/// A learner this close behind the leader's log, in entries, may vote: what it lacks, it is sent at once.
const PROMOTE_LAG_MAX: u64 = 64;

/// A loss is acted upon when so many answers in a row have shown it.
const LOSS_ANSWERS: u32 = 2;

/// What the leader sees of the cluster.
pub(super) struct View<'a> {
    pub(super) node_id: u64,
    pub(super) boot: Boot,
    /// `host:port` of its listener; empty where it has none.
    pub(super) address: &'a str,
    /// Of the build.
    pub(super) feature_level: u32,
    pub(super) cluster_level: u32,
    pub(super) membership: &'a StoredMembership,
    /// The nodes that were to form the cluster together.
    pub(super) configured: &'a BTreeMap<u64, String>,
    /// The peers that answer now.
    pub(super) sightings: &'a BTreeMap<u64, Sighting>,
    /// The leader's last entry, now and when it last looked.
    pub(super) last_log_index: u64,
    pub(super) previous_log_index: u64,
}

/// One change, small enough to be safe by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Ends a change of voters that another leader began.
    FinishChange,
    /// Adds, as learners, the founders that weren't reached when the cluster was formed.
    AddUnreached(BTreeMap<u64, MemberNode>),
    /// Brings a member's record up to date.
    Record { node_id: u64, member: MemberNode },
    /// Takes the vote from a member that lost its disk. Only then may its new disk be let in.
    Demote { node_id: u64 },
    /// Lets a member that lost its disk in again: what it had acknowledged no longer counts.
    Readmit { node_id: u64, member: MemberNode },
    /// Gives a vote to a learner that has caught up.
    Promote { node_id: u64 },
    /// Lets the cluster use what every member knows.
    RaiseFeatureLevel(u32),
}

/// The most urgent step, if anything is to be done.
pub(super) fn next_step(view: &View<'_>) -> Option<Step> {
    let members = view.membership.membership();
    if members.get_joint_config().len() > 1 {
        return Some(Step::FinishChange);
    }
    let peers = || members.nodes().filter(|(id, _)| **id != view.node_id);
    view.unreached()
        .or_else(|| view.own_record())
        .or_else(|| peers().find_map(|(id, member)| view.record_of(*id, member)))
        .or_else(|| peers().find_map(|(id, member)| view.promotion(*id, member)))
        .or_else(|| view.feature_level())
}

impl View<'_> {
    fn members(&self) -> &Membership {
        self.membership.membership()
    }

    fn is_voter(&self, id: u64) -> bool {
        is_voter(self.members(), id)
    }

    /// A membership that was never changed is the founders', of whom none was removed. A node that formed a
    /// cluster by itself didn't mean to form it with others.
    fn unreached(&self) -> Option<Step> {
        let as_formed = self.membership.log_id().is_some_and(|id| id.index == 0);
        if !as_formed || self.members().voter_ids().count() < 2 {
            return None;
        }
        let missing = self.configured.iter().filter(|(id, _)| self.members().get_node(id).is_none());
        let learner = |address: &String| MemberNode { address: address.clone(), boot: None, votes: true };
        let missing: BTreeMap<u64, MemberNode> = missing.map(|(id, at)| (*id, learner(at))).collect();
        (!missing.is_empty()).then_some(Step::AddUnreached(missing))
    }

    fn own_record(&self) -> Option<Step> {
        let known = self.members().get_node(&self.node_id)?;
        let address = if self.address.is_empty() { known.address.as_str() } else { self.address };
        let own = MemberNode { address: address.to_owned(), boot: Some(self.boot), votes: known.votes };
        (own != *known).then_some(Step::Record { node_id: self.node_id, member: own })
    }

    fn record_of(&self, node_id: u64, member: &MemberNode) -> Option<Step> {
        let sighting = self.sightings.get(&node_id)?;
        let seen = MemberNode { boot: Some(sighting.answer.boot), ..member.clone() };
        match sighting.verdict {
            Verdict::Same | Verdict::OtherCluster => None,
            Verdict::Restarted | Verdict::Stranger => Some(Step::Record { node_id, member: seen }),
            Verdict::Lost(_) if sighting.alike < LOSS_ANSWERS => None,
            Verdict::Lost(_) if self.is_voter(node_id) => Some(Step::Demote { node_id }),
            Verdict::Lost(_) => Some(Step::Readmit { node_id, member: seen }),
        }
    }

    fn promotion(&self, node_id: u64, member: &MemberNode) -> Option<Step> {
        if !member.votes || self.is_voter(node_id) {
            return None;
        }
        let sighting = self.sightings.get(&node_id).filter(|seen| seen.verdict == Verdict::Same)?;
        let acknowledged = sighting.acknowledged_index?;
        let caught_up = self.last_log_index.saturating_sub(acknowledged) <= PROMOTE_LAG_MAX
            || acknowledged >= self.previous_log_index;
        caught_up.then_some(Step::Promote { node_id })
    }

    /// What all members know, if it is more than the cluster uses. Who doesn't answer may know less when it does.
    fn feature_level(&self) -> Option<Step> {
        let level = |id: &u64| {
            if *id == self.node_id {
                return Some(self.feature_level);
            }
            self.sightings.get(id).map(|sighting| sighting.answer.feature_level)
        };
        let levels: Option<BTreeSet<u32>> = self.members().nodes().map(|(id, _)| level(id)).collect();
        let common = levels?.first().copied()?;
        (common > self.cluster_level).then_some(Step::RaiseFeatureLevel(common))
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
