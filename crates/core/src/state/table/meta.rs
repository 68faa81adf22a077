//! Facts of which there is one: the replicated clock, the cluster's identity, the feature level, the counts.

use minicbor::{Decode, Encode};

use super::{Tag, key};
use crate::state::feature_level::{FIRST_FEATURE_LEVEL, supported};
use crate::state::{Rows, RowsMut, StateFault, row};
use crate::time::Timestamp;
use crate::wrap::WrapEpoch;

const CLOCK: &[u8] = b"clock";
const CLUSTER: &[u8] = b"cluster";
const COUNTS: &[u8] = b"counts";
const INTEGRITY_KEY: &[u8] = b"integrity key";

/// The identity of a cluster, made once.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Cluster {
    /// 16 random bytes.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub id: [u8; 16],
    #[n(1)]
    pub created_at: Timestamp,
    /// The highest command level that every member can decode.
    #[n(2)]
    pub feature_level: u32,
}

/// The cluster's integrity key, as key management wrapped it: what the MACs of roles and tokens are made with.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct WrappedIntegrityKey {
    /// The master key that wrapped it, in the KMS's own words.
    #[n(0)]
    pub kms_key_id: String,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub wrapped: Vec<u8>,
    /// As for [`SealedVersion`](crate::secret::SealedVersion).
    #[n(2)]
    pub wrapped_rotation_at: Option<Timestamp>,
}

impl WrappedIntegrityKey {
    /// By what it is wrapped.
    #[must_use]
    pub fn epoch(&self) -> WrapEpoch {
        WrapEpoch { kms_key_id: self.kms_key_id.clone(), rotation_at: self.wrapped_rotation_at }
    }
}

/// How many rows there are of what is limited or reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct Counts {
    #[n(0)]
    pub secrets: u64,
    #[n(1)]
    pub versions: u64,
    #[n(2)]
    pub roles: u64,
    #[n(3)]
    pub tokens: u64,
}

/// The replicated clock: the latest stamp of all applied commands.
///
/// # Errors
/// [`StateFault`].
pub fn clock(rows: &dyn Rows) -> Result<Timestamp, StateFault> {
    Ok(row::get(rows, &key(Tag::Meta, &[CLOCK]))?.unwrap_or(Timestamp::EPOCH))
}

/// The cluster's identity; absent before its first command.
///
/// # Errors
/// [`StateFault`].
pub fn cluster(rows: &dyn Rows) -> Result<Option<Cluster>, StateFault> {
    row::get(rows, &key(Tag::Meta, &[CLUSTER]))
}

/// The cluster's feature level; [`FIRST_FEATURE_LEVEL`] before its first command.
///
/// # Errors
/// [`StateFault`]; among them [`UnsupportedLevel`](crate::state::UnsupportedLevel), when the rows are of a cluster
/// that this build is too old for.
pub fn feature_level(rows: &dyn Rows) -> Result<u32, StateFault> {
    let level = cluster(rows)?.map_or(FIRST_FEATURE_LEVEL, |cluster| cluster.feature_level);
    Ok(supported(level)?)
}

/// The cluster's integrity key; absent before it was made.
///
/// # Errors
/// [`StateFault`].
pub fn integrity_key(rows: &dyn Rows) -> Result<Option<WrappedIntegrityKey>, StateFault> {
    row::get(rows, &key(Tag::Meta, &[INTEGRITY_KEY]))
}

/// The counts; all zero at first.
///
/// # Errors
/// [`StateFault`].
pub fn counts(rows: &dyn Rows) -> Result<Counts, StateFault> {
    Ok(row::get(rows, &key(Tag::Meta, &[COUNTS]))?.unwrap_or_default())
}

pub(crate) fn put_clock(rows: &mut dyn RowsMut, now: Timestamp) -> Result<(), StateFault> {
    row::put(rows, &key(Tag::Meta, &[CLOCK]), &now)
}

pub(crate) fn put_cluster(rows: &mut dyn RowsMut, cluster: &Cluster) -> Result<(), StateFault> {
    row::put(rows, &key(Tag::Meta, &[CLUSTER]), cluster)
}

pub(crate) fn put_integrity_key(
    rows: &mut dyn RowsMut,
    integrity_key: &WrappedIntegrityKey,
) -> Result<(), StateFault> {
    row::put(rows, &key(Tag::Meta, &[INTEGRITY_KEY]), integrity_key)
}

/// Reads, changes and writes back the counts.
pub(crate) fn count(rows: &mut dyn RowsMut, change: impl FnOnce(&mut Counts)) -> Result<(), StateFault> {
    let mut counts = counts(rows)?;
    change(&mut counts);
    row::put(rows, &key(Tag::Meta, &[COUNTS]), &counts)
}
