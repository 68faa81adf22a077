//! Opens a redb database on a backend whose syncs and length are observed, and closes it small.

use std::io;
use std::ops::Bound;
use std::sync::Arc;

use redb::{BackendError, CompactionError, Database, DatabaseError, StorageBackend};

use super::{DatabaseFile, Disk};
use crate::error::StartError;
use crate::stats::StorageStats;

/// Opens one of the databases of `disk`; `cache_bytes` bounds redb's page cache.
pub(crate) fn open_database(
    disk: &dyn Disk,
    file: DatabaseFile,
    cache_bytes: usize,
    stats: &Arc<StorageStats>,
) -> Result<Database, StartError> {
    let inner = disk
        .open(file)
        .map_err(|source| StartError::DataDir { path: disk.directory().to_owned(), source })?;
    let backend = CountedBackend { inner, file, stats: Arc::clone(stats) };
    backend
        .note_length()
        .map_err(|source| StartError::DataDir { path: disk.directory().to_owned(), source })?;
    redb::Builder::new().set_cache_size(cache_bytes).create_with_backend(backend).map_err(|error| match error
    {
        DatabaseError::DatabaseAlreadyOpen => StartError::InUse { path: disk.directory().to_owned() },
        error => StartError::Unreadable { file, reason: error.to_string() },
    })
}

/// A file longer than this is closed as it is. redb doubles a file when it is full, so that up to half of it can
/// be unused; compacting this much takes well under a second, and a stop must not take longer.
const COMPACTED_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Closes a database, and gives back what its file doesn't need if that is quickly done.
pub(crate) fn close_database(mut database: Database, file_bytes: u64) -> Result<(), redb::Error> {
    if file_bytes <= COMPACTED_BYTES_MAX {
        match database.compact() {
            Ok(_) => {}
            // A view is still held somewhere. The next stop may have more luck.
            Err(CompactionError::TransactionInProgress) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(database.close()?)
}

/// Forwards to the storage proper, counts its syncs and keeps its length.
#[derive(Debug)]
struct CountedBackend {
    inner: Box<dyn StorageBackend>,
    file: DatabaseFile,
    stats: Arc<StorageStats>,
}

impl CountedBackend {
    fn note_length(&self) -> io::Result<()> {
        let length = match self.file {
            DatabaseFile::Log => &self.stats.log_file_bytes,
            DatabaseFile::State => &self.stats.state_file_bytes,
        };
        length.set(self.inner.len()?);
        Ok(())
    }
}

impl StorageBackend for CountedBackend {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)?;
        self.note_length()
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.file {
            DatabaseFile::Log => self.stats.log_syncs.increment(),
            DatabaseFile::State => self.stats.state_syncs.increment(),
        }
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
