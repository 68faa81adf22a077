//! Superseded versions by the time they expire.

use minicbor::{Decode, Encode};

use super::{Keyed, SEPARATOR, Tag, key, records};
use crate::name::SecretName;
use crate::secret::VersionNumber;
use crate::state::{Rows, RowsMut, StateFault, row};
use crate::time::Timestamp;

/// A superseded version and when its grace ends.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ExpiryDue {
    #[n(0)]
    pub at: Timestamp,
    #[n(1)]
    pub name: SecretName,
    #[n(2)]
    pub version: VersionNumber,
}

impl Keyed for ExpiryDue {
    fn key(&self) -> Vec<u8> {
        key_of(self)
    }
}

fn key_of(due: &ExpiryDue) -> Vec<u8> {
    let version = due.version.get().to_be_bytes();
    key(
        Tag::ExpiryDue,
        &[&due.at.as_unix_ms().to_be_bytes(), due.name.as_str().as_bytes(), &[SEPARATOR], &version],
    )
}

/// The `limit` versions that expire first, expired already or not.
///
/// # Errors
/// [`StateFault`].
pub fn first(rows: &dyn Rows, limit: usize) -> Result<Vec<ExpiryDue>, StateFault> {
    records(rows, &key(Tag::ExpiryDue, &[]), &[], limit)
}

pub(crate) fn put(rows: &mut dyn RowsMut, due: &ExpiryDue) -> Result<(), StateFault> {
    row::put(rows, &key_of(due), due)
}

pub(crate) fn remove(rows: &mut dyn RowsMut, due: &ExpiryDue) -> Result<(), StateFault> {
    Ok(rows.remove(&key_of(due))?)
}
