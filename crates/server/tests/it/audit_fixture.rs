//! What the tests of the audit log share.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::ports::Clock;
use hyperion_vault_core::time::Timestamp;
use hyperion_vault_server::audit::{
    Action, Actor, AuditConfig, AuditLog, AuditSync, BatchSecret, Event, Outcome, Query, Record, query,
};

/// 2027-01-15T08:00:00Z.
pub(crate) const START_MS: u64 = 1_800_000_000_000;

/// A clock that the test sets.
pub(crate) struct SetClock(AtomicU64);

impl SetClock {
    pub(crate) fn new() -> Arc<SetClock> {
        Arc::new(SetClock(AtomicU64::new(START_MS)))
    }

    pub(crate) fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.load(Ordering::Relaxed))
    }
}

pub(crate) fn log_path(directory: &Path) -> PathBuf {
    directory.join("audit/audit.jsonl")
}

/// Small segments, all kept.
pub(crate) fn small_segments(directory: &Path) -> AuditConfig {
    AuditConfig { segment_bytes_max: 2_000, segments_max: 0, ..AuditConfig::at(log_path(directory)) }
}

pub(crate) fn always(config: AuditConfig) -> AuditConfig {
    AuditConfig { sync: AuditSync::Always, ..config }
}

pub(crate) fn open(config: &AuditConfig) -> AuditLog {
    AuditLog::open(config.clone(), SetClock::new(), 1).unwrap()
}

/// A read of the secret `name`.
pub(crate) fn read_of(name: &str) -> Event {
    Event {
        request_id: format!("request-for-{name}"),
        actor: Actor::Anonymous,
        client: Some(IpAddr::from([10, 0, 0, 7])),
        action: Action::SecretRead,
        name: Some(name.to_owned()),
        secrets: Vec::new(),
        version: Some(3),
        pass: None,
        status: Some(200),
        outcome: Outcome::Ok,
        detail: None,
    }
}

/// A batch read of secrets, each with the version that was revealed.
pub(crate) fn batch_read_of(secrets: &[(&str, Option<u64>)]) -> Event {
    let secrets = secrets
        .iter()
        .map(|(name, version)| BatchSecret { name: SecretName::parse(name).unwrap(), version: *version });
    Event {
        action: Action::SecretBatchRead,
        name: None,
        secrets: secrets.collect(),
        version: None,
        ..read_of("batch")
    }
}

/// A closed log of `count` reads of `secret-1`, `secret-2`, …
pub(crate) async fn written_log(config: &AuditConfig, count: u64) -> AuditLog {
    let log = open(config);
    for number in 1..=count {
        log.append(read_of(&format!("secret-{number}"))).await.unwrap();
    }
    log.close().await.unwrap();
    log
}

/// All records, the oldest first.
pub(crate) fn records(path: &Path) -> Vec<Record> {
    let mut all = Vec::new();
    let mut asked = Query::default();
    loop {
        let page = query(path, &asked).unwrap();
        assert_eq!(page.unreadable, 0);
        all.extend(page.records);
        asked.before = page.next_before;
        if asked.before.is_none() {
            all.reverse();
            return all;
        }
    }
}

/// The active file and the segments, the oldest first.
pub(crate) fn files(path: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|file| file != path && !file.to_string_lossy().ends_with(".lock"))
        .collect();
    files.sort();
    files.push(path.to_owned());
    files
}

pub(crate) fn lines(file: &Path) -> Vec<String> {
    std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
}
