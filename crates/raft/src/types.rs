//! The types that consensus is told to carry: what an entry holds and what applying it answers.

use std::fmt;

use bytes::Bytes;
use hyperion_vault_core::state::{Origin, Outcome};

use crate::cluster::member::MemberNode;

openraft::declare_raft_types!(
    /// The vault's choice of openraft's types. Node ids are `u64`, and several
    /// candidates may lead within one term (the higher node id wins), which spares a split vote a new term.
    pub(crate) TypeConfig:
        D = EncodedProposal,
        R = Response,
        NodeId = u64,
        Node = MemberNode,
);

pub(crate) type CommittedLeaderId = openraft::type_config::alias::CommittedLeaderIdOf<TypeConfig>;
pub(crate) type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
pub(crate) type EntryPayload = openraft::type_config::alias::PayloadOf<TypeConfig>;
pub(crate) type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
pub(crate) type Membership = openraft::Membership<u64, MemberNode>;
pub(crate) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;
pub(crate) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;
pub(crate) type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;

/// Whether the entry was made by the leader of `vote` or one before it.
pub(crate) fn is_within(entry: &LogId, vote: &Vote) -> bool {
    (entry.leader_id.term, entry.leader_id.node_id) <= (vote.leader_id.term, vote.leader_id.node_id)
}

/// A proposal as it is stored and sent: encoded once by the leader, never decoded before it is applied.
///
/// Its `Debug` and `Display` tell its length only.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct EncodedProposal(pub(crate) Bytes);

impl fmt::Debug for EncodedProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncodedProposal({} bytes)", self.0.len())
    }
}

impl fmt::Display for EncodedProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What applying an entry answers.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) log_index: u64,
    /// Absent for an entry of consensus itself: a new leader's blank one, a change of the members.
    pub(crate) decided: Option<Decided>,
}

/// What came of a proposal.
#[derive(Debug, Clone)]
pub(crate) struct Decided {
    pub(crate) origin: Option<Origin>,
    pub(crate) outcome: Outcome,
}
