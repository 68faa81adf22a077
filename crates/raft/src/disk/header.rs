//! The first record of each database: whose it is and which format it has.
//!
//! Bytes: 8 of magic, the format version as `u32` little-endian, then the [`Identity`] as a stored record.
//! Magic and version keep this place and shape in all formats to come.

use minicbor::{Decode, Encode};
use redb::{Database, ReadableDatabase, TableDefinition, WriteTransaction};

use super::DatabaseFile;
use crate::encoding::Stored;
use crate::error::StartError;
use crate::fault::Fault;

/// Format 1 of either file.
pub(crate) const FILE_FORMAT: u32 = 1;
const MAGIC_BYTES: usize = 8;
const LOG_MAGIC: [u8; MAGIC_BYTES] = *b"hv-log\r\n";
const STATE_MAGIC: [u8; MAGIC_BYTES] = *b"hv-sta\r\n";

/// Facts of this node, in both files: small records by name.
pub(crate) const NODE_TABLE: TableDefinition<&str, &[u8]> = TableDefinition::new("node");
const HEADER_KEY: &str = "header";

/// Who wrote the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Identity {
    #[n(0)]
    pub(crate) node_id: u64,
    /// Drawn once for the pair of files, so that files of different disks are not taken together.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub(crate) disk_id: [u8; 16],
}

impl Stored for Identity {
    type Record = Identity;
    const NAME: &'static str = "header";
    const KIND: u32 = 6;

    fn to_record(&self) -> Identity {
        *self
    }

    fn from_record(record: Identity) -> Result<Identity, &'static str> {
        Ok(record)
    }
}

fn magic(file: DatabaseFile) -> [u8; MAGIC_BYTES] {
    match file {
        DatabaseFile::Log => LOG_MAGIC,
        DatabaseFile::State => STATE_MAGIC,
    }
}

pub(crate) fn encode(file: DatabaseFile, identity: &Identity) -> Vec<u8> {
    let mut bytes = magic(file).to_vec();
    bytes.extend_from_slice(&FILE_FORMAT.to_le_bytes());
    bytes.extend_from_slice(&identity.store(0));
    bytes
}

pub(crate) fn decode(file: DatabaseFile, bytes: &[u8]) -> Result<Identity, StartError> {
    let foreign = StartError::Foreign { file };
    let Some((found, rest)) = bytes.split_first_chunk::<MAGIC_BYTES>() else { return Err(foreign) };
    if *found != magic(file) {
        return Err(foreign);
    }
    let Some((version, identity)) = rest.split_first_chunk() else { return Err(foreign) };
    let version = u32::from_le_bytes(*version);
    if version > FILE_FORMAT {
        return Err(StartError::Newer { file, found: version, supported: FILE_FORMAT });
    }
    Identity::load(identity, 0).map_err(|damaged| StartError::Damaged { file, reason: damaged.to_string() })
}

/// The identity in a database; absent in one that holds nothing yet.
pub(crate) fn read(database: &Database, file: DatabaseFile) -> Result<Option<Identity>, StartError> {
    let unreadable = |error: redb::Error| StartError::Unreadable { file, reason: error.to_string() };
    let transaction = database.begin_read().map_err(|error| unreadable(error.into()))?;
    if transaction.list_tables().map_err(|error| unreadable(error.into()))?.next().is_none() {
        return Ok(None);
    }
    let table = transaction.open_table(NODE_TABLE).map_err(|_| StartError::Foreign { file })?;
    match table.get(HEADER_KEY).map_err(|error| unreadable(error.into()))? {
        Some(bytes) => decode(file, bytes.value()).map(Some),
        None => Err(StartError::Foreign { file }),
    }
}

/// Writes the header of a new file, in the transaction that makes its tables.
pub(crate) fn write(
    transaction: &WriteTransaction,
    file: DatabaseFile,
    identity: &Identity,
) -> Result<(), Fault> {
    let fault = |error: redb::Error| match file {
        DatabaseFile::Log => Fault::log(error),
        DatabaseFile::State => Fault::state(error),
    };
    let mut table = transaction.open_table(NODE_TABLE).map_err(|error| fault(error.into()))?;
    table.insert(HEADER_KEY, encode(file, identity).as_slice()).map_err(|error| fault(error.into()))?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity { node_id: 3, disk_id: *b"0123456789abcdef" };

    #[test]
    fn headers_of_format_1_are_these_bytes() {
        let log = include_str!("../../tests/vectors/log_header_1.hex").trim();
        let state = include_str!("../../tests/vectors/state_header_1.hex").trim();
        assert_eq!(hex::encode(encode(DatabaseFile::Log, &IDENTITY)), log);
        assert_eq!(hex::encode(encode(DatabaseFile::State, &IDENTITY)), state);
        assert_eq!(decode(DatabaseFile::Log, &hex::decode(log).unwrap()).unwrap(), IDENTITY);
        assert_eq!(decode(DatabaseFile::State, &hex::decode(state).unwrap()).unwrap(), IDENTITY);
    }

    #[test]
    fn one_file_is_not_taken_for_the_other() {
        let state = encode(DatabaseFile::State, &IDENTITY);
        assert!(matches!(decode(DatabaseFile::Log, &state), Err(StartError::Foreign { .. })));
    }

    #[test]
    fn a_later_format_is_refused_by_number() {
        let mut later = encode(DatabaseFile::Log, &IDENTITY);
        later[MAGIC_BYTES] = 2;
        let refusal = decode(DatabaseFile::Log, &later).unwrap_err();
        assert!(matches!(refusal, StartError::Newer { found: 2, supported: 1, .. }), "{refusal}");
    }

    #[test]
    fn a_damaged_identity_is_refused() {
        let mut damaged = encode(DatabaseFile::Log, &IDENTITY);
        *damaged.last_mut().unwrap() ^= 1;
        assert!(matches!(decode(DatabaseFile::Log, &damaged), Err(StartError::Damaged { .. })));
    }
}
