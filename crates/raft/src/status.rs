//! Where a node stands: for operators, and for work that follows the leader.

use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cluster::member::MemberNode;
use crate::cluster::quorum::is_voter;
use crate::fault::Fault;
use crate::node::Raft;
use crate::state::StateHandle;

/// Who leads, as far as this node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leadership {
    /// This node.
    pub node_id: u64,
    /// The latest term it has seen.
    pub term: u64,
    /// The leader of that term, once it is known.
    pub leader: Option<u64>,
}

impl Leadership {
    /// Whether this node leads.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.leader == Some(self.node_id)
    }
}

/// What a node does in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Follows the log without a vote.
    Learner,
    /// Follows a leader, or waits for one.
    Follower,
    /// Stands for election.
    Candidate,
    /// Leads.
    Leader,
    /// Has stopped.
    Stopped,
}

/// A member of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub node_id: u64,
    /// `host:port` of its Raft listener; empty where it has none.
    pub address: String,
    /// Whether it votes.
    pub voter: bool,
}

/// Where a node stands. Indices are absent where there is no such entry yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// This node.
    pub node_id: u64,
    /// The latest term it has seen.
    pub term: u64,
    /// What it does.
    pub role: Role,
    /// The leader, if it knows one.
    pub leader: Option<u64>,
    /// The last entry in its log.
    pub last_log_index: Option<u64>,
    /// The last entry it knows to be on a quorum.
    pub committed_index: Option<u64>,
    /// The last entry whose effect its views show.
    pub applied_index: Option<u64>,
    /// The last entry whose effect is durable in its state file; the log holds the rest.
    pub durable_index: Option<u64>,
    /// The last entry that its snapshot covers.
    pub snapshot_index: Option<u64>,
    /// The last entry that is gone from its log.
    pub purged_index: Option<u64>,
    /// All members, in the order of their ids.
    pub members: Vec<Member>,
    /// Why it has halted, if it has.
    pub fault: Option<String>,
}

impl NodeStatus {
    pub(crate) fn gather(raft: &Raft, state: &StateHandle, fault: Option<&Fault>) -> NodeStatus {
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let member = |(id, node): (&u64, &MemberNode)| Member {
            node_id: *id,
            address: node.address.clone(),
            voter: is_voter(membership, *id),
        };
        NodeStatus {
            node_id: metrics.id,
            term: metrics.current_term,
            role: metrics.state.into(),
            leader: metrics.current_leader,
            last_log_index: metrics.last_log_index,
            committed_index: metrics.local_committed.map(|id| id.index),
            applied_index: state.view().applied_index(),
            durable_index: state.durable_index(),
            snapshot_index: metrics.snapshot.map(|id| id.index),
            purged_index: metrics.purged.map(|id| id.index),
            members: membership.nodes().map(member).collect(),
            fault: fault.map(Fault::to_string),
        }
    }
}

impl From<ServerState> for Role {
    fn from(state: ServerState) -> Role {
        match state {
            ServerState::Learner => Role::Learner,
            ServerState::Follower => Role::Follower,
            ServerState::Candidate => Role::Candidate,
            ServerState::Leader => Role::Leader,
            ServerState::Shutdown => Role::Stopped,
        }
    }
}

/// Waits until consensus ends, by whatever it ends, and says why.
pub(crate) async fn end_of_consensus(raft: &Raft) -> String {
    let mut metrics = raft.metrics();
    loop {
        if let Err(fatal) = &metrics.borrow_and_update().running_state {
            return fatal.to_string();
        }
        // Without a last word: its task is gone.
        if metrics.changed().await.is_err() {
            return "panicked".to_owned();
        }
    }
}

/// Keeps a watch of the leadership in step with consensus; it closes when consensus ends.
pub(crate) fn follow_leadership(raft: &Raft, tasks: &mut JoinSet<()>) -> watch::Receiver<Leadership> {
    let mut metrics = raft.server_metrics();
    let now = |metrics: &openraft::metrics::RaftServerMetrics<crate::types::TypeConfig>| Leadership {
        node_id: metrics.id,
        term: metrics.vote.leader_id.term,
        leader: metrics.current_leader,
    };
    let (leadership, seen) = watch::channel(now(&metrics.borrow_watched()));
    tasks.spawn(async move {
        while metrics.changed().await.is_ok() {
            let current = now(&metrics.borrow_and_update());
            leadership.send_if_modified(|known| std::mem::replace(known, current) != current);
        }
    });
    seen
}
