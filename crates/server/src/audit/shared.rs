//! What the writer's thread tells those who hold the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyperion_vault_core::time::Timestamp;

use super::chain::Head;
use super::error::AuditUnavailable;
use super::log::{APPEND_WAIT_MS_MAX, AuditStats};

/// Instead of the time since when the writer is at work: it waits for work.
const IDLE: u64 = u64::MAX;

pub(super) struct Shared {
    head: Mutex<Head>,
    /// Why the last attempt to write failed; none after one that succeeded.
    failure: Mutex<Option<AuditUnavailable>>,
    busy_since_ms: AtomicU64,
    records: AtomicU64,
    groups: AtomicU64,
    failures: AtomicU64,
    pub(super) syncs: Arc<AtomicU64>,
}

impl Shared {
    pub(super) fn new(head: Head) -> Shared {
        Shared {
            head: Mutex::new(head),
            failure: Mutex::new(None),
            busy_since_ms: AtomicU64::new(IDLE),
            records: AtomicU64::new(0),
            groups: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            syncs: Arc::default(),
        }
    }

    pub(super) fn begin(&self, now: Timestamp) {
        self.busy_since_ms.store(now.as_unix_ms(), Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.busy_since_ms.store(IDLE, Ordering::Relaxed);
    }

    pub(super) fn advance(&self, head: Head, records: u64) {
        *lock(&self.head) = head;
        self.records.fetch_add(records, Ordering::Relaxed);
        self.groups.fetch_add(u64::from(records > 0), Ordering::Relaxed);
    }

    /// Says whether this is news.
    pub(super) fn failed(&self, error: AuditUnavailable) -> bool {
        self.failures.fetch_add(u64::from(error != AuditUnavailable::Closed), Ordering::Relaxed);
        lock(&self.failure).replace(error).is_none()
    }

    /// Says whether this is news.
    pub(super) fn recovered(&self) -> bool {
        lock(&self.failure).take().is_some()
    }

    pub(super) fn head(&self) -> Head {
        *lock(&self.head)
    }

    pub(super) fn health(&self, now: Timestamp) -> Result<(), AuditUnavailable> {
        if let Some(failure) = *lock(&self.failure) {
            return Err(failure);
        }
        let busy_since = Timestamp::from_unix_ms(self.busy_since_ms.load(Ordering::Relaxed));
        if now.ms_since(busy_since) > APPEND_WAIT_MS_MAX {
            return Err(AuditUnavailable::Stalled);
        }
        Ok(())
    }

    pub(super) fn stats(&self) -> AuditStats {
        AuditStats {
            records: self.records.load(Ordering::Relaxed),
            groups: self.groups.load(Ordering::Relaxed),
            syncs: self.syncs.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
