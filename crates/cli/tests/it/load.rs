//! Many secrets, many clients: what they cost on the disk and in memory, what a read may not cost, and that no
//! worker holds anybody up.
//!
//! For figures that mean something, build as it is shipped and let nothing else run: `cargo nextest run --release -p
//! hyperion-vault --no-capture load::`.

#![allow(clippy::print_stdout, reason = "a test says what it measured and how to have it again")]

mod measure;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::vault::{ADMIN, Vault, expect, resident_bytes};
use measure::{Counters, Times, file_bytes, occupied_bytes, row_bytes, sync_times, sync_times_until};

const SECRETS: u64 = 20_000;
const CLIENTS: u64 = 32;
const VALUE_BYTES: usize = 256;
/// The files may be so many times the rows.
const FILE_FACTOR_MAX: u64 = 4;
/// What memory may grow by for other reasons: buffers of connections, the allocator's own reserves.
const MEMORY_SLACK_BYTES: u64 = 16 << 20;
/// No request may wait longer because of a worker.
const STALL_MAX: Duration = Duration::from_millis(100);

fn name(number: u64) -> String {
    format!("load/secret-{number:06}")
}

/// Runs so many clients, each its own requests; the times of all.
async fn together<F>(clients: u64, client: impl Fn(u64) -> F) -> Times
where
    F: Future<Output = Times> + Send + 'static,
{
    let running: JoinSet<Times> = (0..clients).map(client).collect();
    running.join_all().await.into_iter().fold(Times::default(), Times::merge)
}

/// Creates (POST) or changes (PUT) the secrets of these numbers.
async fn write(
    method: Method,
    http: Client,
    url: String,
    numbers: impl Iterator<Item = u64>,
    made: Arc<AtomicU64>,
) -> Times {
    let mut times = Times::default();
    for number in numbers {
        let (name, value) = (name(number), format!("{number:0VALUE_BYTES$}"));
        let (path, body, status) = match method {
            Method::POST => (String::new(), json!({"name": name, "kind": "manual", "value": value}), 201),
            _ => (format!("/{name}"), json!({"value": value}), 200),
        };
        let request = http.request(method.clone(), format!("{url}/v1/secrets{path}"));
        let begun = Instant::now();
        expect(request.bearer_auth(ADMIN).json(&body), status).await;
        times.add(begun.elapsed());
        made.fetch_add(1, Ordering::Relaxed);
    }
    times
}

/// Reads the secrets of these numbers.
async fn read(http: Client, url: String, numbers: impl Iterator<Item = u64>) -> Times {
    let mut times = Times::default();
    for number in numbers {
        let begun = Instant::now();
        expect(http.get(format!("{url}/v1/secrets/{}", name(number))), 200).await;
        times.add(begun.elapsed());
    }
    times
}

fn report(what: &str, clients: u64, times: &Times, took: Duration) {
    #[expect(clippy::cast_precision_loss)]
    let rate = times.count() as f64 / took.as_secs_f64();
    println!("{what}, {clients} clients: {rate:.0}/s; {times}");
}

/// What was seen of the process at one moment.
struct Sample {
    /// Changes made by then.
    changes: u64,
    resident_bytes: u64,
    occupied_bytes: u64,
}

/// Looks at the process every 100 ms until so many changes are made.
async fn watch(pid: u32, data_dir: PathBuf, changes: Arc<AtomicU64>, until: u64) -> Vec<Sample> {
    let mut samples = Vec::new();
    loop {
        let changes = changes.load(Ordering::Relaxed);
        let (resident_bytes, occupied_bytes) = (resident_bytes(pid), occupied_bytes(&data_dir));
        samples.push(Sample { changes, resident_bytes, occupied_bytes });
        if changes >= until {
            return samples;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// How much memory grew over the second half of the changes, in bytes.
fn growth_of_second_half(samples: &[Sample]) -> u64 {
    let end = samples.last().unwrap();
    let half = samples.iter().find(|sample| sample.changes >= end.changes / 2).unwrap();
    println!("{} MiB resident at half, {} at the end", half.resident_bytes >> 20, end.resident_bytes >> 20);
    end.resident_bytes.saturating_sub(half.resident_bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_secrets_cost_little_more_than_their_rows_and_changing_them_no_memory() {
    let mut vault = Vault::start(&[("VAULT_LOG", "warn,hyperion_vault=info")]);
    let (http, url) = (vault.http.clone(), format!("http://{}", vault.address()));
    let mine = |client| (client..SECRETS).step_by(usize::try_from(CLIENTS).unwrap());
    let run = async |method: Method, changes: u64| {
        let made = Arc::new(AtomicU64::new(0));
        let watching = tokio::spawn(watch(vault.pid(), vault.data_dir(), Arc::clone(&made), changes));
        let begun = Instant::now();
        let times = together(CLIENTS, |client| {
            let numbers = mine(client).filter(move |number| *number < changes);
            write(method.clone(), http.clone(), url.clone(), numbers, Arc::clone(&made))
        });
        report(&format!("writes ({method})"), CLIENTS, &times.await, begun.elapsed());
        watching.await.unwrap()
    };
    let creating = run(Method::POST, SECRETS).await;
    let grown_by_creating = growth_of_second_half(&creating);
    let grown_by_changing = growth_of_second_half(&run(Method::PUT, SECRETS / 2).await);
    one_after_the_other(&vault).await;

    assert_eq!(vault.terminate().code(), Some(0));
    let (rows, files) = (row_bytes(&vault).await, file_bytes(&vault.data_dir()));
    println!("{rows} bytes of rows; {files} bytes of files after the stop");
    assert!(files < FILE_FACTOR_MAX * rows);
    for sample in creating.iter().filter(|sample| sample.changes >= SECRETS / 4) {
        let rows = rows * sample.changes / SECRETS;
        let occupied = sample.occupied_bytes;
        assert!(occupied < FILE_FACTOR_MAX * rows, "{occupied} at {} secrets of {rows}", sample.changes);
    }
    // What is new is cached, each cache up to its limit; what is changed is not remembered twice.
    assert!(grown_by_creating < rows + MEMORY_SLACK_BYTES, "{grown_by_creating} bytes");
    assert!(grown_by_changing < MEMORY_SLACK_BYTES, "{grown_by_changing} bytes");
}

/// The figures that a reader of this test wants beside the load's own.
async fn one_after_the_other(vault: &Vault) {
    let (http, url) = (vault.http.clone(), format!("http://{}", vault.address()));
    for (clients, reads) in [(CLIENTS, 200), (1, 1_000)] {
        let begun = Instant::now();
        let times = together(clients, |client| {
            let numbers = (0..reads).map(move |number| (number * 97 + client * 31) % SECRETS);
            read(http.clone(), url.clone(), numbers)
        });
        report("reads", clients, &times.await, begun.elapsed());
    }
    let begun = Instant::now();
    let times = write(Method::PUT, http, url, 0..200, Arc::default()).await;
    report("writes (PUT)", 1, &times, begun.elapsed());
    println!("syncs of the disk alone: {}", sync_times(vault.home(), 100));
}

/// A read takes what is published: neither the state nor the log is touched, and the audit log is synced by the
/// clock, not by the read. The vault may have something of its own to do meanwhile, such as to note when a token
/// was used; but what a read costs would show every time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_costs_no_sync_and_no_view_of_its_own() {
    const READS: u64 = 1_000;
    /// How long records are gathered for one sync of the audit log.
    const AUDIT_GATHER: Duration = Duration::from_millis(25);
    let vault = Vault::start(&[]);
    let (http, url) = (vault.http.clone(), format!("http://{}", vault.address()));
    let counted =
        ["state_views", "raft_entries_applied", "raft_log_batches", "raft_log_syncs", "state_syncs"];
    let start = Counters::of(&vault).await;
    write(Method::POST, http.clone(), url.clone(), 0..100, Arc::default()).await;
    let written = Counters::of(&vault).await;
    assert!(counted[..4].iter().all(|name| written.since(&start, name) >= 100), "a write costs all that");
    let mut costs = Vec::new();
    for _ in 0..5 {
        let (before, begun) = (Counters::of(&vault).await, Instant::now());
        let times =
            together(4, |_| read(http.clone(), url.clone(), (0..READS / 4).map(|number| number % 100))).await;
        let (after, took) = (Counters::of(&vault).await, begun.elapsed());
        report("reads", 4, &times, took);
        assert!(after.since(&before, "audit_records") >= READS);
        let audit_syncs = u128::from(after.since(&before, "audit_syncs"));
        assert!(audit_syncs <= took.as_millis() / AUDIT_GATHER.as_millis() + 2, "{audit_syncs} in {took:?}");
        let cost = counted.map(|name| (name, after.since(&before, name)));
        if cost.iter().all(|(_, count)| *count == 0) {
            return;
        }
        costs.push(cost);
    }
    panic!("{READS} reads cost, each time: {costs:?}");
}

/// Five hundred secrets rotate every second, their old versions are removed after one more, checkpoints and a
/// snapshot are made; a reader and a writer beside all that are held up by none of it. What the machine itself holds
/// up is measured meanwhile and taken off: how late a sleeping task wakes, and how long the disk takes for a sync.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_waits_for_a_worker() {
    /// A write waits for the sync of its own batch, for the one before it, and for what the audit log syncs.
    const SYNCS_WAITED_FOR: u32 = 3;
    let vault = Vault::start(&[("VAULT_LOG", "warn,hyperion_vault=info"), ("VAULT_ROTATION_POLL_SECS", "1")]);
    let (http, url) = (vault.http.clone(), format!("http://{}", vault.address()));
    // A snapshot is due after so many changes; most of them are made beforehand.
    let numbers = |client| (client..3_500).step_by(usize::try_from(CLIENTS).unwrap());
    together(CLIENTS, |client| {
        write(Method::POST, http.clone(), url.clone(), numbers(client), Arc::default())
    })
    .await;
    create_rotating(&vault, 500).await;

    let before = Counters::of(&vault).await;
    let worked = async {
        while !workers_have_worked(&before, &Counters::of(&vault).await) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let stop = CancellationToken::new();
    let stop_at_the_end = stop.clone().drop_guard();
    let beside = tokio::spawn(beside(http, url, vault.home().to_owned(), stop));
    tokio::time::timeout(Duration::from_secs(60), worked).await.expect("the workers do nothing");
    drop(stop_at_the_end);
    let seen = beside.await.unwrap();

    println!("reads: {}\nwrites: {}\nnaps: {}\nsyncs: {}", seen.reads, seen.writes, seen.naps, seen.syncs);
    let machine = seen.naps.longest();
    assert!(seen.reads.longest() < STALL_MAX + machine);
    assert!(seen.writes.longest() < STALL_MAX + machine + SYNCS_WAITED_FOR * seen.syncs.longest());
}

async fn create_rotating(vault: &Vault, secrets: u64) {
    for number in 0..secrets {
        let body = json!({"name": format!("rotating/{number}"), "kind": "automatic",
            "rotation_interval_secs": 1, "grace_period_secs": 1});
        vault.expect(Method::POST, "/v1/secrets", body, 201).await;
    }
}

/// Every version that expired was rotated away before.
fn workers_have_worked(before: &Counters, now: &Counters) -> bool {
    let done = |name| now.since(before, name);
    done("expired_versions") >= 500 && done("state_checkpoints") >= 1 && done("snapshots") >= 1
}

/// What one reader and one writer saw, and what the machine did meanwhile.
struct Beside {
    reads: Times,
    writes: Times,
    /// How much longer than asked for a sleeping task of the test slept.
    naps: Times,
    syncs: Times,
}

/// A reader and a writer, each with one request at a time, until told to stop.
async fn beside(http: Client, url: String, directory: PathBuf, stop: CancellationToken) -> Beside {
    let stopped = stop.clone();
    let numbers = move || {
        let stopped = stopped.clone();
        (0..).map(|number| number % 100).take_while(move |_| !stopped.is_cancelled())
    };
    let reading = tokio::spawn(read(http.clone(), url.clone(), numbers()));
    let writing = tokio::spawn(write(Method::PUT, http, url, numbers(), Arc::default()));
    let napping = tokio::spawn(nap(stop.clone()));
    let syncing = tokio::task::spawn_blocking(move || sync_times_until(&directory, &stop));
    Beside {
        reads: reading.await.unwrap(),
        writes: writing.await.unwrap(),
        naps: napping.await.unwrap(),
        syncs: syncing.await.unwrap(),
    }
}

async fn nap(stop: CancellationToken) -> Times {
    const NAP: Duration = Duration::from_millis(2);
    let mut times = Times::default();
    while !stop.is_cancelled() {
        let begun = Instant::now();
        tokio::time::sleep(NAP).await;
        times.add(begun.elapsed().saturating_sub(NAP));
    }
    times
}
