//! Changes of the members that somebody asked for, made by the leader one at a time.

use std::collections::BTreeSet;
use std::time::Duration;

use hyperion_vault_core::state::FIRST_FEATURE_LEVEL;
use minicbor::{Decode, Encode};
use openraft::ChangeMembers;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use tokio::sync::MutexGuard;
use tokio::time::{sleep, timeout};

use super::member::MemberNode;
use super::peer::{REACHABLE_WITHIN, Sighting};
use super::quorum::{check_removal, is_voter};
use crate::node::Participant;
use crate::transport::message::{LeaderAnswer, MemberChange};

/// A change waits so long for the one before it.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);
/// A change is committed within this, or it isn't known whether it will be.
pub(super) const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// A node that is to be added answers within this.
const REACH_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a learner may take to catch up before whoever asked for its promotion is told to look later.
const PROMOTE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the one that the leader hands over to has to be elected.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two looks at what is being waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(25);

/// Why the members were not changed. Travels between nodes: an index is never used for something else.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum MembershipError {
    /// Nobody leads, or nobody knows who.
    #[n(0)]
    #[error("no leader")]
    NoLeader,
    /// The answer was lost, or the change wasn't committed in time.
    #[n(1)]
    #[error("not confirmed in time; whether it was or will be done is not known")]
    Unconfirmed,
    /// The node to add is one.
    #[n(2)]
    #[error("node {0} is a member already")]
    AlreadyMember(#[n(0)] u64),
    /// There is no such member.
    #[n(3)]
    #[error("node {0} is not a member")]
    NotAMember(#[n(0)] u64),
    /// The leadership can't go to one that doesn't vote.
    #[n(4)]
    #[error("node {0} is not a voter")]
    NotAVoter(#[n(0)] u64),
    /// No node of this id, of this cluster's identity, answers at the address.
    #[n(5)]
    #[error("node {node_id} doesn't answer at {address}")]
    Unreachable {
        /// The node.
        #[n(0)]
        node_id: u64,
        /// Where it was looked for.
        #[n(1)]
        address: String,
    },
    /// It has the data of another cluster, or of this one before it was recovered.
    #[n(6)]
    #[error("node {0} belongs to another cluster: start it with an empty data directory")]
    OtherCluster(#[n(0)] u64),
    /// Its build can't apply the cluster's commands.
    #[n(7)]
    #[error(
        "node {node_id} knows feature level {level} at most and the cluster is at {needed}: upgrade it first"
    )]
    FeatureLevelTooLow {
        /// The node.
        #[n(0)]
        node_id: u64,
        /// What it knows.
        #[n(1)]
        level: u32,
        /// What the cluster uses.
        #[n(2)]
        needed: u32,
    },
    /// One at a time.
    #[n(8)]
    #[error("another change of the members is under way")]
    AnotherChange,
    /// What would be left couldn't commit anything.
    #[n(9)]
    #[error("it would cost the quorum: {}", absent(.unreachable))]
    WouldLoseQuorum {
        /// The voters that would be needed and don't answer; none where no voter would be left.
        #[n(0)]
        unreachable: Vec<u64>,
    },
    /// It will be promoted as soon as it has caught up.
    #[n(10)]
    #[error("node {0} is still catching up; it will vote as soon as it has")]
    StillCatchingUp(#[n(0)] u64),
    /// Nobody could take the leadership.
    #[n(11)]
    #[error("no other voter is there to lead")]
    NoSuccessor,
    /// It wasn't elected in time.
    #[n(12)]
    #[error("node {0} has not taken the leadership over in time")]
    NotTakenOver(#[n(0)] u64),
}

fn absent(unreachable: &[u64]) -> String {
    if unreachable.is_empty() {
        return "too few voters would be left".to_owned();
    }
    format!("{} can't be reached", super::formation::nodes(&unreachable.iter().copied().collect()))
}

/// Why a change can't be answered with what became of it.
enum Stopped {
    Refused(MembershipError),
    /// This node doesn't lead, or no longer; the next leader is to be asked.
    Elsewhere,
}

impl From<MembershipError> for Stopped {
    fn from(error: MembershipError) -> Stopped {
        Stopped::Refused(error)
    }
}

type Changed = Result<(), Stopped>;

impl Participant {
    /// Makes a change of the members, if this node leads.
    pub(crate) async fn change_members_here(
        &self,
        change: MemberChange,
    ) -> LeaderAnswer<Result<(), MembershipError>> {
        let changed = if self.is_leader() { self.change(change).await } else { Err(Stopped::Elsewhere) };
        match changed {
            Ok(()) => LeaderAnswer::Done(Ok(())),
            Err(Stopped::Refused(error)) => LeaderAnswer::Done(Err(error)),
            Err(Stopped::Elsewhere) => LeaderAnswer::NotLeader { leader: self.other_leader() },
        }
    }

    fn other_leader(&self) -> Option<u64> {
        self.leadership.borrow().leader.filter(|leader| *leader != self.node_id())
    }

    async fn change(&self, change: MemberChange) -> Changed {
        match change {
            MemberChange::Add { node_id, address } => self.add(node_id, address).await,
            MemberChange::Promote { node_id } => self.promote(node_id).await,
            MemberChange::Remove { node_id, force } => self.remove(node_id, force).await,
            MemberChange::StepDown { to } => self.step_down(to).await,
        }
    }

    /// Adds a node as a learner that stays one until it is promoted.
    async fn add(&self, node_id: u64, address: String) -> Changed {
        let _turn = self.turn().await?;
        if self.member(node_id).is_some() || node_id == self.node_id() {
            return Err(MembershipError::AlreadyMember(node_id).into());
        }
        let _invitation = self.roster.invite(node_id, address.clone());
        let unreachable = MembershipError::Unreachable { node_id, address: address.clone() };
        let seen = timeout(REACH_TIMEOUT, self.seen(node_id)).await.map_err(|_| unreachable)?;
        if seen.answer.lineage.is_some_and(|lineage| Some(lineage) != self.lineage.current()) {
            return Err(MembershipError::OtherCluster(node_id).into());
        }
        let (level, needed) = (seen.answer.feature_level, self.feature_level_in_use());
        if level < needed {
            return Err(MembershipError::FeatureLevelTooLow { node_id, level, needed }.into());
        }
        let member = MemberNode { address, boot: Some(seen.answer.boot), votes: false };
        self.commit(ChangeMembers::AddNodes([(node_id, member)].into()), true).await
    }

    /// Marks a learner as one that is to vote, and waits until the steward has found it caught up.
    async fn promote(&self, node_id: u64) -> Changed {
        let member = self.member(node_id).ok_or(MembershipError::NotAMember(node_id))?;
        if !member.votes {
            let _turn = self.turn().await?;
            let member = MemberNode { votes: true, ..member };
            self.commit(ChangeMembers::SetNodes([(node_id, member)].into()), true).await?;
        }
        let promoted = async {
            while self.is_leader() && !self.is_voter(node_id) {
                sleep(LOOK_INTERVAL).await;
            }
        };
        match timeout(PROMOTE_TIMEOUT, promoted).await {
            Ok(()) if self.is_voter(node_id) => Ok(()),
            Ok(()) => Err(Stopped::Elsewhere),
            Err(_) => Err(MembershipError::StillCatchingUp(node_id).into()),
        }
    }

    /// Removes a member. A leader that is to be removed hands over, and the next one removes it.
    async fn remove(&self, node_id: u64, force: bool) -> Changed {
        let member = self.member(node_id).ok_or(MembershipError::NotAMember(node_id))?;
        tracing::info!(node_id, address = member.address, force, "removing a member");
        if self.is_voter(node_id) {
            self.check_removal(node_id, force)?;
        }
        if node_id == self.node_id() {
            self.step_down(None).await?;
            return Err(Stopped::Elsewhere);
        }
        let _turn = self.turn().await?;
        let removed = BTreeSet::from([node_id]);
        if self.is_voter(node_id) {
            // First, so that it isn't promoted anew should the change end half-way.
            let member = MemberNode { votes: false, ..member };
            self.commit(ChangeMembers::SetNodes([(node_id, member)].into()), true).await?;
            return self.commit(ChangeMembers::RemoveVoters(removed), false).await;
        }
        self.commit(ChangeMembers::RemoveNodes(removed), false).await
    }

    fn check_removal(&self, node_id: u64, force: bool) -> Result<(), MembershipError> {
        let membership = self.roster.membership();
        let voters: BTreeSet<u64> = membership.membership().voter_ids().collect();
        let present = self.roster.present(REACHABLE_WITHIN);
        match check_removal(&voters, node_id, &present) {
            Err(unreachable) if !force || voters.len() == 1 => {
                Err(MembershipError::WouldLoseQuorum { unreachable: unreachable.into_iter().collect() })
            }
            _ => Ok(()),
        }
    }

    /// Hands the leadership over, and returns once another node leads.
    async fn step_down(&self, to: Option<u64>) -> Changed {
        let successor = match to {
            Some(to) if to == self.node_id() => return Ok(()),
            Some(to) => self.successor(to)?,
            None => self.furthest_voter().ok_or(MembershipError::NoSuccessor)?,
        };
        // Not while a change of the members is under way, which would be lost half-way.
        let _turn = self.turn().await?;
        self.raft.trigger().transfer_leader(successor).await.map_err(|_| Stopped::Elsewhere)?;
        let mut leadership = self.leadership();
        let another = |leader: Option<u64>| leader.is_some_and(|leader| leader != self.node_id());
        let taken_over = leadership.wait_for(|now| another(now.leader));
        match timeout(HAND_OVER_TIMEOUT, taken_over).await {
            Ok(_) => Ok(()),
            Err(_) => Err(MembershipError::NotTakenOver(successor).into()),
        }
    }

    fn successor(&self, to: u64) -> Result<u64, MembershipError> {
        let member = self.member(to).ok_or(MembershipError::NotAMember(to))?;
        if !self.is_voter(to) {
            return Err(MembershipError::NotAVoter(to));
        }
        let there = self.roster.present(REACHABLE_WITHIN).contains(&to);
        let unreachable = MembershipError::Unreachable { node_id: to, address: member.address };
        if there { Ok(to) } else { Err(unreachable) }
    }

    /// Of the voters that are there, the one that has most of the log.
    fn furthest_voter(&self) -> Option<u64> {
        let sightings = self.roster.sightings();
        let voters = sightings.iter().filter(|(id, seen)| self.is_voter(**id) && seen.verdict.is_verified());
        voters
            .max_by_key(|(_, seen)| seen.acknowledged_index.max(seen.answer.applied_index))
            .map(|(id, _)| *id)
    }

    async fn turn(&self) -> Result<MutexGuard<'_, ()>, MembershipError> {
        timeout(TURN_TIMEOUT, self.roster.turn.lock()).await.map_err(|_| MembershipError::AnotherChange)
    }

    /// Waits until a node answers under this id.
    async fn seen(&self, node_id: u64) -> Sighting {
        let mut changes = self.roster.changes();
        loop {
            if let Some(sighting) = self.roster.sightings().remove(&node_id) {
                return sighting;
            }
            // The roster, which this node holds, is what sends the changes.
            let _ = changes.changed().await;
        }
    }

    async fn commit(&self, change: ChangeMembers<u64, MemberNode>, retain: bool) -> Changed {
        let committed = timeout(COMMIT_TIMEOUT, self.raft.change_membership(change, retain)).await;
        let error = match committed {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => return Err(MembershipError::Unconfirmed.into()),
        };
        tracing::warn!(%error, "the members were not changed");
        Err(match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => Stopped::Elsewhere,
            RaftError::APIError(ClientWriteError::ChangeMembershipError(
                ChangeMembershipError::InProgress(_),
            )) => MembershipError::AnotherChange.into(),
            RaftError::APIError(_) | RaftError::Fatal(_) => MembershipError::Unconfirmed.into(),
        })
    }

    fn member(&self, node_id: u64) -> Option<MemberNode> {
        self.roster.membership().membership().get_node(&node_id).cloned()
    }

    fn is_voter(&self, node_id: u64) -> bool {
        is_voter(self.roster.membership().membership(), node_id)
    }

    /// Of the cluster; the first where the state can't say, which halts the node elsewhere.
    pub(super) fn feature_level_in_use(&self) -> u32 {
        self.cluster_level().unwrap_or(FIRST_FEATURE_LEVEL)
    }
}
