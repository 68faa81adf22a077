//! What the cluster remembers of a member: part of the membership itself, so that it changes only with it.

use super::identity::Boot;

/// A member as every node knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberNode {
    /// `host:port` of its Raft listener; empty where it has none.
    pub address: String,
    /// Its last start that was let in; absent before it was ever reached.
    pub boot: Option<Boot>,
    /// It is a voter, or will be as soon as it has caught up.
    pub votes: bool,
}
