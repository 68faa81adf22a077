//! The members of the Raft node's cluster behind the use cases' port.

use std::sync::Arc;

use async_trait::async_trait;
use hyperion_vault_raft::{self as raft, MembershipError, Node, Role};

use crate::ports::{ClusterStatus, MemberChange, MemberRole, MemberStatus, Membership, MembershipFailure};

/// The members as this process's node knows them.
pub struct RaftMembership(pub Arc<Node>);

#[async_trait]
impl Membership for RaftMembership {
    fn status(&self) -> ClusterStatus {
        let status = self.0.cluster();
        ClusterStatus {
            cluster_id: status.lineage.map(|lineage| lineage.to_string()),
            leader: status.leader,
            term: status.term,
            quorum: status.quorum,
            members: status.nodes.into_iter().map(member).collect(),
        }
    }

    async fn change(&self, change: MemberChange) -> Result<(), MembershipFailure> {
        self.0.change_members(asked(change)).await.map_err(failure)
    }
}

fn member(member: raft::MemberStatus) -> MemberStatus {
    MemberStatus {
        role: role(&member),
        node_id: member.node_id,
        address: member.address,
        voter: member.voter,
        term: member.term,
        last_log_index: member.last_log_index,
        applied_index: member.applied_index,
        lag: member.lag,
        last_contact: member.last_contact,
        clock_skew_ms: member.clock_skew_ms,
        feature_level: member.feature_level,
        version: member.version,
    }
}

fn role(member: &raft::MemberStatus) -> MemberRole {
    match member.role {
        _ if !member.reachable => MemberRole::Unreachable,
        Some(Role::Leader) => MemberRole::Leader,
        Some(Role::Follower) => MemberRole::Follower,
        Some(Role::Learner) => MemberRole::Learner,
        Some(Role::Candidate) => MemberRole::Candidate,
        Some(Role::Stopped) => MemberRole::Stopped,
        None => MemberRole::Unreachable,
    }
}

fn asked(change: MemberChange) -> raft::MemberChange {
    match change {
        MemberChange::Add { node_id, address } => raft::MemberChange::Add { node_id, address },
        MemberChange::Promote { node_id } => raft::MemberChange::Promote { node_id },
        MemberChange::Remove { node_id, force } => raft::MemberChange::Remove { node_id, force },
        MemberChange::StepDown => raft::MemberChange::StepDown { to: None },
    }
}

fn failure(error: MembershipError) -> MembershipFailure {
    let said = error.to_string();
    match error {
        MembershipError::NotAMember(_) => MembershipFailure::UnknownNode,
        MembershipError::NoLeader
        | MembershipError::Unconfirmed
        | MembershipError::StillCatchingUp(_)
        | MembershipError::NotTakenOver(_) => MembershipFailure::Unavailable(said),
        MembershipError::WouldLoseQuorum { unreachable } if !unreachable.is_empty() => {
            MembershipFailure::Refused(format!("{said}; ?force=true makes the change all the same"))
        }
        MembershipError::AlreadyMember(_)
        | MembershipError::NotAVoter(_)
        | MembershipError::WouldLoseQuorum { .. }
        | MembershipError::Unreachable { .. }
        | MembershipError::OtherCluster(_)
        | MembershipError::FeatureLevelTooLow { .. }
        | MembershipError::AnotherChange
        | MembershipError::NoSuccessor => MembershipFailure::Refused(said),
    }
}
