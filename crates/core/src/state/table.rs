//! The tables, one file each: what their keys are and how a record is read and written. All tables share
//! one ordered space of keys; the first byte of a key says whose it is.

pub mod bootstraps;
pub mod expiry_due;
pub mod meta;
pub mod rewrap;
pub mod role_tokens;
pub mod roles;
pub mod rotation_due;
pub mod secrets;
pub mod sessions;
pub mod token_fingerprints;
pub mod tokens;
pub mod versions;
pub mod wraps;

use minicbor::Decode;

use super::rows::Rows;
use super::{CorruptRow, StateFault, row};

/// The first byte of every key. A number once used is never used for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Tag {
    Meta = 1,
    Secrets = 2,
    Versions = 3,
    RotationDue = 4,
    ExpiryDue = 5,
    Roles = 6,
    Tokens = 7,
    TokenFingerprints = 8,
    RoleTokens = 9,
    Bootstraps = 10,
    Sessions = 11,
    WrapEpochs = 12,
    Wraps = 13,
}

/// Separates a name from what follows it in a key; no name contains it, so keys sort by name first.
const SEPARATOR: u8 = 0;

fn key(tag: Tag, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(tag as u8);
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

/// The first key after all that begin with `prefix`; absent when there is none.
fn end_of_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

/// A record that says itself where it belongs. Held against the key it was found under, because a checksum
/// can be computed by anybody: without it, a row copied under another's key would be taken for the other's.
trait Keyed: for<'b> Decode<'b, ()> {
    fn key(&self) -> Vec<u8>;
}

fn decode<T: Keyed>(key: &[u8], value: &[u8]) -> Result<T, CorruptRow> {
    let record: T = row::decode(key, value)?;
    if record.key() == key { Ok(record) } else { Err(row::corrupt(key, "another's record")) }
}

/// The record under `key`, if there is one.
fn record<T: Keyed>(rows: &dyn Rows, key: &[u8]) -> Result<Option<T>, StateFault> {
    Ok(rows.get(key)?.map(|value| decode(key, &value)).transpose()?)
}

/// At most `limit` records whose keys begin with `prefix`, from the first key that is not below `from`.
fn records<T: Keyed>(
    rows: &dyn Rows,
    prefix: &[u8],
    from: &[u8],
    limit: usize,
) -> Result<Vec<T>, StateFault> {
    let from = from.max(prefix);
    let found = rows.scan(from, end_of_prefix(prefix).as_deref(), limit)?;
    found.iter().map(|(key, value)| Ok(decode(key, value)?)).collect()
}

/// The key right after `key`.
fn after(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::rotation_due::RotationDue;
    use super::*;
    use crate::name::SecretName;
    use crate::time::Timestamp;

    /// A copied secret was answered as the secret whose place it stood in.
    #[test]
    fn a_record_under_another_s_key_is_damage_even_with_a_right_checksum() {
        let [one, other] = ["one", "other"].map(|name| RotationDue {
            at: Timestamp::EPOCH,
            name: SecretName::parse(name).unwrap(),
            overdue_since: None,
        });
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        row::put(&mut rows, &one.key(), &one).unwrap();
        assert_eq!(record(&rows, &one.key()), Ok(Some(one.clone())));
        row::put(&mut rows, &one.key(), &other).unwrap();
        assert!(record::<RotationDue>(&rows, &one.key()).is_err());
        assert!(rotation_due::first(&rows, 9).is_err());
    }

    #[test]
    fn the_end_of_a_prefix_is_the_first_key_that_does_not_begin_with_it() {
        assert_eq!(end_of_prefix(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(end_of_prefix(b"a\xff"), Some(b"b".to_vec()));
        assert_eq!(end_of_prefix(b"\xff\xff"), None);
    }
}
