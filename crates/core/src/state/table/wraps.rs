//! The stored versions by what wrapped their data keys, and how many there are of each: what is still to be
//! re-wrapped is found and counted without looking at all of them.
//!
//! Kept by [`versions`](super::versions) alone, in step with its rows.

use minicbor::{Decode, Encode};

use super::{Keyed, SEPARATOR, Tag, after, end_of_prefix, key, record, records};
use crate::name::SecretName;
use crate::secret::VersionNumber;
use crate::state::{Rows, RowsMut, StateFault, row};
use crate::wrap::{WrapEpoch, WrapEpochId};

/// Epochs that are looked through. There are more only where the master key is made anew at each start.
const EPOCHS_MAX: usize = 10_000;

/// An epoch, and how many stored versions are wrapped in it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct EpochCount {
    #[n(0)]
    pub epoch: WrapEpoch,
    #[n(1)]
    pub versions: u64,
}

impl Keyed for EpochCount {
    fn key(&self) -> Vec<u8> {
        count_key(&self.epoch.id())
    }
}

/// A stored version in the index.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Wrap {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub epoch: WrapEpochId,
    #[n(1)]
    pub name: SecretName,
    #[n(2)]
    pub version: VersionNumber,
}

impl Keyed for Wrap {
    fn key(&self) -> Vec<u8> {
        let version = self.version.get().to_be_bytes();
        key(Tag::Wraps, &[&self.epoch, self.name.as_str().as_bytes(), &[SEPARATOR], &version])
    }
}

fn count_key(epoch: &WrapEpochId) -> Vec<u8> {
    key(Tag::WrapEpochs, &[epoch])
}

/// How many stored versions are wrapped in `epoch`.
///
/// # Errors
/// [`StateFault`].
pub fn count(rows: &dyn Rows, epoch: &WrapEpoch) -> Result<u64, StateFault> {
    let found: Option<EpochCount> = record(rows, &count_key(&epoch.id()))?;
    Ok(found.map_or(0, |found| found.versions))
}

/// All epochs in which any version is wrapped.
///
/// # Errors
/// [`StateFault`].
pub fn epochs(rows: &dyn Rows) -> Result<Vec<EpochCount>, StateFault> {
    records(rows, &key(Tag::WrapEpochs, &[]), &[], EPOCHS_MAX)
}

/// At most `limit` versions that are wrapped in another epoch than `target`, from the first that comes after
/// `last` in the order of the index.
///
/// # Errors
/// [`StateFault`].
pub fn pending(
    rows: &dyn Rows,
    target: &WrapEpoch,
    last: Option<&Wrap>,
    limit: usize,
) -> Result<Vec<Wrap>, StateFault> {
    let (target, from) = (target.id(), last.map_or(Vec::new(), |last| after(last.key())));
    let mut found = Vec::new();
    for counted in epochs(rows)? {
        let prefix = key(Tag::Wraps, &[&counted.epoch.id()]);
        let passed = end_of_prefix(&prefix).is_some_and(|end| end <= from);
        if counted.epoch.id() != target && !passed {
            found.extend(records::<Wrap>(rows, &prefix, &from, limit - found.len())?);
        }
        if found.len() >= limit {
            break;
        }
    }
    Ok(found)
}

pub(super) fn add(
    rows: &mut dyn RowsMut,
    epoch: &WrapEpoch,
    name: &SecretName,
    version: VersionNumber,
) -> Result<(), StateFault> {
    let wrap = Wrap { epoch: epoch.id(), name: name.clone(), version };
    row::put(rows, &wrap.key(), &wrap)?;
    let counted = EpochCount { epoch: epoch.clone(), versions: count(rows, epoch)?.saturating_add(1) };
    row::put(rows, &counted.key(), &counted)
}

pub(super) fn remove(
    rows: &mut dyn RowsMut,
    epoch: &WrapEpoch,
    name: &SecretName,
    version: VersionNumber,
) -> Result<(), StateFault> {
    rows.remove(&Wrap { epoch: epoch.id(), name: name.clone(), version }.key())?;
    let counted = EpochCount { epoch: epoch.clone(), versions: count(rows, epoch)?.saturating_sub(1) };
    match counted.versions {
        0 => Ok(rows.remove(&counted.key())?),
        _ => row::put(rows, &counted.key(), &counted),
    }
}
