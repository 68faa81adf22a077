//! A snapshot while it is received.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::directory::SnapshotDir;
use super::file::SnapshotFile;
use crate::fault::Fault;

/// A snapshot is written twice until it is installed: as its file, and as rows of the state.
const WRITTEN_TIMES: u64 = 2;
/// What must stay free beside a snapshot that is received: what the log and the state take meanwhile.
const RECEIVE_RESERVE_BYTES: u64 = 64 * 1024 * 1024;

/// A file under construction. It is gone with this value, unless it is finished and then adopted.
pub(crate) struct IncomingSnapshot {
    directory: Arc<SnapshotDir>,
    file: Arc<File>,
    partial: PartialFile,
}

impl IncomingSnapshot {
    pub(super) fn new(directory: Arc<SnapshotDir>, file: File, path: PathBuf) -> IncomingSnapshot {
        IncomingSnapshot { directory, file: Arc::new(file), partial: PartialFile::new(path) }
    }

    /// Looks whether there is room for a snapshot of this length.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`].
    pub(crate) fn expect_bytes(&self, bytes: u64) -> io::Result<()> {
        let needed = bytes.saturating_mul(WRITTEN_TIMES).saturating_add(RECEIVE_RESERVE_BYTES);
        if self.directory.has_room(needed) { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    /// Adds a piece, off the threads that consensus needs.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] before the disk is full, and what the disk says.
    pub(crate) async fn write(&mut self, piece: Bytes) -> io::Result<()> {
        let (directory, file) = (Arc::clone(&self.directory), Arc::clone(&self.file));
        let written = tokio::task::spawn_blocking(move || {
            if directory.has_room(RECEIVE_RESERVE_BYTES) {
                (&*file).write_all(&piece)
            } else {
                Err(io::ErrorKind::StorageFull.into())
            }
        });
        written.await.map_err(io::Error::other)?
    }

    /// A handle on what was received. The file is removed with it and its clones, unless it is adopted before.
    ///
    /// # Errors
    /// When the file can't be opened.
    pub(crate) fn finish(self) -> Result<SnapshotFile, Fault> {
        let opened = SnapshotFile::open(self.partial.path());
        let file = opened.map_err(|error| Fault::Snapshot(error.to_string()))?;
        Ok(file.received(self.partial))
    }
}

/// The name of a file that goes with this value, unless it was moved.
#[derive(Debug)]
pub(super) struct PartialFile {
    path: PathBuf,
    moved: Mutex<bool>,
}

impl PartialFile {
    fn new(path: PathBuf) -> PartialFile {
        PartialFile { path, moved: Mutex::new(false) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file another name, once; `false` when it was given one before.
    pub(super) fn move_to(&self, path: &Path) -> io::Result<bool> {
        let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        if !*moved {
            fs::rename(&self.path, path)?;
            *moved = true;
            return Ok(true);
        }
        Ok(false)
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !*self.moved.get_mut().unwrap_or_else(PoisonError::into_inner)
            && let Err(error) = fs::remove_file(&self.path)
        {
            // The next start removes it.
            tracing::warn!(path = %self.path.display(), %error, "an unfinished snapshot is left behind");
        }
    }
}
