//! The state as consensus drives it.

use std::io;
use std::sync::Arc;

use futures::{FutureExt, Stream, StreamExt};
use openraft::OptionalSend;
use openraft::storage::{ApplyResponder, EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::type_config::alias::SnapshotOf;

use super::writer::StateHandle;
use crate::fault::{Fault, FaultLatch};
use crate::log_store::entry_weight;
use crate::node::{Applied, Pending};
use crate::snapshot::{SnapshotDir, SnapshotFile};
use crate::stats::StorageStats;
use crate::types::{Decided, Entry, LogId, Response, SnapshotMeta, StoredMembership, TypeConfig};

type StateSnapshot = SnapshotOf<TypeConfig, SnapshotFile>;

/// What one transaction applies at most. The bound in entries keeps a batch, and with it the next answer, to some
/// tens of milliseconds; that in bytes bounds memory.
const BATCH_ENTRIES_MAX: usize = 512;
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A snapshot is due when the log since the last is this part of it.
const SNAPSHOT_LOG_PART: u64 = 4;

/// What must be free beside a snapshot about to be written: what the log and the state take meanwhile.
const SNAPSHOT_RESERVE_BYTES: u64 = 64 * 1024 * 1024;

/// Applies committed entries, builds and installs snapshots.
pub(crate) struct StateMachine {
    state: StateHandle,
    snapshots: Arc<SnapshotDir>,
    stats: Arc<StorageStats>,
    latch: Arc<FaultLatch>,
    pending: Arc<Pending>,
    /// Bytes of the entries applied since the last snapshot was begun.
    bytes_since_snapshot: u64,
    /// The last snapshot that was due found no room; said once until there is room.
    lacks_room: bool,
}

impl StateMachine {
    pub(crate) fn new(
        state: StateHandle,
        snapshots: Arc<SnapshotDir>,
        stats: Arc<StorageStats>,
        latch: Arc<FaultLatch>,
        pending: Arc<Pending>,
    ) -> StateMachine {
        StateMachine { state, snapshots, stats, latch, pending, bytes_since_snapshot: 0, lacks_room: false }
    }

    fn tell_who_waits(&self, response: &Response) {
        if let Some(Decided { origin: Some(origin), outcome }) = &response.decided {
            let applied = Applied { log_index: response.log_index, outcome: outcome.clone() };
            self.pending.resolve(*origin, applied);
        }
    }

    /// Whether a snapshot will fit on the disk. One that doesn't would end the node, while the log can go on.
    fn has_room(&mut self) -> bool {
        let needed = self.stats.state_file_bytes.get().saturating_add(SNAPSHOT_RESERVE_BYTES);
        let lacks_room = !self.snapshots.has_room(needed);
        if lacks_room && !self.lacks_room {
            tracing::warn!(needed_bytes = needed, "no room for a snapshot: it is put off, and the log grows");
        }
        self.lacks_room = lacks_room;
        !lacks_room
    }
}

/// Entries that are applied together, and who waits for each.
#[derive(Default)]
struct Batch {
    entries: Vec<Entry>,
    responders: Vec<Option<ApplyResponder<TypeConfig>>>,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, (entry, responder): EntryResponder<TypeConfig>) {
        self.bytes = self.bytes.saturating_add(entry_weight(&entry));
        self.entries.push(entry);
        self.responders.push(responder);
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= BATCH_ENTRIES_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// The next entry and all that can be had with it without waiting; empty at the end of the stream.
    async fn next<S>(entries: &mut S) -> io::Result<Batch>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin,
    {
        let mut batch = Batch::default();
        if let Some(entry) = entries.next().await {
            batch.add(entry?);
            while !batch.is_full() {
                let Some(Some(entry)) = entries.next().now_or_never() else { break };
                batch.add(entry?);
            }
        }
        Ok(batch)
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let view = self.state.view();
        Ok((view.applied(), view.membership().clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        loop {
            let batch = Batch::next(&mut entries).await?;
            if batch.entries.is_empty() {
                return Ok(());
            }
            self.bytes_since_snapshot = self.bytes_since_snapshot.saturating_add(batch.bytes as u64);
            let responses = self.state.apply(batch.entries).await.map_err(Fault::into_io)?;
            for (responder, response) in batch.responders.into_iter().zip(responses) {
                self.tell_who_waits(&response);
                if let Some(responder) = responder {
                    responder.send(response);
                }
            }
        }
    }

    /// Writing a snapshot costs its size, and gains the size of the log that may then go. Unless it is forced, it
    /// is put off until that is worth it, so that a large state isn't written anew for a handful of entries, and
    /// until there is room for it.
    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<SnapshotBuilder> {
        let worth_it =
            self.bytes_since_snapshot.saturating_mul(SNAPSHOT_LOG_PART) >= self.snapshots.newest_bytes();
        let wanted = force || (worth_it && self.has_room());
        if !wanted {
            return None;
        }
        self.bytes_since_snapshot = 0;
        Some(self.get_snapshot_builder().await)
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            state: self.state.clone(),
            snapshots: Arc::clone(&self.snapshots),
            stats: Arc::clone(&self.stats),
            latch: Arc::clone(&self.latch),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, received: SnapshotFile) -> io::Result<()> {
        let (snapshots, expected) = (Arc::clone(&self.snapshots), meta.clone());
        let _turn = self.snapshots.begin().await;
        let adopt = move || {
            let verified = received.verify()?;
            if *verified.meta() != expected {
                return Err(Fault::Snapshot("its file is of another moment than announced".to_owned()));
            }
            snapshots.adopt(verified)
        };
        let verified = tokio::task::spawn_blocking(adopt).await.map_err(io::Error::other)?;
        self.state.install(verified.map_err(Fault::into_io)?).await.map_err(Fault::into_io)?;
        self.snapshots.remove_all_but(meta).map_err(Fault::into_io)
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<StateSnapshot>> {
        let snapshots = Arc::clone(&self.snapshots);
        let newest =
            tokio::task::spawn_blocking(move || snapshots.newest()).await.map_err(io::Error::other)?;
        Ok(newest.map_err(Fault::into_io)?.map(|(meta, snapshot)| StateSnapshot { meta, snapshot }))
    }
}

/// Writes the state of one moment to a file, off the path of applying.
pub(crate) struct SnapshotBuilder {
    state: StateHandle,
    snapshots: Arc<SnapshotDir>,
    stats: Arc<StorageStats>,
    latch: Arc<FaultLatch>,
}

impl SnapshotBuilder {
    /// A snapshot that can't be written ends the node; one that was given up for the node's end doesn't.
    fn failed(&self, fault: Fault) -> io::Error {
        if self.snapshots.is_stopping() { fault.into_io() } else { self.latch.raise(fault).into_io() }
    }
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<StateSnapshot> {
        let turn = self.snapshots.begin().await;
        // Once there is a snapshot, the log before it may go: what the snapshot covers must be durable here too.
        let view = self.state.view();
        self.state.checkpoint().await.map_err(Fault::into_io)?;
        let snapshots = Arc::clone(&self.snapshots);
        let written = tokio::task::spawn_blocking(move || {
            let meta = view.snapshot_meta();
            let snapshot = snapshots.write(&view)?;
            snapshots.remove_all_but(&meta)?;
            drop(turn);
            Ok(StateSnapshot { meta, snapshot })
        });
        let snapshot = written.await.map_err(io::Error::other)?.map_err(|fault| self.failed(fault))?;
        self.stats.snapshots.increment();
        Ok(snapshot)
    }
}
