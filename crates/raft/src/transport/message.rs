//! What nodes say to each other, apart from its bytes.

use bytes::Bytes;
use hyperion_vault_core::state::Origin;
use hyperion_vault_core::time::Timestamp;

use crate::cluster::identity::{Boot, Lineage};
use crate::status::Role;
use crate::types::{LogId, Vote};

/// Who calls whom: stands before every call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The line of history that the caller belongs to, if any.
    pub(crate) lineage: Option<Lineage>,
    pub(crate) from: u64,
    pub(crate) boot: Boot,
    pub(crate) to: u64,
    /// The start of the callee that is meant; absent in a beat, by which it is learned.
    pub(crate) to_boot: Option<Boot>,
}

/// Why a node doesn't take a call at all. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejection {
    #[error("the certificate is not that of node {claimed}")]
    Certificate { claimed: u64 },
    #[error("this is node {here}, not node {meant}")]
    OtherNode { here: u64, meant: u64 },
    /// The callee was started again, perhaps on another disk: it must be looked at again.
    #[error("the call means another start of this node")]
    OtherBoot,
    #[error("this node belongs to another cluster, or to this one before it was recovered")]
    OtherLineage,
    #[error("node {0} is not a member")]
    NotAMember(u64),
    #[error("node {0} is not on the disk that the cluster knows")]
    OtherDisk(u64),
    /// It can't be read, or is larger than any that is sent.
    #[error("malformed call: {0}")]
    Malformed(&'static str),
    #[error("this node has halted")]
    Halted,
}

/// Where a node stands: asked by every other several times a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BeatAnswer {
    pub(crate) node_id: u64,
    pub(crate) boot: Boot,
    pub(crate) lineage: Option<Lineage>,
    /// Its own wall clock.
    pub(crate) clock: Timestamp,
    pub(crate) role: Role,
    pub(crate) leader: Option<u64>,
    pub(crate) vote: Vote,
    pub(crate) last_log_id: Option<LogId>,
    pub(crate) applied_index: Option<u64>,
    /// The highest level of commands that it can apply.
    pub(crate) feature_level: u32,
    /// The build's version, for people; at most [`VERSION_BYTES_MAX`].
    pub(crate) version: String,
}

/// Longest version that a beat carries.
pub(crate) const VERSION_BYTES_MAX: usize = 64;

/// A command on its way to the leader, which stamps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// Encoded [`hyperion_vault_core::state::Command`].
    pub(crate) command: Bytes,
    pub(crate) origin: Origin,
}

/// What became of a call that only the leader can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LeaderAnswer<T> {
    Done(T),
    /// The callee doesn't lead; it may know who does. Nothing was done.
    NotLeader { leader: Option<u64> },
    /// The leader can't do it now; whether it was or will be done is not known.
    Unavailable(String),
    /// The leader won't do it, and says why.
    Refused(String),
}

/// A change of the members that a node asks the leader for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MemberChange {
    /// A new member, as a learner.
    Add { node_id: u64, address: String },
    /// Makes a learner a voter.
    Promote { node_id: u64 },
    Remove { node_id: u64, force: bool },
    /// The leader hands over, to this node or to the one that is furthest.
    StepDown { to: Option<u64> },
}
