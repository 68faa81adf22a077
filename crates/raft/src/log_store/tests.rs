//! What the log promises beyond the suite: sharing of syncs, memory, purging in steps, faults.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use openraft::RaftLogReader;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use tokio::sync::oneshot;

use super::*;
use crate::disk::header::Identity;
use crate::disk::{DatabaseFile, Disk};
use crate::types::{CommittedLeaderId, EncodedProposal, EntryPayload};

/// A disk in memory whose syncs can be held up or made to fail. Opening it again finds what was written.
#[derive(Debug, Default, Clone)]
struct MemoryDisk {
    bytes: Arc<InMemoryBackend>,
    failing: Arc<AtomicBool>,
    unreadable: Arc<AtomicBool>,
    /// A sync waits while the test holds this.
    syncing: Arc<Mutex<()>>,
}

impl Disk for MemoryDisk {
    fn open(&self, _file: DatabaseFile) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(self.clone()))
    }

    fn directory(&self) -> &std::path::Path {
        std::path::Path::new("memory")
    }

    fn snapshots(&self) -> &std::path::Path {
        self.directory()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

impl StorageBackend for MemoryDisk {
    fn len(&self) -> io::Result<u64> {
        self.bytes.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.unreadable.load(Ordering::SeqCst) {
            return Err(io::Error::other("a bad sector"));
        }
        self.bytes.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.bytes.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        let _released = self.syncing.lock();
        if self.failing.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is gone"));
        }
        self.bytes.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.bytes.write(offset, data)
    }
}

/// Admits what the state is said to have made durable.
struct DurableTo(u64);

impl PurgeGate for DurableTo {
    async fn admits(&self, index: u64) -> Result<bool, Fault> {
        Ok(index <= self.0)
    }

    fn applied(&self) -> Option<u64> {
        None
    }
}

struct Log {
    store: LogStore<DurableTo>,
    writer: LogWriter,
    stats: Arc<StorageStats>,
    disk: MemoryDisk,
    halted: Arc<AtomicBool>,
}

fn open(durable_to: u64) -> Log {
    open_on(MemoryDisk::default(), durable_to)
}

fn open_on(disk: MemoryDisk, durable_to: u64) -> Log {
    let stats = Arc::new(StorageStats::default());
    let (file, identity) = LogFile::open(&disk, &stats).unwrap();
    if identity.is_none() {
        file.initialise(&Identity { node_id: 1, disk_id: [0; 16] }).unwrap();
    }
    let recovered = file.recover().unwrap();
    let halted = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&halted);
    let latch = FaultLatch::new(Arc::new(move |_| seen.store(true, Ordering::SeqCst)));
    let (store, writer) =
        LogStore::start(file, recovered, DurableTo(durable_to), Arc::clone(&stats), latch).unwrap();
    Log { store, writer, stats, disk, halted }
}

fn log_id(index: u64) -> LogId {
    LogId { leader_id: CommittedLeaderId { term: 1, node_id: 1 }, index }
}

fn entry(index: u64, bytes: usize) -> Entry {
    let proposal = EncodedProposal(Bytes::from(vec![index.to_le_bytes()[0]; bytes]));
    Entry { log_id: log_id(index), payload: EntryPayload::Normal(proposal) }
}

type Flushed = oneshot::Receiver<io::Result<()>>;

impl Log {
    /// Appends without waiting for the disk.
    async fn append(&mut self, entries: impl IntoIterator<Item = Entry>) -> Flushed {
        let (flushed, waiting) = TypeConfig::oneshot();
        self.store.append(entries.into_iter().collect::<Vec<_>>(), IOFlushed::signal(flushed)).await.unwrap();
        waiting
    }

    async fn read(&self, range: std::ops::Range<u64>) -> Vec<Entry> {
        self.store.reader.clone().try_get_log_entries(range).await.unwrap()
    }
}

fn indices(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.log_id.index).collect()
}

#[tokio::test]
async fn what_was_appended_is_readable_before_it_is_durable() {
    let mut log = open(0);
    let syncing = Arc::clone(&log.disk.syncing);
    let held = syncing.lock().unwrap();
    let mut flushed = log.append((1..=3).map(|index| entry(index, 10))).await;
    assert_eq!(indices(&log.read(0..10).await), [1, 2, 3]);
    assert!(flushed.try_recv().is_err(), "acknowledged before the disk had it");
    drop(held);
    flushed.await.unwrap().unwrap();
}

#[tokio::test]
async fn appends_that_wait_for_the_disk_share_its_next_sync() {
    let mut log = open(0);
    let syncing = Arc::clone(&log.disk.syncing);
    let held = syncing.lock().unwrap();
    let mut waiting = Vec::new();
    for index in 1..=64 {
        waiting.push(log.append([entry(index, 10)]).await);
    }
    drop(held);
    for flushed in waiting {
        flushed.await.unwrap().unwrap();
    }
    // One for what the thread had taken when the disk was held up, one for all that came after.
    assert!(log.stats.log_batches.get() <= 2, "{} batches", log.stats.log_batches.get());
    assert_eq!(log.stats.entries_appended.get(), 64);
}

#[tokio::test]
async fn a_batch_costs_one_sync() {
    let mut log = open(0);
    log.append([entry(1, 10)]).await.await.unwrap().unwrap();
    let before = log.stats.log_syncs.get();
    log.append((2..=20).map(|index| entry(index, 100))).await.await.unwrap().unwrap();
    assert_eq!(log.stats.log_syncs.get(), before + 1);
}

#[tokio::test]
async fn a_failed_sync_halts_the_node_and_acknowledges_nothing() {
    let mut log = open(0);
    log.append([entry(1, 10)]).await.await.unwrap().unwrap();
    log.disk.failing.store(true, Ordering::SeqCst);
    log.append([entry(2, 10)]).await.await.unwrap().unwrap_err();
    assert!(log.halted.load(Ordering::SeqCst), "nobody was told");

    log.disk.failing.store(false, Ordering::SeqCst);
    assert!(log.store.save_vote(&Vote::new(2, 1)).await.is_err(), "went on after a failed sync");
    assert!(log.writer.stop().await.is_err());
}

#[tokio::test]
async fn the_committed_index_costs_no_sync_and_is_there_after_a_restart() {
    let mut log = open(0);
    log.append((1..=5).map(|index| entry(index, 10))).await.await.unwrap().unwrap();
    let before = log.stats.log_syncs.get();
    log.store.save_committed(Some(log_id(4))).await.unwrap();
    assert_eq!(log.stats.log_syncs.get(), before);
    log.writer.stop().await.unwrap();

    let mut reopened = open_on(log.disk, 0);
    assert_eq!(reopened.store.read_committed().await.unwrap(), Some(log_id(4)));
}

#[tokio::test]
async fn the_committed_index_on_disk_never_passes_the_entries_on_disk() {
    let mut log = open(0);
    log.append([entry(1, 10)]).await.await.unwrap().unwrap();
    log.store.save_committed(Some(log_id(9))).await.unwrap();
    log.writer.stop().await.unwrap();
    assert_eq!(open_on(log.disk, 0).store.read_committed().await.unwrap(), None);
}

#[tokio::test]
async fn the_vote_is_there_after_a_restart() {
    let mut log = open(0);
    log.store.save_vote(&Vote::new_committed(3, 1)).await.unwrap();
    log.writer.stop().await.unwrap();
    let reopened = open_on(log.disk, 0);
    assert_eq!(reopened.store.reader.clone().read_vote().await.unwrap(), Some(Vote::new_committed(3, 1)));
}

#[tokio::test]
async fn a_log_longer_than_memory_reads_without_a_seam() {
    let mut log = open(0);
    let entries: Vec<Entry> = (1..=200).map(|index| entry(index, 100_000)).collect();
    for chunk in entries.chunks(10) {
        log.append(chunk.to_vec()).await.await.unwrap().unwrap();
    }
    let (in_file, in_memory) = log.store.reader.memory().read(1..201);
    assert!(!in_file.is_empty() && !in_memory.is_empty(), "the test reads one source only");
    assert_eq!(log.read(1..201).await, entries);

    let mut reader = log.store.reader.clone();
    let streamed: Vec<Entry> =
        futures::TryStreamExt::try_collect(reader.entries_stream(1..201).await).await.unwrap();
    assert_eq!(streamed, entries);
}

/// What is sent to a follower at once is bounded, whether it is read from the file or was just appended.
#[tokio::test]
async fn entries_read_at_once_are_bounded_in_bytes_and_never_none() {
    const ENTRY_BYTES: usize = 600 * 1024;
    let mut log = open(0);
    log.append((1..=20).map(|index| entry(index, ENTRY_BYTES))).await.await.unwrap().unwrap();
    let mut reader = log.store.reader.clone();
    for start in 1..=20 {
        let read = reader.limited_get_log_entries(start, 21).await.unwrap();
        let expected = start..(start + 3).min(21);
        assert_eq!(indices(&read), expected.collect::<Vec<_>>());
    }
    log.append([entry(21, 3 * 1024 * 1024)]).await.await.unwrap().unwrap();
    assert_eq!(indices(&reader.limited_get_log_entries(21, 22).await.unwrap()), [21]);
}

#[tokio::test]
async fn a_log_that_cannot_be_read_halts_the_node() {
    let mut log = open(0);
    for index in 1..=200 {
        log.append([entry(index, 100_000)]).await.await.unwrap().unwrap();
    }
    log.disk.unreadable.store(true, Ordering::SeqCst);
    assert!(log.store.reader.clone().try_get_log_entries(1..201).await.is_err());
    assert!(log.halted.load(Ordering::SeqCst), "nobody was told");
}

#[tokio::test]
async fn what_the_state_has_not_made_durable_stays_in_the_log() {
    let mut log = open(5);
    log.append((1..=10).map(|index| entry(index, 10))).await.await.unwrap().unwrap();
    log.store.purge(log_id(6)).await.unwrap();
    assert_eq!(indices(&log.read(0..20).await), (1..=10).collect::<Vec<_>>());
    log.store.purge(log_id(5)).await.unwrap();
    assert_eq!(indices(&log.read(0..20).await), (6..=10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_purge_cut_short_is_finished_after_a_restart() {
    let mut log = open(u64::MAX);
    log.append((1..=5_000).map(|index| entry(index, 10))).await.await.unwrap().unwrap();
    log.store.purge(log_id(4_500)).await.unwrap();
    log.writer.stop().await.unwrap();

    let mut reopened = open_on(log.disk, u64::MAX);
    let state = reopened.store.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(log_id(4_500)), Some(log_id(5_000))));
    assert_eq!(indices(&reopened.read(0..6_000).await), (4_501..=5_000).collect::<Vec<_>>());
    // Each of these may drop rows; the last finds none left.
    for index in 5_001..=5_010 {
        reopened.append([entry(index, 10)]).await.await.unwrap().unwrap();
    }
    reopened.writer.stop().await.unwrap();
    let stats = Arc::new(StorageStats::default());
    let (file, _) = LogFile::open(&reopened.disk, &stats).unwrap();
    assert_eq!(file.recover().unwrap().first_row, Some(4_501));
}

#[tokio::test]
async fn a_conflicting_end_is_replaced() {
    let mut log = open(0);
    log.append((1..=5).map(|index| entry(index, 10))).await.await.unwrap().unwrap();
    log.store.truncate_after(Some(log_id(2))).await.unwrap();
    assert_eq!(indices(&log.read(0..10).await), [1, 2]);
    log.append([entry(3, 20)]).await.await.unwrap().unwrap();
    log.writer.stop().await.unwrap();

    let reopened = open_on(log.disk, 0);
    assert_eq!(reopened.read(0..10).await, [entry(1, 10), entry(2, 10), entry(3, 20)]);
}

#[tokio::test]
async fn entries_with_a_gap_are_refused() {
    let mut log = open(0);
    log.append([entry(1, 10)]).await.await.unwrap().unwrap();
    let (flushed, _waiting) = TypeConfig::oneshot();
    assert!(log.store.append([entry(3, 10)], IOFlushed::signal(flushed)).await.is_err());
}
