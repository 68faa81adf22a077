//! Everything this crate stores, byte by byte. Nothing of openraft's own serialization is ever on disk: its
//! formats change between versions.
//!
//! A stored record is one byte of format, the record as CBOR with explicit field indices, and eight bytes of
//! XXH3-64 over all before, seeded with the record's place, so that a flipped bit or a record under another's
//! key is an error. Adding an optional field keeps the format; anything else is a new format number.
//! `tests/vectors/` holds the bytes of each.

mod entry;
mod log_id;
mod membership;
mod snapshot_meta;
mod vote;

pub(crate) use log_id::LogIdRecord;
pub(crate) use vote::VoteRecord;

use minicbor::{Decode, Encode};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Record format 1: CBOR by `minicbor`, checksum XXH3-64, little-endian.
const RECORD_FORMAT: u8 = 1;
const CHECKSUM_BYTES: usize = 8;

/// A stored record is not what was written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("damaged {record}: {what}")]
pub(crate) struct Damaged {
    pub(crate) record: &'static str,
    pub(crate) what: &'static str,
}

/// A value that this crate stores. `PLACE` names it in errors and keeps kinds of records apart.
pub(crate) trait Stored: Sized {
    type Record: Encode<()> + for<'b> Decode<'b, ()>;
    const NAME: &'static str;
    /// Part of the checksum's seed; one number for each kind of record, never used again.
    const KIND: u32;

    fn to_record(&self) -> Self::Record;
    fn from_record(record: Self::Record) -> Result<Self, &'static str>;

    /// The stored bytes; `place` is the index of a log entry, 0 for records of which there is one.
    fn store(&self, place: u64) -> Vec<u8> {
        let mut bytes = vec![RECORD_FORMAT];
        // Writing into a vector can't fail; a failure would leave a record that `load` refuses.
        let _infallible = minicbor::encode(self.to_record(), &mut bytes);
        let sum = xxh3_64_with_seed(&bytes, seed(Self::KIND, place));
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn load(bytes: &[u8], place: u64) -> Result<Self, Damaged> {
        let damaged = |what| Damaged { record: Self::NAME, what };
        let (body, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(damaged("too short"))?;
        if u64::from_le_bytes(*sum) != xxh3_64_with_seed(body, seed(Self::KIND, place)) {
            return Err(damaged("checksum"));
        }
        let (format, cbor) = body.split_first().ok_or(damaged("too short"))?;
        if *format != RECORD_FORMAT {
            return Err(damaged("unknown record format"));
        }
        let record = minicbor::decode(cbor).map_err(|_| damaged("unreadable record"))?;
        Self::from_record(record).map_err(damaged)
    }
}

fn seed(kind: u32, place: u64) -> u64 {
    (u64::from(kind) << 56) ^ place
}

#[cfg(test)]
mod golden_tests;
