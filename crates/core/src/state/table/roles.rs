//! Roles by name.

use super::{Keyed, Tag, key, record, records};
use crate::limits::ROLES_MAX;
use crate::name::RoleName;
use crate::policy::Role;
use crate::state::{Rows, RowsMut, StateFault, row};

impl Keyed for Role {
    fn key(&self) -> Vec<u8> {
        key_of(&self.name)
    }
}

fn key_of(name: &RoleName) -> Vec<u8> {
    key(Tag::Roles, &[name.as_str().as_bytes()])
}

/// # Errors
/// [`StateFault`].
pub fn get(rows: &dyn Rows, name: &RoleName) -> Result<Option<Role>, StateFault> {
    record(rows, &key_of(name))
}

/// All roles, by name.
///
/// # Errors
/// [`StateFault`].
pub fn all(rows: &dyn Rows) -> Result<Vec<Role>, StateFault> {
    records(rows, &key(Tag::Roles, &[]), &[], usize::try_from(ROLES_MAX).unwrap_or(usize::MAX))
}

pub(crate) fn put(rows: &mut dyn RowsMut, role: &Role) -> Result<(), StateFault> {
    row::put(rows, &key_of(&role.name), role)
}

pub(crate) fn remove(rows: &mut dyn RowsMut, name: &RoleName) -> Result<(), StateFault> {
    Ok(rows.remove(&key_of(name))?)
}
