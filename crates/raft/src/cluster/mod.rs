//! Who the members are: which node runs on which disk, what the cluster remembers of each, and how they come to
//! be members.

pub(crate) mod identity;
pub(crate) mod member;
