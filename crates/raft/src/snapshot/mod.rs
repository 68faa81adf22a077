//! Snapshots: the whole state of one moment in one file, to start a member from or to let the log go.
//!
//! A file is written under a temporary name, synced, renamed, and its directory synced; it is read back whole and
//! verified before anything is replaced by it.

mod directory;
mod file;
mod format;
mod incoming;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;

pub(crate) use directory::SnapshotDir;
pub(crate) use file::{SnapshotFile, VerifiedSnapshot};
pub(crate) use incoming::IncomingSnapshot;
