//! Versions by secret and number.

use super::{SEPARATOR, Tag, end_of_prefix, key};
use crate::limits::STORED_VERSIONS_MAX;
use crate::name::SecretName;
use crate::secret::{Version, VersionNumber};
use crate::state::{CorruptRow, Rows, RowsMut, StateFault, row};

fn key_of(name: &SecretName, number: VersionNumber) -> Vec<u8> {
    key(Tag::Versions, &[name.as_str().as_bytes(), &[SEPARATOR], &number.get().to_be_bytes()])
}

/// # Errors
/// [`StateFault`].
pub fn get(rows: &dyn Rows, name: &SecretName, number: VersionNumber) -> Result<Option<Version>, StateFault> {
    row::get(rows, &key_of(name, number))
}

/// All stored versions of a secret, oldest first; expired ones that nobody has removed yet included.
///
/// # Errors
/// [`StateFault`].
pub fn of_secret(rows: &dyn Rows, name: &SecretName) -> Result<Vec<(VersionNumber, Version)>, StateFault> {
    let prefix = key(Tag::Versions, &[name.as_str().as_bytes(), &[SEPARATOR]]);
    let limit = usize::try_from(STORED_VERSIONS_MAX).unwrap_or(usize::MAX);
    let found = rows.scan(&prefix, end_of_prefix(&prefix).as_deref(), limit)?;
    found.iter().map(|(key, value)| Ok((number_of(key)?, row::decode(key, value)?))).collect()
}

fn number_of(key: &[u8]) -> Result<VersionNumber, CorruptRow> {
    match key.last_chunk::<8>() {
        Some(number) => Ok(VersionNumber::new(u64::from_be_bytes(*number))),
        None => Err(CorruptRow { table: Tag::Versions as u8, what: "key without a version number" }),
    }
}

pub(crate) fn put(
    rows: &mut dyn RowsMut,
    name: &SecretName,
    number: VersionNumber,
    version: &Version,
) -> Result<(), StateFault> {
    row::put(rows, &key_of(name, number), version)
}

pub(crate) fn remove(
    rows: &mut dyn RowsMut,
    name: &SecretName,
    number: VersionNumber,
) -> Result<(), StateFault> {
    Ok(rows.remove(&key_of(name, number))?)
}
