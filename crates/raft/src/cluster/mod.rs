//! Who the members are: which node runs on which disk, what the cluster remembers of each, and how they come to
//! be members.
//!
//! Every node asks every other where it stands, several times a second (`beat`), and judges by the answer whether
//! it is the one that the cluster knows (`judgement`). The [`roster`] keeps what was heard; it decides whom this
//! node calls and whose calls it takes (`admission`). From the same answers come the cluster's time (`clock`), the
//! founding of a cluster (`formation`) and, at the leader, what the members need done (`steward`).

mod admission;
pub(crate) mod beat;
pub(crate) mod candidacy;
pub(crate) mod change;
pub(crate) mod clock;
pub(crate) mod formation;
pub(crate) mod identity;
mod judgement;
pub(crate) mod member;
mod peer;
pub(crate) mod quorum;
pub(crate) mod recover;
pub(crate) mod roster;
pub(crate) mod status;
pub(crate) mod steward;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod fixture;
