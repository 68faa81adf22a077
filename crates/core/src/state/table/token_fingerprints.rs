//! The names of tokens by their fingerprints: how a bearer is found.

use super::{Tag, key};
use crate::name::TokenName;
use crate::state::{Rows, RowsMut, StateFault, row};
use crate::token::TokenFingerprint;

fn key_of(fingerprint: &TokenFingerprint) -> Vec<u8> {
    key(Tag::TokenFingerprints, &[fingerprint.as_bytes()])
}

/// # Errors
/// [`StateFault`].
pub fn get(rows: &dyn Rows, fingerprint: &TokenFingerprint) -> Result<Option<TokenName>, StateFault> {
    row::get(rows, &key_of(fingerprint))
}

pub(crate) fn put(
    rows: &mut dyn RowsMut,
    fingerprint: &TokenFingerprint,
    name: &TokenName,
) -> Result<(), StateFault> {
    row::put(rows, &key_of(fingerprint), name)
}

pub(crate) fn remove(rows: &mut dyn RowsMut, fingerprint: &TokenFingerprint) -> Result<(), StateFault> {
    Ok(rows.remove(&key_of(fingerprint))?)
}
