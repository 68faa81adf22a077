//! The thread that brings the active file to the disk, so that a write need not wait for it.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::disk::Disk;
use super::error::{AuditUnavailable, Step};

/// How long writes are gathered for one sync, from the first of them. With what a sync itself takes it has
/// to stay under the 50 ms that [`AuditSync::Batch`](super::AuditSync::Batch) promises.
const GATHER: Duration = Duration::from_millis(25);

/// How far the file that is written now has come.
#[derive(Default)]
struct State {
    file: Option<Arc<File>>,
    /// Bytes handed to the operating system.
    written: u64,
    /// Bytes known to be on the disk.
    synced: u64,
    /// After a failed sync the kernel may call the lost pages clean, so that a second sync would succeed and
    /// prove nothing. A failure therefore stays until another file is attached.
    failed: Option<io::ErrorKind>,
    urgent: bool,
    stopping: bool,
}

impl State {
    fn is_due(&self) -> bool {
        self.file.is_some() && self.failed.is_none() && self.synced < self.written
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

pub(super) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// `syncs` counts the syncs done.
    pub(super) fn start(disk: Arc<dyn Disk>, syncs: Arc<AtomicU64>) -> io::Result<Syncer> {
        let shared = Arc::new(Shared::default());
        let worker = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("audit-sync".to_owned())
            .spawn(move || worker.work(&*disk, &syncs))?;
        Ok(Syncer { shared, thread: Some(thread) })
    }

    /// From now on it is about `file`, whose first `len` bytes are on the disk.
    pub(super) fn attach(&self, file: Arc<File>, len: u64) {
        let mut state = self.shared.lock();
        *state = State { file: Some(file), written: len, synced: len, ..State::default() };
    }

    /// The file is now `len` bytes long.
    pub(super) fn wrote(&self, len: u64) {
        self.shared.lock().written = len;
        self.shared.changed.notify_all();
    }

    /// Bytes known to be on the disk, and the failure since when there are no more.
    pub(super) fn progress(&self) -> (u64, Option<io::ErrorKind>) {
        let state = self.shared.lock();
        (state.synced, state.failed)
    }

    /// Waits until all that was written is on the disk.
    pub(super) fn flush(&self) -> Result<(), AuditUnavailable> {
        let mut state = self.shared.lock();
        state.urgent = true;
        self.shared.changed.notify_all();
        let mut state = self
            .shared
            .changed
            .wait_while(state, |state| state.is_due())
            .unwrap_or_else(PoisonError::into_inner);
        state.urgent = false;
        state.failed.map_or(Ok(()), |kind| Err(AuditUnavailable::Failed { step: Step::Sync, kind }))
    }
}

impl Drop for Syncer {
    /// Syncs what is still due, then ends the thread.
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, disk: &dyn Disk, syncs: &AtomicU64) {
        while let Some((file, written)) = self.wait_for_work() {
            let result = disk.sync(&file);
            self.finish(&file, written, result, syncs);
        }
    }

    /// The file and how many bytes of it a sync that starts now covers; none when it is time to end.
    fn wait_for_work(&self) -> Option<(Arc<File>, u64)> {
        let state = self.lock();
        let state = self
            .changed
            .wait_while(state, |state| !state.is_due() && !state.stopping)
            .unwrap_or_else(PoisonError::into_inner);
        if !state.is_due() {
            return None;
        }
        let (state, _) = self
            .changed
            .wait_timeout_while(state, GATHER, |state| !state.urgent && !state.stopping)
            .unwrap_or_else(PoisonError::into_inner);
        Some((Arc::clone(state.file.as_ref()?), state.written))
    }

    fn finish(&self, file: &Arc<File>, written: u64, result: io::Result<()>, syncs: &AtomicU64) {
        let mut state = self.lock();
        if state.file.as_ref().is_some_and(|current| Arc::ptr_eq(current, file)) {
            match result {
                Ok(()) => state.synced = written,
                Err(error) => state.failed = Some(error.kind()),
            }
        }
        syncs.fetch_add(1, Ordering::Relaxed); // under the lock: whoever sees it sees the result
        self.changed.notify_all();
    }
}
