//! The leader's care for the members: what is found changed is written down, a lost disk loses its vote, a
//! learner that has caught up gets one, and what all members know is put to use.
//!
//! Every step is one entry of the log, or the two of a change of voters, and made on the membership that it was
//! planned for. What isn't done, a later look finds again; also the next leader's.

mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::Precondition;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::change::COMMIT_TIMEOUT;
use super::member::MemberNode;
use super::peer::REACHABLE_WITHIN;
use super::quorum::has_quorum;
use crate::node::Participant;
use crate::types::StoredMembership;
use plan::{Step, View, next_step};

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// A step that keeps failing is told no more often.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// Looks after the members, while this node leads. Ends when it is dropped.
pub(crate) async fn run(participant: Arc<Participant>) {
    let mut steward = Steward { participant, previous_log_index: u64::MAX, complained_at: None };
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        steward.participant.judge_candidacy();
        steward.look().await;
    }
}

struct Steward {
    participant: Arc<Participant>,
    /// The last entry at the last look.
    previous_log_index: u64,
    complained_at: Option<Instant>,
}

impl Steward {
    async fn look(&mut self) {
        let last_log_index = self.last_log_index();
        let previous = std::mem::replace(&mut self.previous_log_index, last_log_index);
        if !self.participant.is_leader() {
            return;
        }
        let roster = Arc::clone(&self.participant.roster);
        // Whoever has the turn changes the members; there will be another look.
        let Ok(_turn) = roster.turn.try_lock() else { return };
        let Some(membership) = self.settled_membership() else { return };
        let Some(step) = self.plan(&membership, last_log_index, previous) else { return };
        let done = timeout(COMMIT_TIMEOUT, self.take(&step, &membership)).await;
        match done.unwrap_or_else(|_| Err("not committed in time".to_owned())) {
            Ok(()) => tracing::info!(?step, "looked after the members"),
            Err(reason) => self.complain(&step, &reason),
        }
    }

    fn last_log_index(&self) -> u64 {
        self.participant.raft.data_metrics().borrow_watched().last_log.map_or(0, |last| last.index)
    }

    /// The membership, if it is committed and its quorum is there: else a change could only be begun.
    fn settled_membership(&self) -> Option<Arc<StoredMembership>> {
        let metrics = self.participant.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let membership = Arc::clone(&metrics.membership_config);
        let committed = metrics.committed_membership_config.log_id() == membership.log_id();
        let present = self.participant.roster.present(REACHABLE_WITHIN);
        (committed && has_quorum(membership.membership(), &present)).then_some(membership)
    }

    fn plan(&self, membership: &StoredMembership, last_log_index: u64, previous: u64) -> Option<Step> {
        let roster = &self.participant.roster;
        next_step(&View {
            node_id: roster.node_id,
            boot: roster.boot,
            address: &roster.address,
            feature_level: roster.feature_level,
            cluster_level: self.participant.feature_level_in_use(),
            membership,
            configured: &roster.configured,
            sightings: &roster.sightings(),
            last_log_index,
            previous_log_index: previous,
        })
    }

    async fn take(&self, step: &Step, membership: &StoredMembership) -> Result<(), String> {
        let change = match step.clone() {
            Step::FinishChange => ChangeMembers::AddVoterIds(BTreeSet::new()),
            Step::AddUnreached(nodes) => ChangeMembers::AddNodes(nodes),
            Step::Record { node_id, member } => set_node(node_id, member),
            Step::Demote { node_id } => ChangeMembers::RemoveVoters(BTreeSet::from([node_id])),
            Step::Readmit { node_id, member } => {
                self.expect_less_of(node_id).await?;
                set_node(node_id, member)
            }
            Step::Promote { node_id } => ChangeMembers::AddVoterIds(BTreeSet::from([node_id])),
            Step::RaiseFeatureLevel(level) => {
                let raised = self.participant.raise_feature_level(level).await;
                return raised.map_err(|error| error.to_string());
            }
        };
        let planned_for = Precondition::LastMembershipLogId { last_membership_log_id: *membership.log_id() };
        let changed = self.participant.raft.change_membership_if(change, true, [planned_for]).await;
        changed.map(drop).map_err(|error| error.to_string())
    }

    /// Consensus holds a member to what it acknowledged, and takes one that lacks it for a fault of its own;
    /// it is told before the node is first called on its new disk.
    async fn expect_less_of(&self, node_id: u64) -> Result<(), String> {
        let allowed = self.participant.raft.trigger().allow_next_revert(&node_id, true).await;
        allowed.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    fn complain(&mut self, step: &Step, reason: &str) {
        let lately = |at: Instant| at.elapsed() < COMPLAINT_INTERVAL;
        if !self.complained_at.is_some_and(lately) {
            self.complained_at = Some(Instant::now());
            tracing::warn!(?step, reason, "the members could not be looked after; trying again");
        }
    }
}

fn set_node(node_id: u64, member: MemberNode) -> ChangeMembers<u64, MemberNode> {
    ChangeMembers::SetNodes(BTreeMap::from([(node_id, member)]))
}
