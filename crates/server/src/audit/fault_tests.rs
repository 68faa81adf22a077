//! What the log promises when the disk fails: whatever fails and whenever, the records that were answered
//! with a success are in the log, those that were refused are not, and the chain is whole.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyperion_vault_core::ports::Clock;
use hyperion_vault_core::time::Timestamp;

use super::disk::{Disk, OsDisk};
use super::{
    Action, Actor, AuditConfig, AuditLog, AuditSync, AuditUnavailable, Event, Outcome, Query, Step, query,
    verify,
};

struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(1_800_000_000_000)
    }
}

/// A disk of which some operations fail: a write half-way, a sync by losing all that was not synced before
/// — and, as Linux does, by succeeding the next time as if nothing had been lost.
#[derive(Default)]
struct FaultyDisk {
    failing: Mutex<Failing>,
    /// Synced bytes by inode.
    synced: Mutex<HashMap<u64, u64>>,
}

/// Which operations fail.
#[derive(Default)]
struct Failing {
    /// Only those of this name, and only those are counted; none means all.
    only: Option<&'static str>,
    /// By their number.
    numbers: Range<usize>,
    met: usize,
    /// A write that fails has written everything nevertheless.
    writes_whole: bool,
}

impl FaultyDisk {
    fn failing(numbers: Range<usize>) -> Arc<FaultyDisk> {
        let disk = Arc::<FaultyDisk>::default();
        disk.fail(Failing { numbers, ..Failing::default() });
        disk
    }

    fn fail(&self, failing: Failing) {
        *self.failing.lock().unwrap() = failing;
    }

    fn heal(&self) {
        self.fail(Failing::default());
    }

    fn meet(&self, operation: &'static str) -> io::Result<()> {
        let mut failing = self.failing.lock().unwrap();
        if failing.only.is_some_and(|only| only != operation) {
            return Ok(());
        }
        let number = failing.met;
        failing.met += 1;
        if failing.numbers.contains(&number) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn write_in_part(&self, file: &File, bytes: &[u8]) {
        let len = if self.failing.lock().unwrap().writes_whole { bytes.len() } else { bytes.len() / 2 };
        OsDisk.append(file, &bytes[..len]).unwrap();
    }

    fn lose_unsynced(&self, file: &File) {
        let found = file.metadata().unwrap();
        let synced = self.synced.lock().unwrap().get(&found.ino()).copied().unwrap_or(0);
        // Through another handle: one that appends can't write elsewhere.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let pages = OpenOptions::new().write(true).open(path).unwrap();
        let lost = usize::try_from(found.len().saturating_sub(synced)).unwrap();
        pages.write_all_at(&vec![0; lost], synced).unwrap();
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.meet("create")?;
        OsDisk.create(path)
    }

    fn append(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        self.meet("append").inspect_err(|_| self.write_in_part(file, bytes))?;
        OsDisk.append(file, bytes)
    }

    fn cut(&self, file: &File, len: u64) -> io::Result<()> {
        self.meet("cut")?;
        OsDisk.cut(file, len)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let found = file.metadata()?;
        self.meet("sync").inspect_err(|_| self.lose_unsynced(file))?;
        self.synced.lock().unwrap().insert(found.ino(), found.len());
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.meet("rename")?;
        let found = std::fs::metadata(from)?;
        let synced = self.synced.lock().unwrap().get(&found.ino()).copied();
        assert_eq!(synced, Some(found.len()), "a file is synced before it is moved aside");
        OsDisk.rename(from, to)
    }
}

fn event(name: String) -> Event {
    Event {
        request_id: "r".to_owned(),
        actor: Actor::Anonymous,
        client: None,
        action: Action::SecretRead,
        name: Some(name),
        secrets: Vec::new(),
        version: None,
        pass: None,
        status: Some(200),
        outcome: Outcome::Ok,
        detail: None,
    }
}

fn config(directory: &Path, sync: AuditSync) -> AuditConfig {
    AuditConfig {
        sync,
        segment_bytes_max: 2_500,
        segments_max: 0,
        ..AuditConfig::at(directory.join("audit/audit.jsonl"))
    }
}

fn open(disk: &Arc<FaultyDisk>, config: AuditConfig) -> AuditLog {
    let disk: Arc<dyn Disk> = Arc::<FaultyDisk>::clone(disk);
    AuditLog::open_on(disk, config, Arc::new(StandingClock), 1).unwrap()
}

/// Names on the records of requests, the oldest first.
fn recorded(path: &Path) -> Vec<String> {
    let page = query(path, &Query { limit: 1_000, ..Query::default() }).unwrap();
    assert_eq!((page.next_before, page.unreadable), (None, 0));
    page.records.into_iter().rev().filter_map(|record| record.name).collect()
}

/// Appends `count` events, one after the other; returns the names of those that were not refused.
async fn append_all(log: &AuditLog, count: usize) -> Vec<String> {
    let mut accepted = Vec::new();
    for number in 0..count {
        let name = format!("secret-{number}");
        if log.append(event(name.clone())).await.is_ok() {
            accepted.push(name);
        }
    }
    accepted
}

/// Fails `run` operations from each operation on, in turn.
async fn sweep(sync: AuditSync, run: usize) {
    const EVENTS: usize = 24;
    let mut refusals = 0;
    for first in 0..64 {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path(), sync);
        let path = config.path.clone();
        let disk = FaultyDisk::failing(first..first + run);
        let log = open(&disk, config);
        let accepted = append_all(&log, EVENTS).await;
        disk.heal();
        log.append(event("last".to_owned())).await.unwrap();
        assert_eq!(log.health(), Ok(()), "operation {first}");
        log.close().await.unwrap();

        refusals += EVENTS - accepted.len();
        let summary =
            verify(&path, Some(log.head())).unwrap_or_else(|finding| panic!("operation {first}: {finding}"));
        assert_eq!(summary.last_seq, log.head().seq);
        assert_eq!(recorded(&path), [accepted, vec!["last".to_owned()]].concat(), "operation {first}");
    }
    assert!(refusals > 30, "only {refusals} refusals: the sweep does not reach what it is meant to");
}

#[tokio::test]
async fn any_one_operation_may_fail_when_each_group_is_synced() {
    sweep(AuditSync::Always, 1).await;
}

#[tokio::test]
async fn any_run_of_operations_may_fail_when_each_group_is_synced() {
    sweep(AuditSync::Always, 4).await;
}

#[tokio::test]
async fn any_run_of_operations_may_fail_when_syncs_come_later() {
    sweep(AuditSync::Batch, 4).await;
}

/// Linux reports a failed write-back once and may then drop the pages: syncing again proves nothing.
#[tokio::test]
async fn records_whose_sync_failed_in_the_background_are_written_again_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let config = AuditConfig { segment_bytes_max: 1 << 20, ..config(directory.path(), AuditSync::Batch) };
    let path = config.path.clone();
    let disk = FaultyDisk::failing(0..0);
    let log = open(&disk, config);
    log.append(event("synced".to_owned())).await.unwrap();
    while log.stats().syncs < 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    disk.fail(Failing { only: Some("sync"), numbers: 0..usize::MAX, ..Failing::default() });
    log.append(event("lost by the disk".to_owned())).await.unwrap();
    while log.stats().syncs < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let refused = log.append(event("refused".to_owned())).await;
    let kind = io::ErrorKind::StorageFull;
    assert_eq!(refused, Err(AuditUnavailable::Failed { step: Step::Sync, kind }));
    assert_eq!(log.health(), Err(AuditUnavailable::Failed { step: Step::Sync, kind }));

    disk.heal();
    while log.health().is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await; // it mends itself, without a request
    }
    log.close().await.unwrap();
    assert_eq!(recorded(&path), ["synced", "lost by the disk"]);
    let summary = verify(&path, Some(log.head())).unwrap();
    assert_eq!((summary.last_seq, summary.segments), (3, 1), "two records and one that says it was mended");
}

#[tokio::test]
async fn nothing_is_written_behind_a_half_line_that_can_not_be_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), AuditSync::Batch);
    let path = config.path.clone();
    let disk = FaultyDisk::failing(0..0);
    let log = open(&disk, config);
    log.append(event("before".to_owned())).await.unwrap();
    let good_len = std::fs::metadata(&path).unwrap().len();
    disk.fail(Failing { numbers: 0..usize::MAX, ..Failing::default() });
    for _ in 0..3 {
        log.append(event("refused".to_owned())).await.unwrap_err();
    }
    let left = std::fs::metadata(&path).unwrap().len();
    assert!(left > good_len && left < good_len + 300, "half of one line at most: {}", left - good_len);
    disk.heal();
    log.append(event("after".to_owned())).await.unwrap();
    log.close().await.unwrap();
    assert_eq!(recorded(&path), ["before", "after"]);
    verify(&path, Some(log.head())).unwrap();
}

#[tokio::test]
async fn what_a_failed_write_left_in_the_file_is_not_shown_as_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), AuditSync::Batch);
    let path = config.path.clone();
    let disk = FaultyDisk::failing(0..0);
    let log = open(&disk, config);
    log.append(event("before".to_owned())).await.unwrap();
    disk.fail(Failing { numbers: 0..usize::MAX, writes_whole: true, ..Failing::default() });
    log.append(event("refused".to_owned())).await.unwrap_err();
    assert!(std::fs::read_to_string(&path).unwrap().contains("refused"), "it could not be cut off");
    let page = log.query(Query::default()).await.unwrap();
    assert_eq!((page.records.len(), page.records[0].name.as_deref()), (1, Some("before")));
}

/// The new file is no better than the old one until a sync of it has succeeded.
#[tokio::test]
async fn records_written_again_are_synced_before_anything_else_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let config = AuditConfig { segment_bytes_max: 1 << 20, ..config(directory.path(), AuditSync::Batch) };
    let path = config.path.clone();
    let disk = FaultyDisk::failing(0..0);
    let log = open(&disk, config);
    // The sync in the background fails, that of the file cut back succeeds, that of the new file fails.
    disk.fail(Failing { only: Some("sync"), numbers: 0..1, ..Failing::default() });
    log.append(event("lost by the disk".to_owned())).await.unwrap();
    while log.stats().syncs < 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    disk.fail(Failing { only: Some("sync"), numbers: 1..2, ..Failing::default() });
    log.append(event("refused".to_owned())).await.unwrap_err();
    log.append(event("after".to_owned())).await.unwrap();
    log.close().await.unwrap();
    assert_eq!(recorded(&path), ["lost by the disk", "after"]);
    verify(&path, Some(log.head())).unwrap();
}
