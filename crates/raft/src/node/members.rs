//! Changes of the members, made by the leader whoever asks for them.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::participant::Participant;
use crate::cluster::change::MembershipError;
use crate::cluster::status::ClusterStatus;
use crate::transport::message::{LeaderAnswer, MemberChange, MembersAnswer};

/// A learner may take so long to catch up before it is made a voter, and a change of voters takes two entries.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(45);
/// Between two tries to find the leader.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// How long a change waits for a leader to be known.
const LEADER_TIMEOUT: Duration = Duration::from_secs(5);

impl Participant {
    /// See [`super::Node::change_members`].
    pub(super) async fn change_members(&self, change: MemberChange) -> Result<(), MembershipError> {
        let leader_by = Instant::now() + LEADER_TIMEOUT;
        let mut leadership = self.leadership();
        loop {
            let known = timeout_at(leader_by, leadership.wait_for(|now| now.leader.is_some())).await;
            let Ok(Ok(now)) = known.map(|known| known.map(|now| *now)) else {
                return Err(MembershipError::NoLeader);
            };
            let answer = match now.leader {
                Some(leader) if !now.is_here() => self.ask_leader(leader, change.clone()).await,
                _ => Some(self.change_members_here(change.clone()).await),
            };
            match answer {
                Some(LeaderAnswer::Done(result)) => return result,
                Some(LeaderAnswer::Unavailable(_) | LeaderAnswer::Refused(_)) => {
                    return Err(MembershipError::Unconfirmed);
                }
                Some(LeaderAnswer::NotLeader { .. }) | None => {}
            }
            if Instant::now() >= leader_by {
                return Err(MembershipError::NoLeader);
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    async fn ask_leader(&self, leader: u64, change: MemberChange) -> Option<MembersAnswer> {
        let route = self.roster.route(leader).ok()?;
        match route.connection.change_members(route.caller, change, CHANGE_TIMEOUT).await {
            Ok(answer) => Some(answer),
            Err(_) => Some(LeaderAnswer::Unavailable(String::new())),
        }
    }

    /// See [`super::Node::hand_over`].
    pub(super) async fn hand_over(&self, within: Duration) {
        if !self.is_leader() {
            return;
        }
        match timeout(within, self.change_members_here(MemberChange::StepDown { to: None })).await {
            Ok(LeaderAnswer::Done(Ok(()))) => tracing::info!("handed the leadership over"),
            Ok(answer) => tracing::warn!(?answer, "the leadership could not be handed over"),
            Err(_) => tracing::warn!("nobody took the leadership over in time"),
        }
    }

    pub(super) fn cluster_status(&self) -> ClusterStatus {
        self.roster.cluster_status(self.lineage.current(), *self.leadership.borrow(), &self.raft, &self.state)
    }
}
