//! How a record becomes the bytes of a row: one byte of row format, the record in CBOR, and eight bytes of
//! checksum over the key and all before. The checksum is no defence against an attacker, who can compute
//! it too; it makes a flipped bit, or a row that stands under another's key, an error instead of an answer.

use minicbor::{Decode, Encode};
use xxhash_rust::xxh3::Xxh3;

use super::rows::{Rows, RowsMut, StateFault};

/// Row format 1: CBOR by `minicbor`, checksum XXH3-64, little-endian.
const ROW_FORMAT: u8 = 1;
const CHECKSUM_BYTES: usize = 8;

/// A row is not what was written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("damaged row in table {table:#04x}: {what}")]
pub struct CorruptRow {
    /// The tag that the row's key begins with.
    pub table: u8,
    pub what: &'static str,
}

pub(super) fn corrupt(key: &[u8], what: &'static str) -> CorruptRow {
    CorruptRow { table: key.first().copied().unwrap_or(0), what }
}

fn checksum(key: &[u8], body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hash = Xxh3::with_seed(key.len() as u64);
    hash.update(key);
    hash.update(body);
    hash.digest().to_le_bytes()
}

fn encode<T: Encode<()>>(key: &[u8], record: &T) -> Result<Vec<u8>, CorruptRow> {
    let mut bytes = vec![ROW_FORMAT];
    minicbor::encode(record, &mut bytes).map_err(|_| corrupt(key, "record can't be encoded"))?;
    bytes.extend_from_slice(&checksum(key, &bytes));
    Ok(bytes)
}

/// Reads the record of a row that stands under `key`.
pub(super) fn decode<T: for<'b> Decode<'b, ()>>(key: &[u8], bytes: &[u8]) -> Result<T, CorruptRow> {
    let (body, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(corrupt(key, "too short"))?;
    if *sum != checksum(key, body) {
        return Err(corrupt(key, "checksum"));
    }
    let (format, record) = body.split_first().ok_or(corrupt(key, "too short"))?;
    if *format != ROW_FORMAT {
        return Err(corrupt(key, "unknown row format"));
    }
    minicbor::decode(record).map_err(|_| corrupt(key, "unreadable record"))
}

/// The record under `key`, if there is one.
pub(super) fn get<T: for<'b> Decode<'b, ()>>(rows: &dyn Rows, key: &[u8]) -> Result<Option<T>, StateFault> {
    match rows.get(key)? {
        Some(bytes) => Ok(Some(decode(key, &bytes)?)),
        None => Ok(None),
    }
}

/// Writes the record under `key`, in place of what stood there.
pub(super) fn put<T: Encode<()>>(rows: &mut dyn RowsMut, key: &[u8], record: &T) -> Result<(), StateFault> {
    Ok(rows.put(key, &encode(key, record)?)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_row_is_an_error() {
        let key = b"\x02db/password";
        let row = encode(key, &(7_u64, "text")).unwrap();
        assert_eq!(decode::<(u64, String)>(key, &row), Ok((7, "text".to_owned())));
        for byte in 0..row.len() {
            for bit in 0..8 {
                let mut flipped = row.clone();
                flipped[byte] ^= 1 << bit;
                assert!(decode::<(u64, String)>(key, &flipped).is_err(), "byte {byte} bit {bit}");
            }
        }
    }

    #[test]
    fn a_row_under_another_key_is_an_error() {
        let row = encode(b"\x02a", &1_u64).unwrap();
        assert!(decode::<u64>(b"\x02b", &row).is_err());
        assert!(decode::<u64>(b"\x03a", &row).is_err());
    }

    #[test]
    fn a_shortened_row_is_an_error() {
        let row = encode(b"k", &1_u64).unwrap();
        for len in 0..row.len() {
            assert!(decode::<u64>(b"k", &row[..len]).is_err());
        }
    }

    #[test]
    fn format_1_is_these_bytes() {
        let row = encode(b"\x02a", &(7_u64, "text")).unwrap();
        assert_eq!(hex::encode(row), include_str!("../../tests/vectors/row_format_1.hex").trim());
    }
}
