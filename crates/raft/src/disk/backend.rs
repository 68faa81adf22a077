//! Opens a redb database on a backend whose syncs are counted.

use std::io;
use std::ops::Bound;
use std::sync::Arc;

use redb::{BackendError, Database, DatabaseError, StorageBackend};

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
    redb::Builder::new().set_cache_size(cache_bytes).create_with_backend(backend).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => StartError::InUse { path: disk.directory().to_owned() },
        error => StartError::Unreadable { file, reason: error.to_string() },
    })
}

/// Forwards to the storage proper and counts its syncs.
#[derive(Debug)]
struct CountedBackend {
    inner: Box<dyn StorageBackend>,
    file: DatabaseFile,
    stats: Arc<StorageStats>,
}

impl StorageBackend for CountedBackend {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
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
