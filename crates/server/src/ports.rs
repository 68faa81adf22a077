//! What the use cases need of the world, by what it is for and not by who does it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
pub use hyperion_vault_core::ports::{Clock, Entropy};
use hyperion_vault_core::state::{Command, Outcome, Rows};

/// One consistent view of the replicated state. Holding it keeps the view, not the state, from changing.
pub type View = Arc<dyn Rows + Send + Sync>;

/// The replicated state of the cluster, as this node has it.
#[async_trait]
pub trait Consensus: Send + Sync + 'static {
    /// The state as of the latest applied command. Costs no disk access and opens no transaction.
    fn view(&self) -> View;

    /// Proposes a command and waits until a quorum has it and this node has applied it; bounded in time.
    ///
    /// # Errors
    /// [`ProposeFailure`]; after [`ProposeFailure::NoQuorum`] and [`ProposeFailure::Halted`] the command may still
    /// be applied later.
    async fn propose(&self, command: Command) -> Result<Outcome, ProposeFailure>;

    /// Waits until the view of this node shows everything that was acknowledged anywhere before the call; bounded
    /// in time.
    ///
    /// # Errors
    /// [`ProposeFailure`].
    async fn barrier(&self) -> Result<(), ProposeFailure>;

    /// Waits until this node has applied the entry at `index`; says whether it did so within `limit`.
    async fn wait_applied(&self, index: u64, limit: Duration) -> bool;

    /// The last entry that the view of this node shows; 0 before any.
    fn applied_index(&self) -> u64;

    /// Whether this node leads, and so runs the workers.
    fn is_leader(&self) -> bool;

    /// Whether this node has a state to answer from. Reads of it need no more.
    ///
    /// # Errors
    /// The reason why not, for people.
    fn standing(&self) -> Result<(), String>;

    /// Whether this node can answer for the cluster's state, and have it changed.
    ///
    /// # Errors
    /// The reason why not, for people.
    fn readiness(&self) -> Result<(), String>;
}

/// Why a command has no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProposeFailure {
    #[error("no leader")]
    NoLeader,
    #[error("no quorum in time")]
    NoQuorum,
    #[error("the change is too large for one log entry")]
    TooLarge,
    #[error("the disk is nearly full")]
    DiskFull,
    #[error("the cluster is at feature level {level}, and this change needs {needed}: upgrade all nodes")]
    NotYetSupported { needed: u32, level: u32 },
    #[error("this node has stopped taking part in the cluster")]
    Halted,
}

/// The members of the cluster, and how they are changed.
#[async_trait]
pub trait Membership: Send + Sync + 'static {
    /// The members as this node sees them.
    fn status(&self) -> ClusterStatus;

    /// Has the leader make the change, and waits for it; bounded in time.
    ///
    /// # Errors
    /// [`MembershipFailure`].
    async fn change(&self, change: MemberChange) -> Result<(), MembershipFailure>;
}

/// The cluster as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterStatus {
    /// Drawn when the cluster was formed, and anew when it was recovered from a lost majority. Absent while this
    /// node belongs to none.
    pub cluster_id: Option<String>,
    pub leader: Option<u64>,
    pub term: u64,
    /// There is a leader, and a majority of the voters was heard lately.
    pub quorum: bool,
    /// In the order of their ids.
    pub members: Vec<MemberStatus>,
}

/// One member. What is absent isn't known, because the member was not heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    pub node_id: u64,
    /// `host:port`; empty where it has none.
    pub address: String,
    pub voter: bool,
    pub role: MemberRole,
    pub term: Option<u64>,
    pub last_log_index: Option<u64>,
    pub applied_index: Option<u64>,
    /// Entries that it is behind the leader.
    pub lag: Option<u64>,
    pub last_contact: Option<Duration>,
    /// Its wall clock before (+) or behind (-) the cluster's time.
    pub clock_skew_ms: Option<i64>,
    pub feature_level: Option<u32>,
    pub version: Option<String>,
}

/// What a member was last seen to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberRole {
    Leader,
    Follower,
    Learner,
    Candidate,
    Stopped,
    Unreachable,
}

/// A change of the members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberChange {
    /// A new one, which follows without a vote.
    Add { node_id: u64, address: String },
    /// A vote for one that follows.
    Promote { node_id: u64 },
    /// `force`: also where what is left couldn't go on for now.
    Remove { node_id: u64, force: bool },
    /// Another voter leads.
    StepDown,
}

/// Why the members were not changed. Messages are for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembershipFailure {
    #[error("no such node")]
    UnknownNode,
    #[error("{0}")]
    Refused(String),
    /// It can't be tried now, or nobody knows how it ended.
    #[error("{0}")]
    Unavailable(String),
}
