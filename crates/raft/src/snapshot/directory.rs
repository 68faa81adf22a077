//! The directory of a node's snapshots: at most one, and for a moment the one that takes its place.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::file::{SnapshotFile, VerifiedSnapshot};
use super::format::SnapshotWriter;
use super::incoming::IncomingSnapshot;
use crate::disk::data_dir::{create_directory, private_file, sync_directory};
use crate::disk::space::free_bytes;
use crate::fault::Fault;
use crate::state::StateView;
use crate::types::SnapshotMeta;

const EXTENSION: &str = "hvsnap";
/// A file under construction; removed when the directory is opened.
const PARTIAL_EXTENSION: &str = "partial";
const WRITE_BUFFER_BYTES: usize = 256 * 1024;

/// Shared by whoever writes snapshots and whoever ends that.
#[derive(Debug)]
pub(crate) struct SnapshotDir {
    path: PathBuf,
    /// Held while a snapshot is written.
    writing: Arc<Mutex<()>>,
    stopping: AtomicBool,
    /// Snapshots that were begun to be received; numbers their files.
    incoming: AtomicU64,
}

impl SnapshotDir {
    /// Makes the directory if it isn't there, and clears what a crash left half-written.
    pub(crate) fn open(path: &Path) -> io::Result<SnapshotDir> {
        create_directory(path)?;
        let directory = SnapshotDir {
            path: path.to_owned(),
            writing: Arc::default(),
            stopping: AtomicBool::new(false),
            incoming: AtomicU64::new(0),
        };
        for partial in directory.files(PARTIAL_EXTENSION)? {
            fs::remove_file(partial)?;
        }
        Ok(directory)
    }

    /// Ends the writing of snapshots, waiting for the one under way to be given up.
    pub(crate) async fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        drop(self.writing.lock().await);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Waits for its turn. What is written with it fails once [`SnapshotDir::stop`] was called.
    pub(crate) async fn begin(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.writing).lock_owned().await
    }

    /// Writes what `view` sees. Blocks; takes no more memory than a row and two buffers.
    pub(crate) fn write(&self, view: &StateView) -> Result<SnapshotFile, Fault> {
        let meta = view.snapshot_meta();
        self.create(&meta, |file| {
            let out = BufWriter::with_capacity(WRITE_BUFFER_BYTES, file);
            let mut writer = SnapshotWriter::begin(out, &meta).map_err(failed)?;
            view.for_each_row(|key, value| match self.is_stopping() {
                true => Err(Fault::Snapshot("given up: the node stops".to_owned())),
                false => writer.row(key, value).map_err(failed),
            })?;
            writer.finish().and_then(|mut out| out.flush()).map_err(failed)
        })
    }

    /// A file of its own for a snapshot about to be received.
    pub(crate) fn incoming(self: &Arc<Self>) -> io::Result<IncomingSnapshot> {
        let number = self.incoming.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(format!("incoming-{number}.{PARTIAL_EXTENSION}"));
        let file = private_file().create_new(true).open(&path)?;
        Ok(IncomingSnapshot::new(Arc::clone(self), file, path))
    }

    /// Takes over a snapshot that was received, so that it is there after a restart. One that was received in this
    /// directory only gets its name; any other is copied.
    pub(crate) fn adopt(&self, received: VerifiedSnapshot) -> Result<VerifiedSnapshot, Fault> {
        if received.file().move_to(&self.file(received.meta())).map_err(failed)? {
            sync_directory(&self.path).map_err(failed)?;
            return Ok(received);
        }
        let mut source = received.file().reader();
        let file = self
            .create(received.meta(), |mut file| io::copy(&mut source, &mut file).map(drop).map_err(failed))?;
        Ok(received.moved_to(file))
    }

    /// The newest snapshot whose header can be read.
    pub(crate) fn newest(&self) -> Result<Option<(SnapshotMeta, SnapshotFile)>, Fault> {
        let mut files = self.files(EXTENSION).map_err(failed)?;
        files.sort();
        for path in files.iter().rev() {
            let file = SnapshotFile::open(path).map_err(failed)?;
            match file.meta() {
                Ok(meta) => return Ok(Some((meta, file))),
                Err(error) => tracing::warn!(path = %path.display(), %error, "snapshot passed over"),
            }
        }
        Ok(None)
    }

    /// Length of the newest snapshot; 0 when there is none or it can't be told.
    pub(crate) fn newest_bytes(&self) -> u64 {
        let newest = self.files(EXTENSION).ok().and_then(|files| files.into_iter().max());
        newest.and_then(|path| fs::metadata(path).ok()).map_or(0, |metadata| metadata.len())
    }

    /// Whether the file system takes `bytes` more. Where it can't be told, writing will tell.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        free_bytes(&self.path).map_or(true, |free| free >= bytes)
    }

    /// Removes every snapshot but that of `meta`.
    pub(crate) fn remove_all_but(&self, meta: &SnapshotMeta) -> Result<(), Fault> {
        let kept = self.file(meta);
        for path in self.files(EXTENSION).map_err(failed)? {
            if path != kept {
                fs::remove_file(path).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Creates a snapshot's file so that either none or a whole one is ever found.
    fn create(
        &self,
        meta: &SnapshotMeta,
        fill: impl FnOnce(&File) -> Result<(), Fault>,
    ) -> Result<SnapshotFile, Fault> {
        let path = self.file(meta);
        let partial = path.with_extension(PARTIAL_EXTENSION);
        let file = private_file().create(true).truncate(true).open(&partial).map_err(failed)?;
        fill(&file)?;
        file.sync_all().map_err(failed)?;
        fs::rename(&partial, &path).map_err(failed)?;
        sync_directory(&self.path).map_err(failed)?;
        SnapshotFile::open(&path).map_err(failed)
    }

    /// Named so that a later snapshot's name sorts after an earlier one's.
    fn file(&self, meta: &SnapshotMeta) -> PathBuf {
        let (index, term) = meta.last_log_id.map_or((0, 0), |id| (id.index, id.leader_id.term));
        self.path.join(format!("{index:020}-{term:020}.{EXTENSION}"))
    }

    fn files(&self, extension: &str) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.extension().is_some_and(|found| found == extension) {
                files.push(path);
            }
        }
        Ok(files)
    }
}

fn failed(error: io::Error) -> Fault {
    Fault::Snapshot(error.to_string())
}
