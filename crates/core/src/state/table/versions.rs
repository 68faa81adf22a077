//! Versions by secret and number.

use super::{SEPARATOR, Tag, end_of_prefix, key, wraps};
use crate::limits::STORED_VERSIONS_MAX;
use crate::name::SecretName;
use crate::rotation::expired;
use crate::secret::{Secret, Version, VersionNumber};
use crate::state::{CorruptRow, Rows, RowsMut, StateFault, row};
use crate::time::Timestamp;

fn key_of(name: &SecretName, number: VersionNumber) -> Vec<u8> {
    key(Tag::Versions, &[name.as_str().as_bytes(), &[SEPARATOR], &number.get().to_be_bytes()])
}

/// # Errors
/// [`StateFault`].
pub fn get(rows: &dyn Rows, name: &SecretName, number: VersionNumber) -> Result<Option<Version>, StateFault> {
    row::get(rows, &key_of(name, number))
}

/// All stored versions of a secret, oldest first: also expired ones that nobody has removed yet, and a pending one.
///
/// # Errors
/// [`StateFault`].
pub fn of_secret(rows: &dyn Rows, name: &SecretName) -> Result<Vec<(VersionNumber, Version)>, StateFault> {
    let prefix = key(Tag::Versions, &[name.as_str().as_bytes(), &[SEPARATOR]]);
    let limit = usize::try_from(STORED_VERSIONS_MAX).unwrap_or(usize::MAX);
    let found = rows.scan(&prefix, end_of_prefix(&prefix).as_deref(), limit)?;
    found.iter().map(|(key, value)| Ok((number_of(key)?, row::decode(key, value)?))).collect()
}

/// The versions of a secret that count at `now`, oldest first: the current one and those in grace, expired ones that
/// nobody has removed and a pending one not.
///
/// # Errors
/// [`StateFault`].
pub fn live(
    rows: &dyn Rows,
    secret: &Secret,
    now: Timestamp,
) -> Result<Vec<(VersionNumber, Version)>, StateFault> {
    let mut live = of_secret(rows, &secret.name)?;
    live.retain(|(number, version)| *number <= secret.current && !expired(version.expires_at, now));
    Ok(live)
}

fn number_of(key: &[u8]) -> Result<VersionNumber, CorruptRow> {
    match key.last_chunk::<8>() {
        Some(number) => Ok(VersionNumber::new(u64::from_be_bytes(*number))),
        None => Err(CorruptRow { table: Tag::Versions as u8, what: "key without a version number" }),
    }
}

/// Writes a version that isn't there yet.
pub(crate) fn add(
    rows: &mut dyn RowsMut,
    name: &SecretName,
    number: VersionNumber,
    version: &Version,
) -> Result<(), StateFault> {
    wraps::add(rows, &version.sealed.epoch(), name, number)?;
    row::put(rows, &key_of(name, number), version)
}

/// Writes a version that is there and stays wrapped as it is.
pub(crate) fn amend(
    rows: &mut dyn RowsMut,
    name: &SecretName,
    number: VersionNumber,
    version: &Version,
) -> Result<(), StateFault> {
    row::put(rows, &key_of(name, number), version)
}

/// Writes a version in place of what it was before it was re-wrapped.
pub(crate) fn rewrap(
    rows: &mut dyn RowsMut,
    name: &SecretName,
    number: VersionNumber,
    before: &Version,
    after: &Version,
) -> Result<(), StateFault> {
    wraps::remove(rows, &before.sealed.epoch(), name, number)?;
    add(rows, name, number, after)
}

/// Removes `version`, which is what stands there.
pub(crate) fn remove(
    rows: &mut dyn RowsMut,
    name: &SecretName,
    number: VersionNumber,
    version: &Version,
) -> Result<(), StateFault> {
    wraps::remove(rows, &version.sealed.epoch(), name, number)?;
    Ok(rows.remove(&key_of(name, number))?)
}
