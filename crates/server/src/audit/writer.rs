//! The thread that numbers, chains, writes and answers. Everything that waits when it is free becomes one
//! group: one write, and in `always` mode one sync, for all of them.

use std::borrow::Cow;
use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use hyperion_vault_core::ports::Clock;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::chain::{Head, seal};
use super::error::{AuditUnavailable, Step};
use super::journal::Journal;
use super::log::Appended;
use super::record::{Event, Record};
use super::shared::Shared;

/// Records of one group.
const GROUP_RECORDS_MAX: usize = 512;
/// How often a log that can't be written is tried again when no request does so, and a quiet one is tended.
const TEND_INTERVAL: Duration = Duration::from_secs(1);
/// The record with which a log goes on that refused records before.
const WRITABLE_AGAIN: &str = "writing had failed; requests were refused until now";

/// One event, and whoever waits for its record.
pub(super) struct Waiting {
    pub(super) event: Event,
    pub(super) answer: oneshot::Sender<Result<Appended, AuditUnavailable>>,
    /// Its place in the queue.
    pub(super) room: OwnedSemaphorePermit,
}

#[expect(
    clippy::large_enum_variant,
    reason = "all but the last job are records, and a box would cost each an allocation"
)]
pub(super) enum Job {
    Append(Waiting),
    Close(oneshot::Sender<Result<(), AuditUnavailable>>),
}

pub(super) struct Writer {
    pub(super) journal: Journal,
    pub(super) head: Head,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) node: u64,
    pub(super) shared: Arc<Shared>,
    /// What the log itself has to record ahead of anything else.
    pub(super) note: Option<Cow<'static, str>>,
    pub(super) lock: File,
}

impl Writer {
    /// Works until the log is closed or nobody holds it any more.
    pub(super) fn run(mut self, queue: &Receiver<Job>) {
        loop {
            match self.next_job(queue) {
                Ok(Job::Append(first)) => {
                    let (group, close) = gather(first, queue);
                    self.commit(group);
                    if let Some(answer) = close {
                        return self.close(Some(answer));
                    }
                }
                Ok(Job::Close(answer)) => return self.close(Some(answer)),
                Err(RecvTimeoutError::Timeout) => self.tend(),
                Err(RecvTimeoutError::Disconnected) => return self.close(None),
            }
        }
    }

    fn next_job(&self, queue: &Receiver<Job>) -> Result<Job, RecvTimeoutError> {
        if self.note.is_some() || self.journal.has_unsynced() {
            return queue.recv_timeout(TEND_INTERVAL);
        }
        queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
    }

    /// Mends what can be mended, and writes what the log itself has to say.
    pub(super) fn tend(&mut self) {
        self.commit(Vec::new());
    }

    fn commit(&mut self, group: Vec<Waiting>) {
        self.shared.begin(self.clock.now());
        let records = group.len() as u64 + u64::from(self.note.is_some());
        let (events, waiting): (Vec<_>, Vec<_>) =
            group.into_iter().map(|one| (one.event, (one.answer, one.room))).unzip();
        let committed = self.write(events);
        match committed {
            Ok(head) => self.succeeded(head, records),
            Err(error) => self.failed(error),
        }
        self.shared.end();
        let first_seq = self.head.seq.saturating_sub(waiting.len() as u64).saturating_add(1);
        for ((answer, _room), seq) in waiting.into_iter().zip(first_seq..) {
            // Nobody waits any more when the request was given up; its record stands all the same.
            let _ = answer.send(committed.map(|_| Appended { seq }));
        }
    }

    /// Chains and writes; the head is where it was when this fails.
    fn write(&mut self, events: Vec<Event>) -> Result<Head, AuditUnavailable> {
        let now = self.clock.now();
        let mut lines = Vec::new();
        let mut head = self.head;
        let mut chain = |record: Record, head: Head| {
            seal(&record, &head.hash, &mut lines).map_err(AuditUnavailable::at(Step::Encode))
        };
        if let Some(note) = self.note.clone() {
            head = chain(Record::recovered(note, head.seq + 1, now, self.node), head)?;
        }
        for event in events {
            head = chain(Record::of(event, head.seq + 1, now, self.node), head)?;
        }
        self.journal.commit(&lines, self.head.seq + 1)?;
        Ok(head)
    }

    fn succeeded(&mut self, head: Head, records: u64) {
        if self.shared.recovered() {
            tracing::info!("audit log can be written again");
        }
        self.note = None;
        self.head = head;
        self.shared.advance(head, records);
    }

    fn failed(&mut self, error: AuditUnavailable) {
        if self.shared.failed(error) {
            tracing::error!(%error, "requests are refused until the audit log can be written");
        }
        self.note.get_or_insert(Cow::Borrowed(WRITABLE_AGAIN));
    }

    fn close(mut self, answer: Option<oneshot::Sender<Result<(), AuditUnavailable>>>) {
        if self.journal.has_unsynced() {
            self.tend();
        }
        let flushed = self.journal.flush();
        self.shared.failed(AuditUnavailable::Closed);
        drop((self.journal, self.lock));
        if let Some(answer) = answer {
            let _ = answer.send(flushed);
        }
    }
}

/// Everything that waits, up to the limit, or up to a close.
fn gather(
    first: Waiting,
    queue: &Receiver<Job>,
) -> (Vec<Waiting>, Option<oneshot::Sender<Result<(), AuditUnavailable>>>) {
    let mut group = vec![first];
    while group.len() < GROUP_RECORDS_MAX {
        match queue.try_recv() {
            Ok(Job::Append(next)) => group.push(next),
            Ok(Job::Close(answer)) => return (group, Some(answer)),
            Err(_) => break,
        }
    }
    (group, None)
}
