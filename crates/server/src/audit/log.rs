//! The handle on the audit log.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use hyperion_vault_core::ports::Clock;
use tokio::sync::{Semaphore, oneshot};

use super::chain::Head;
use super::config::AuditConfig;
use super::disk::{Disk, OsDisk};
use super::error::{AuditOpenError, AuditUnavailable};
use super::journal::Journal;
use super::query::{Page, Query, query};
use super::record::Event;
use super::recovery::recover;
use super::shared::Shared;
use super::syncer::Syncer;
use super::writer::{Job, Waiting, Writer};

/// Records that wait to be written. Further ones wait for a place, in the order they came.
const QUEUE_RECORDS_MAX: usize = 4_096;
/// How long a record may take before its request is refused, in milliseconds.
pub(super) const APPEND_WAIT_MS_MAX: u64 = 5_000;

/// A record that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its number on this node.
    pub seq: u64,
}

/// What the log has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuditStats {
    /// Records written, the log's own included.
    pub records: u64,
    /// Writes that brought them to the operating system.
    pub groups: u64,
    /// Syncs that brought those to the disk.
    pub syncs: u64,
    /// Attempts to write that failed; each refused all the records of its group.
    pub failures: u64,
}

/// The audit log of this node, open for writing. One process can hold it at a time.
pub struct AuditLog {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    queue: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    shared: Arc<Shared>,
}

impl AuditLog {
    /// Opens the log of node `node_id`, or makes it. A torn last line, left by a crash in the middle of a
    /// write, is cut off, and a record says so.
    ///
    /// # Errors
    /// [`AuditOpenError`]: the files can't be used, are in use, or end in something that this log did not
    /// write.
    pub fn open(
        config: AuditConfig,
        clock: Arc<dyn Clock>,
        node_id: u64,
    ) -> Result<AuditLog, AuditOpenError> {
        AuditLog::open_on(Arc::new(OsDisk), config, clock, node_id)
    }

    pub(super) fn open_on(
        disk: Arc<dyn Disk>,
        config: AuditConfig,
        clock: Arc<dyn Clock>,
        node: u64,
    ) -> Result<AuditLog, AuditOpenError> {
        let path = config.path.clone();
        let recovered = recover(&path)?;
        let shared = Arc::new(Shared::new(recovered.head));
        let syncer = Syncer::start(Arc::clone(&disk), Arc::clone(&shared.syncs))
            .map_err(AuditOpenError::io(&path, "no thread for it"))?;
        let mut writer = Writer {
            journal: Journal::new(config, disk, syncer, recovered.active),
            head: recovered.head,
            clock: Arc::clone(&clock),
            node,
            shared: Arc::clone(&shared),
            note: (recovered.cut_bytes > 0)
                .then(|| Cow::Owned(format!("cut {} bytes of a torn line", recovered.cut_bytes))),
            lock: recovered.lock,
        };
        writer.tend();
        let (queue, jobs) = mpsc::channel();
        thread::Builder::new()
            .name("audit-writer".to_owned())
            .spawn(move || writer.run(&jobs))
            .map_err(AuditOpenError::io(&path, "no thread for it"))?;
        Ok(AuditLog { path, clock, queue, room: Arc::new(Semaphore::new(QUEUE_RECORDS_MAX)), shared })
    }

    /// Records `event`; returns when the record is as safe as the configuration asks for. Records stand in
    /// the order in which the calls came.
    ///
    /// Dropping the future does not take the event back.
    ///
    /// # Errors
    /// [`AuditUnavailable`]: there is no record, or (only [`AuditUnavailable::Stalled`]) none yet.
    pub async fn append(&self, event: Event) -> Result<Appended, AuditUnavailable> {
        let wait = Duration::from_millis(APPEND_WAIT_MS_MAX);
        tokio::time::timeout(wait, self.submit(event)).await.unwrap_or(Err(AuditUnavailable::Stalled))
    }

    async fn submit(&self, event: Event) -> Result<Appended, AuditUnavailable> {
        let closed = || AuditUnavailable::Closed;
        // Waiting for a place may let others by when it is not needed: tokio makes a task pause now and then.
        // With a full queue there is no place to take, so nobody gets past those who wait.
        let room = match Arc::clone(&self.room).try_acquire_owned() {
            Ok(room) => room,
            Err(_) => Arc::clone(&self.room).acquire_owned().await.map_err(|_| closed())?,
        };
        let (answer, answered) = oneshot::channel();
        self.queue.send(Job::Append(Waiting { event, answer, room })).map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// Whether the log can be written now, by the last attempt. After a failure it is tried again every
    /// second, so this recovers without a request.
    ///
    /// # Errors
    /// Why it can't.
    pub fn health(&self) -> Result<(), AuditUnavailable> {
        self.shared.health(self.clock.now())
    }

    /// The last record.
    #[must_use]
    pub fn head(&self) -> Head {
        self.shared.head()
    }

    #[must_use]
    pub fn stats(&self) -> AuditStats {
        self.shared.stats()
    }

    /// A page of the log, the newest record first. See [`query`].
    ///
    /// # Errors
    /// When the files can't be read.
    pub async fn query(&self, mut asked: Query) -> std::io::Result<Page> {
        // What is being written just now may yet be taken back.
        let end = self.head().seq.saturating_add(1);
        asked.before = Some(asked.before.map_or(end, |before| before.min(end)));
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || query(&path, &asked)).await.map_err(std::io::Error::other)?
    }

    /// Writes and syncs what is waiting, and lets go of the files. Every later [`append`](Self::append) is
    /// refused.
    ///
    /// # Errors
    /// When what is waiting can't be brought to the disk.
    pub async fn close(&self) -> Result<(), AuditUnavailable> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(Job::Close(answer)).map_err(|_| AuditUnavailable::Closed)?;
        answered.await.map_err(|_| AuditUnavailable::Closed)?
    }
}
