//! Counters of what the storage did, for metrics and for tests that hold a promise to a number.

use std::sync::atomic::{AtomicU64, Ordering};

/// One count that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The count so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn increment(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
}

/// A size as it is now.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// The size now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// What the storage of this node did since it was opened.
#[derive(Debug, Default)]
pub struct StorageStats {
    /// Times the log file was synced to the disk, for whatever reason.
    pub log_syncs: Counter,
    /// Times the state file was synced to the disk, for whatever reason.
    pub state_syncs: Counter,
    /// Transactions on the log; each makes everything that waited for it durable.
    pub log_batches: Counter,
    /// Entries appended to the log.
    pub entries_appended: Counter,
    /// Transactions that applied entries to the state.
    pub batches_applied: Counter,
    /// Entries applied to the state.
    pub entries_applied: Counter,
    /// Times the view that readers share was replaced.
    pub views_published: Counter,
    /// Times the applied state was made durable.
    pub checkpoints: Counter,
    /// Snapshots built.
    pub snapshots: Counter,
    /// Length of the log file, in bytes.
    pub log_file_bytes: Gauge,
    /// Length of the state file, in bytes.
    pub state_file_bytes: Gauge,
}
