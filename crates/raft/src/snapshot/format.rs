//! The bytes of a snapshot, all integers little-endian:
//!
//! ```text
//! header   8 bytes of magic, u32 format version, u32 length of meta, meta (a stored record)
//! row      u8 1, u32 length of key, u32 length of value, key, value     (ascending by key)
//! trailer  u8 0, u64 number of rows, 32 bytes SHA-256 of all before the digest
//! ```

use std::io::{self, Read, Write};

use hyperion_vault_core::state::RawRow;
use sha2::{Digest, Sha256};

use crate::encoding::Stored;
use crate::types::SnapshotMeta;

const MAGIC_BYTES: usize = 8;
const MAGIC: [u8; MAGIC_BYTES] = *b"hv-snap\n";
pub(super) const SNAPSHOT_FORMAT: u32 = 1;
const ROW_TAG: u8 = 1;
const TRAILER_TAG: u8 = 0;
const DIGEST_BYTES: usize = 32;

/// A damaged length must not make the reader take all memory. A row is a few secrets' worth at most.
const KEY_BYTES_MAX: usize = 64 * 1024;
const VALUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Some hundred bytes for each member of the cluster.
const META_BYTES_MAX: usize = 1024 * 1024;

/// A file is no snapshot that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormatError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("not a snapshot of this vault")]
    Foreign,
    #[error("snapshot format {0} is newer than the {SNAPSHOT_FORMAT} that this version reads")]
    Newer(u32),
    #[error("damaged snapshot: {0}")]
    Damaged(&'static str),
}

/// Writes a snapshot row by row.
pub(super) struct SnapshotWriter<W> {
    out: W,
    digest: Sha256,
    rows: u64,
}

impl<W: Write> SnapshotWriter<W> {
    pub(super) fn begin(out: W, meta: &SnapshotMeta) -> io::Result<SnapshotWriter<W>> {
        let mut writer = SnapshotWriter { out, digest: Sha256::new(), rows: 0 };
        let meta = meta.store(0);
        writer.write(&MAGIC)?;
        writer.write(&SNAPSHOT_FORMAT.to_le_bytes())?;
        writer.write(&length(&meta)?)?;
        writer.write(&meta)?;
        Ok(writer)
    }

    pub(super) fn row(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.write(&[ROW_TAG])?;
        self.write(&length(key)?)?;
        self.write(&length(value)?)?;
        self.write(key)?;
        self.write(value)?;
        self.rows = self.rows.saturating_add(1);
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        self.write(&[TRAILER_TAG])?;
        self.write(&self.rows.to_le_bytes())?;
        let digest = self.digest.finalize();
        self.out.write_all(&digest)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.out.write_all(bytes)
    }
}

fn length(bytes: &[u8]) -> io::Result<[u8; 4]> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::Error::other("longer than a row may be"))?;
    Ok(length.to_le_bytes())
}

/// Reads a snapshot row by row. Only when the last row was read is it known that all of them were right.
pub(super) struct SnapshotReader<R> {
    input: R,
    digest: Sha256,
    meta: SnapshotMeta,
    rows: u64,
    last_key: Option<Vec<u8>>,
}

impl<R: Read> SnapshotReader<R> {
    pub(super) fn begin(mut input: R) -> Result<SnapshotReader<R>, FormatError> {
        let mut digest = Sha256::new();
        let magic: [u8; MAGIC_BYTES] =
            read_array(&mut input, &mut digest).map_err(|_| FormatError::Foreign)?;
        if magic != MAGIC {
            return Err(FormatError::Foreign);
        }
        let version = u32::from_le_bytes(read_array(&mut input, &mut digest)?);
        if version > SNAPSHOT_FORMAT {
            return Err(FormatError::Newer(version));
        }
        let length = read_length(&mut input, &mut digest, META_BYTES_MAX)?;
        let meta = read_bytes(&mut input, &mut digest, length)?;
        let meta = SnapshotMeta::load(&meta, 0).map_err(|damaged| FormatError::Damaged(damaged.what))?;
        Ok(SnapshotReader { input, digest, meta, rows: 0, last_key: None })
    }

    pub(super) fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    /// Visits every row, then checks the trailer and that nothing follows it.
    pub(super) fn for_each_row<E: From<FormatError>>(
        mut self,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some((key, value)) = self.next_row()? {
            visit(&key, &value)?;
            self.last_key = Some(key);
        }
        Ok(self.finish()?)
    }

    fn next_row(&mut self) -> Result<Option<RawRow>, FormatError> {
        let (input, digest) = (&mut self.input, &mut self.digest);
        match read_array(input, digest)? {
            [TRAILER_TAG] => return Ok(None),
            [ROW_TAG] => {}
            _ => return Err(FormatError::Damaged("unknown tag")),
        }
        let key_length = read_length(input, digest, KEY_BYTES_MAX)?;
        let value_length = read_length(input, digest, VALUE_BYTES_MAX)?;
        let key = read_bytes(input, digest, key_length)?;
        let value = read_bytes(input, digest, value_length)?;
        if self.last_key.as_ref().is_some_and(|last| *last >= key) {
            return Err(FormatError::Damaged("rows out of order"));
        }
        self.rows = self.rows.saturating_add(1);
        Ok(Some((key, value)))
    }

    fn finish(mut self) -> Result<(), FormatError> {
        let rows = u64::from_le_bytes(read_array(&mut self.input, &mut self.digest)?);
        if rows != self.rows {
            return Err(FormatError::Damaged("rows are missing"));
        }
        let computed = self.digest.finalize();
        let mut stored = [0; DIGEST_BYTES];
        read_exact(&mut self.input, &mut stored)?;
        if stored.as_slice() != computed.as_slice() {
            return Err(FormatError::Damaged("checksum"));
        }
        match self.input.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(FormatError::Damaged("bytes after its end")),
        }
    }
}

fn read_exact(input: &mut impl Read, bytes: &mut [u8]) -> Result<(), FormatError> {
    input.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => FormatError::Damaged("cut short"),
        _ => FormatError::Io(error),
    })
}

fn read_array<const N: usize>(input: &mut impl Read, digest: &mut Sha256) -> Result<[u8; N], FormatError> {
    let mut bytes = [0; N];
    read_exact(input, &mut bytes)?;
    digest.update(bytes);
    Ok(bytes)
}

fn read_bytes(input: &mut impl Read, digest: &mut Sha256, length: usize) -> Result<Vec<u8>, FormatError> {
    let mut bytes = vec![0; length];
    read_exact(input, &mut bytes)?;
    digest.update(&bytes);
    Ok(bytes)
}

fn read_length(input: &mut impl Read, digest: &mut Sha256, max: usize) -> Result<usize, FormatError> {
    let length = usize::try_from(u32::from_le_bytes(read_array(input, digest)?)).unwrap_or(usize::MAX);
    if length <= max { Ok(length) } else { Err(FormatError::Damaged("a length out of bounds")) }
}
