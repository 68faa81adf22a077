//! Secrets by name.

use super::{Keyed, Tag, after, key, record, records};
use crate::name::SecretName;
use crate::secret::Secret;
use crate::state::{Rows, RowsMut, StateFault, row};

impl Keyed for Secret {
    fn key(&self) -> Vec<u8> {
        key_of(&self.name)
    }
}

fn key_of(name: &SecretName) -> Vec<u8> {
    key(Tag::Secrets, &[name.as_str().as_bytes()])
}

/// # Errors
/// [`StateFault`].
pub fn get(rows: &dyn Rows, name: &SecretName) -> Result<Option<Secret>, StateFault> {
    record(rows, &key_of(name))
}

/// At most `limit` secrets whose names begin with `prefix` and come after `after_name`, by name.
///
/// # Errors
/// [`StateFault`].
pub fn page(
    rows: &dyn Rows,
    prefix: &str,
    after_name: Option<&str>,
    limit: usize,
) -> Result<Vec<Secret>, StateFault> {
    let from = after_name.map_or(Vec::new(), |name| after(key(Tag::Secrets, &[name.as_bytes()])));
    records(rows, &key(Tag::Secrets, &[prefix.as_bytes()]), &from, limit)
}

pub(crate) fn put(rows: &mut dyn RowsMut, secret: &Secret) -> Result<(), StateFault> {
    row::put(rows, &key_of(&secret.name), secret)
}

pub(crate) fn remove(rows: &mut dyn RowsMut, name: &SecretName) -> Result<(), StateFault> {
    Ok(rows.remove(&key_of(name))?)
}
