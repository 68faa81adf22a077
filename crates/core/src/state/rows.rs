//! The one storage port: ordered rows of bytes.

use super::feature_level::UnsupportedLevel;
use super::row::CorruptRow;

/// The storage under the state failed. Fatal to the node: what it would answer is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("storage: {0}")]
pub struct StorageFault(pub String);

/// The state can't be read or changed. Never the fault of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateFault {
    #[error(transparent)]
    Storage(#[from] StorageFault),
    #[error(transparent)]
    Corrupt(#[from] CorruptRow),
    #[error(transparent)]
    Unsupported(#[from] UnsupportedLevel),
}

/// Rows, ordered by the bytes of their keys.
pub trait Rows {
    /// # Errors
    /// [`StorageFault`] when the storage can't say.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageFault>;

    /// At most `limit` rows, ascending, from `from` (inclusive) to `to` (exclusive; absent: to the end).
    ///
    /// # Errors
    /// [`StorageFault`] when the storage can't say.
    fn scan(&self, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<RawRow>, StorageFault>;
}

/// A key and its value, as bytes.
pub type RawRow = (Vec<u8>, Vec<u8>);

/// Rows that can be changed, in one transaction with whatever else the caller writes.
pub trait RowsMut: Rows {
    /// # Errors
    /// [`StorageFault`] when the storage can't take it.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageFault>;

    /// Removes a row; a row that isn't there is no error.
    ///
    /// # Errors
    /// [`StorageFault`] when the storage can't do it.
    fn remove(&mut self, key: &[u8]) -> Result<(), StorageFault>;
}
