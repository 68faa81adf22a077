//! Handles on snapshot files.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::format::{FormatError, SnapshotReader};
use crate::fault::Fault;
use crate::types::SnapshotMeta;

const READ_BUFFER_BYTES: usize = 256 * 1024;

/// A handle on a snapshot's file; it stays readable when a newer snapshot takes the file's place.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotFile {
    file: Arc<File>,
}

/// A snapshot that was read to its end and found whole.
pub(crate) struct VerifiedSnapshot {
    meta: SnapshotMeta,
    file: SnapshotFile,
}

impl SnapshotFile {
    pub(crate) fn open(path: &Path) -> io::Result<SnapshotFile> {
        Ok(SnapshotFile { file: Arc::new(File::open(path)?) })
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
