//! The unrevoked tokens of each role: why a role can't be deleted yet.

use super::{SEPARATOR, Tag, end_of_prefix, key};
use crate::name::{RoleName, TokenName};
use crate::state::{Rows, RowsMut, StateFault, row};

fn key_of(role: &RoleName, token: &TokenName) -> Vec<u8> {
    key(Tag::RoleTokens, &[role.as_str().as_bytes(), &[SEPARATOR], token.as_str().as_bytes()])
}

/// Whether any unrevoked token has the role.
///
/// # Errors
/// [`StateFault`].
pub fn any(rows: &dyn Rows, role: &RoleName) -> Result<bool, StateFault> {
    let prefix = key(Tag::RoleTokens, &[role.as_str().as_bytes(), &[SEPARATOR]]);
    Ok(!rows.scan(&prefix, end_of_prefix(&prefix).as_deref(), 1)?.is_empty())
}

pub(crate) fn put(rows: &mut dyn RowsMut, role: &RoleName, token: &TokenName) -> Result<(), StateFault> {
    row::put(rows, &key_of(role, token), token)
}

pub(crate) fn remove(rows: &mut dyn RowsMut, role: &RoleName, token: &TokenName) -> Result<(), StateFault> {
    Ok(rows.remove(&key_of(role, token))?)
}
