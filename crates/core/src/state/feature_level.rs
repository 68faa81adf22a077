//! What every member of a cluster can decode and apply, as a number that the cluster agrees on.
//!
//! Members of different builds serve side by side during an upgrade. What a build adds to the commands is used only
//! once the leader has raised the cluster's level, and it does so only when every member knows that level; so a log
//! entry comes to the same on all of them.

/// The level at which every cluster begins, whatever build forms it.
pub const FIRST_FEATURE_LEVEL: u32 = 1;

/// The highest level that this build can decode and apply.
pub const FEATURE_LEVEL: u32 = 4;

/// The level from which on a proposal with an origin is applied once only; below it, origins say nothing.
pub const ORIGINS_SINCE: u32 = 2;

/// The level from which on data keys are re-wrapped.
pub const REWRAP_SINCE: u32 = 3;

/// The level from which on secrets have targets and generators, and the state tells how rotations go.
pub const TARGETS_SINCE: u32 = 4;

/// The cluster has reached a level that this build doesn't know. The node must halt: what newer builds make of the
/// same log, it can't.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the cluster is at feature level {level} and this version knows {FEATURE_LEVEL} at most; run a newer version"
)]
pub struct UnsupportedLevel {
    pub level: u32,
}

/// `level`, if this build knows it.
pub(super) const fn supported(level: u32) -> Result<u32, UnsupportedLevel> {
    if level > FEATURE_LEVEL { Err(UnsupportedLevel { level }) } else { Ok(level) }
}
