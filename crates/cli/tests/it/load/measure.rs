//! What is measured: times of requests, the vault's own counters, its memory and its files, and what the disk can do.

use std::fs::{File, Metadata};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use hyperion_vault_core::state::Rows;
use reqwest::Method;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::leak::files_under;
use crate::stopped::open_node;
use crate::vault::Vault;

/// Times of requests.
#[derive(Default)]
pub(super) struct Times(Vec<Duration>);

impl Times {
    pub(super) fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub(super) fn merge(mut self, other: Times) -> Times {
        self.0.extend(other.0);
        self
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that this part of the requests stayed under or at; 1.0 is the longest.
    pub(super) fn quantile(&self, part: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let rank = (sorted.len() as f64 * part).ceil() as usize;
        sorted[rank.clamp(1, sorted.len()) - 1]
    }

    pub(super) fn longest(&self) -> Duration {
        self.quantile(1.0)
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (median, late) = (self.quantile(0.5), self.quantile(0.99));
        write!(f, "{} times, p50 {median:.1?}, p99 {late:.1?}, max {:.1?}", self.count(), self.longest())
    }
}

/// The vault's counters at one moment.
pub(super) struct Counters(String);

impl Counters {
    pub(super) async fn of(vault: &Vault) -> Counters {
        let answer = vault.admin(Method::GET, "/metrics").send().await.unwrap();
        Counters(answer.text().await.unwrap())
    }

    /// The counter of this name, without the prefix that all have.
    pub(super) fn get(&self, name: &str) -> u64 {
        let line = self.0.lines().find_map(|line| {
            line.strip_prefix("hyperion_vault_")?.strip_prefix(name)?.strip_prefix("_total ")
        });
        line.unwrap_or_else(|| panic!("no counter {name}")).parse().unwrap()
    }

    pub(super) fn since(&self, earlier: &Counters, name: &str) -> u64 {
        self.get(name) - earlier.get(name)
    }
}

/// Bytes that the replicated state takes of the disk: the state, the log and the snapshots; the audit log is
/// another thing. A file of the storage engine grows by doubling its length, and what was not written yet is a
/// hole that takes nothing: so it is blocks that count here, not lengths.
pub(super) fn occupied_bytes(data_dir: &Path) -> u64 {
    const BLOCK_BYTES: u64 = 512;
    storage_files(data_dir).map(|file| file.blocks() * BLOCK_BYTES).sum()
}

/// The lengths of the same files, holes and all.
pub(super) fn file_bytes(data_dir: &Path) -> u64 {
    storage_files(data_dir).map(|file| file.len()).sum()
}

fn storage_files(data_dir: &Path) -> impl Iterator<Item = Metadata> {
    let audit = data_dir.join("audit");
    let files = files_under(data_dir).into_iter().filter(move |file| !file.starts_with(&audit));
    // A snapshot may be replaced between the two looks.
    files.filter_map(|file| file.metadata().ok())
}

/// Bytes of all rows of the state of a vault that doesn't run: of every table and index, keys and values, as they
/// are stored. What the storage engine adds is what the rows are compared with.
pub(super) async fn row_bytes(vault: &Vault) -> u64 {
    const PAGE_ROWS: usize = 10_000;
    let node = open_node(vault).await;
    let view = node.view();
    let (mut bytes, mut from) = (0, Vec::new());
    loop {
        let rows = view.scan(&from, None, PAGE_ROWS).unwrap();
        bytes += rows.iter().map(|(key, value)| key.len() as u64 + value.len() as u64).sum::<u64>();
        match rows.last() {
            Some((last, _)) if rows.len() == PAGE_ROWS => from = [last.as_slice(), &[0]].concat(),
            _ => break,
        }
    }
    drop(view);
    node.shutdown().await.unwrap();
    bytes
}

/// How long a small write takes to be on the disk of this directory, so many times, one after the other.
pub(super) fn sync_times(directory: &Path, count: usize) -> Times {
    let mut probe = SyncProbe::new(directory);
    (0..count).fold(Times::default(), |times, _| probe.sync(times))
}

/// The same, now and then, until told to stop.
pub(super) fn sync_times_until(directory: &Path, stop: &CancellationToken) -> Times {
    let (mut probe, mut times) = (SyncProbe::new(directory), Times::default());
    while !stop.is_cancelled() {
        times = probe.sync(times);
        #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
        std::thread::sleep(Duration::from_millis(10));
    }
    times
}

struct SyncProbe(File);

impl SyncProbe {
    fn new(directory: &Path) -> SyncProbe {
        SyncProbe(tempfile::tempfile_in(directory).unwrap())
    }

    fn sync(&mut self, mut times: Times) -> Times {
        let begun = Instant::now();
        self.0.write_all(&[0; 4_096]).unwrap();
        self.0.sync_data().unwrap();
        times.add(begun.elapsed());
        times
    }
}
