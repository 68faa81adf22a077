//! How far re-wrapping is: what data keys are to be wrapped by, the pass that is under way, and the last one.

use minicbor::{Decode, Encode};

use super::{Tag, key, meta, wraps};
use crate::state::{Rows, RowsMut, StateFault, row};
use crate::time::Timestamp;
use crate::wrap::WrapEpoch;

const REWRAP: &[u8] = b"rewrap";

/// What is agreed about re-wrapping.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Rewrap {
    /// What data keys are to be wrapped by: the current master key since its newest known rotation.
    #[n(0)]
    pub target: WrapEpoch,
    /// Whether what is wrapped by anything else is to be re-wrapped; not so for a baseline.
    #[n(1)]
    pub sweeps: bool,
    /// The rotation up to which nothing is left to re-wrap.
    #[n(2)]
    pub completed_rotation_at: Option<Timestamp>,
    /// Passes begun so far; the number of the latest.
    #[n(3)]
    pub passes: u64,
    /// The pass under way.
    #[n(4)]
    pub pass: Option<Pass>,
    /// The last pass that ended.
    #[n(5)]
    pub last: Option<EndedPass>,
}

/// A pass under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct Pass {
    #[n(0)]
    pub number: u64,
    /// Versions looked at.
    #[n(1)]
    pub scanned: u64,
    #[n(2)]
    pub rewrapped: u64,
    #[n(3)]
    pub failed: u64,
}

/// A pass that ended.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct EndedPass {
    #[n(0)]
    pub pass: Pass,
    #[n(1)]
    pub target: WrapEpoch,
    #[n(2)]
    pub ended_at: Timestamp,
    /// Whether nothing was left to re-wrap.
    #[n(3)]
    pub complete: bool,
}

/// What is still to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Stored versions in all.
    pub total_versions: u64,
    /// Those of them that are to be re-wrapped.
    pub versions: u64,
    /// Whether the cluster's integrity key is to be.
    pub integrity_key: bool,
}

impl Pending {
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.versions == 0 && !self.integrity_key
    }
}

/// What is agreed; absent before re-wrapping was ever enabled or asked for.
///
/// # Errors
/// [`StateFault`].
pub fn get(rows: &dyn Rows) -> Result<Option<Rewrap>, StateFault> {
    row::get(rows, &key(Tag::Meta, &[REWRAP]))
}

/// What is still to be done, from counts alone.
///
/// # Errors
/// [`StateFault`].
pub fn pending(rows: &dyn Rows) -> Result<Pending, StateFault> {
    let total_versions = meta::counts(rows)?.versions;
    let Some(rewrap) = get(rows)?.filter(|rewrap| rewrap.sweeps) else {
        return Ok(Pending { total_versions, versions: 0, integrity_key: false });
    };
    let done = wraps::count(rows, &rewrap.target)?;
    let integrity_key = meta::integrity_key(rows)?.is_some_and(|key| key.epoch() != rewrap.target);
    Ok(Pending { total_versions, versions: total_versions.saturating_sub(done), integrity_key })
}

pub(crate) fn put(rows: &mut dyn RowsMut, rewrap: &Rewrap) -> Result<(), StateFault> {
    row::put(rows, &key(Tag::Meta, &[REWRAP]), rewrap)
}
