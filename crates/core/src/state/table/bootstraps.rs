//! Fingerprints of every bootstrap token that was ever taken, so that a revoked one doesn't come back.

use super::{Tag, key};
use crate::state::{Rows, RowsMut, StateFault, row};
use crate::time::Timestamp;
use crate::token::TokenFingerprint;

fn key_of(fingerprint: &TokenFingerprint) -> Vec<u8> {
    key(Tag::Bootstraps, &[fingerprint.as_bytes()])
}

/// When the bootstrap token was taken, if ever.
///
/// # Errors
/// [`StateFault`].
pub fn taken_at(rows: &dyn Rows, fingerprint: &TokenFingerprint) -> Result<Option<Timestamp>, StateFault> {
    row::get(rows, &key_of(fingerprint))
}

pub(crate) fn put(
    rows: &mut dyn RowsMut,
    fingerprint: &TokenFingerprint,
    at: Timestamp,
) -> Result<(), StateFault> {
    row::put(rows, &key_of(fingerprint), &at)
}
