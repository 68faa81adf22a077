//! Automatic secrets by the time of their next rotation, or of the next attempt at one: what is due is found without a
//! scan of all.

use minicbor::{Decode, Encode};

use super::{Keyed, Tag, after, key, records};
use crate::name::SecretName;
use crate::state::{Rows, RowsMut, StateFault, row};
use crate::time::Timestamp;

/// A secret and when the worker is to look after it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RotationDue {
    #[n(0)]
    pub at: Timestamp,
    #[n(1)]
    pub name: SecretName,
    /// When its rotation was due, where that was before and is to be tried again.
    #[n(2)]
    pub overdue_since: Option<Timestamp>,
}

impl Keyed for RotationDue {
    fn key(&self) -> Vec<u8> {
        key_of(self)
    }
}

fn key_of(due: &RotationDue) -> Vec<u8> {
    key(Tag::RotationDue, &[&due.at.as_unix_ms().to_be_bytes(), due.name.as_str().as_bytes()])
}

/// The `limit` secrets that are due first, due already or not.
///
/// # Errors
/// [`StateFault`].
pub fn first(rows: &dyn Rows, limit: usize) -> Result<Vec<RotationDue>, StateFault> {
    page(rows, None, limit)
}

/// The `limit` secrets that are due next after `last`.
///
/// # Errors
/// [`StateFault`].
pub fn page(
    rows: &dyn Rows,
    last: Option<&RotationDue>,
    limit: usize,
) -> Result<Vec<RotationDue>, StateFault> {
    let from = last.map_or(Vec::new(), |last| after(key_of(last)));
    records(rows, &key(Tag::RotationDue, &[]), &from, limit)
}

pub(crate) fn put(rows: &mut dyn RowsMut, due: &RotationDue) -> Result<(), StateFault> {
    row::put(rows, &key_of(due), due)
}

pub(crate) fn remove(rows: &mut dyn RowsMut, due: &RotationDue) -> Result<(), StateFault> {
    Ok(rows.remove(&key_of(due))?)
}
