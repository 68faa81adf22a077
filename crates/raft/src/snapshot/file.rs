//! Handles on snapshot files.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::format::{FormatError, SnapshotReader};
use super::incoming::PartialFile;
use crate::fault::Fault;
use crate::types::SnapshotMeta;

const READ_BUFFER_BYTES: usize = 256 * 1024;

/// A handle on a snapshot's file; it stays readable when a newer snapshot takes the file's place.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotFile {
    file: Arc<File>,
    /// Where it was received and not yet adopted: the name that it then goes by.
    partial: Option<Arc<PartialFile>>,
}

/// A snapshot that was read to its end and found whole.
pub(crate) struct VerifiedSnapshot {
    meta: SnapshotMeta,
    file: SnapshotFile,
}

impl SnapshotFile {
    pub(crate) fn open(path: &Path) -> io::Result<SnapshotFile> {
        Ok(SnapshotFile { file: Arc::new(File::open(path)?), partial: None })
    }

    pub(super) fn received(self, partial: PartialFile) -> SnapshotFile {
        SnapshotFile { file: self.file, partial: Some(Arc::new(partial)) }
    }

    /// Length of the file.
    pub(crate) fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// At most `bytes_max` from `position` on; fewer at the end of the file only. Blocks.
    pub(crate) fn read_at(&self, position: u64, bytes_max: usize) -> io::Result<Bytes> {
        let mut bytes = Vec::with_capacity(bytes_max);
        let reader = PositionedReader { file: Arc::clone(&self.file), position };
        reader.take(bytes_max as u64).read_to_end(&mut bytes)?;
        Ok(Bytes::from(bytes))
    }

    /// Makes a received file durable under this name, in the directory where it already is; `false` where it isn't
    /// there, or has a name already.
    pub(super) fn move_to(&self, path: &Path) -> io::Result<bool> {
        match &self.partial {
            Some(partial) if partial.path().parent() == path.parent() => {
                self.file.sync_all()?;
                partial.move_to(path)
            }
            _ => Ok(false),
        }
    }

    /// Reads the header only.
    pub(super) fn meta(&self) -> Result<SnapshotMeta, FormatError> {
        Ok(SnapshotReader::begin(self.reader())?.meta().clone())
    }

    /// Reads the whole file, in constant memory.
    pub(crate) fn verify(self) -> Result<VerifiedSnapshot, Fault> {
        let unusable = |error: FormatError| Fault::Snapshot(error.to_string());
        let reader = SnapshotReader::begin(self.reader()).map_err(unusable)?;
        let meta = reader.meta().clone();
        reader.for_each_row(|_, _| Ok::<(), FormatError>(())).map_err(unusable)?;
        Ok(VerifiedSnapshot { meta, file: self })
    }

    pub(super) fn reader(&self) -> impl Read + use<> {
        let from_start = PositionedReader { file: Arc::clone(&self.file), position: 0 };
        BufReader::with_capacity(READ_BUFFER_BYTES, from_start)
    }
}

impl VerifiedSnapshot {
    pub(crate) fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    pub(super) fn file(&self) -> &SnapshotFile {
        &self.file
    }

    pub(crate) fn into_file(self) -> SnapshotFile {
        self.file
    }

    pub(super) fn moved_to(self, file: SnapshotFile) -> VerifiedSnapshot {
        VerifiedSnapshot { meta: self.meta, file }
    }

    /// Visits every row, and checks the file a second time on the way: it may have changed since.
    pub(crate) fn for_each_row(
        &self,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let reader = SnapshotReader::begin(self.file.reader())?;
        reader.for_each_row(|key, value| visit(key, value))
    }
}

impl From<FormatError> for Fault {
    fn from(error: FormatError) -> Fault {
        Fault::Snapshot(error.to_string())
    }
}

/// Reads a shared file from a position of its own.
struct PositionedReader {
    file: Arc<File>,
    position: u64,
}

impl Read for PositionedReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(bytes, self.position)?;
        self.position = self.position.saturating_add(read as u64);
        Ok(read)
    }
}
