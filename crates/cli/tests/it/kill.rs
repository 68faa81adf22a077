//! `kill -9` at random moments under concurrent writes. After the restart every change that was acknowledged is
//! there with its value and its version, one that was not is there whole or not at all, and the audit log has a
//! record of each.
//!
//! A crash of the process alone: what the operating system was handed it still has. What a crash of the machine
//! leaves is held by the crash images of `hyperion-vault-raft`.

#![allow(clippy::print_stdout, reason = "a test says what it measured and how to have it again")]

mod client;
mod known;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;
use futures::future::join_all;
use hyperion_vault_server::audit::verify;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::knob;
use crate::leak::files_under;
use crate::trail::records_at;
use crate::vault::Vault;
use client::{Client, Done};

/// Clients that write at once, each to secrets of its own, so that it knows what must be there.
const CLIENTS: usize = 8;
/// Rounds of every run; `VAULT_TEST_ROUNDS` makes it more.
const ROUNDS: u64 = 50;
/// A round is killed after at most this long.
const ROUND_MS_MAX: u64 = 300;
/// A start that is killed before it serves is killed after at most this long.
const START_MS_MAX: u64 = 120;

/// Longer, by hand: `VAULT_TEST_ROUNDS=2000 cargo nextest run -p hyperion-vault kill::`. The same schedule again:
/// `VAULT_TEST_SEED=<the one printed>`; the moments of the kills among the writes are the machine's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_every_kill_and_nothing_is_half_there() {
    let (seed, rounds) = (knob::seed(), knob::rounds(ROUNDS));
    println!("VAULT_TEST_SEED={seed} VAULT_TEST_ROUNDS={rounds}");
    let mut rng = Rng::with_seed(seed);
    let mut vault = Vault::start(&[
        ("VAULT_LOG", "warn,hyperion_vault=info"),
        // A new file every other round.
        ("VAULT_AUDIT_SEGMENT_BYTES", "500000"),
        ("VAULT_AUDIT_SEGMENTS_MAX", "0"),
    ]);
    let mut clients: Vec<_> = (0..CLIENTS).map(|number| Client::new(number, rng.u64(..))).collect();
    let mut trail = TrailReader::default();
    let mut acknowledged = 0;
    for round in 0..rounds {
        let lifetime = Duration::from_millis(rng.u64(1..=ROUND_MS_MAX));
        clients = write_until_killed(&mut vault, clients, lifetime).await;
        if rng.u8(..3) == 0 {
            vault.resume_and_kill(Duration::from_millis(rng.u64(..START_MS_MAX)));
        }
        vault.resume();
        let done = settle(&vault, &mut clients, round).await;
        acknowledged += done.iter().filter(|done| done.request_id.is_some()).count();
        trail.expect_records(&vault, &done, round);
    }
    println!("{acknowledged} acknowledged changes in {rounds} rounds");
    assert!(acknowledged as u64 > rounds, "too few changes to prove anything");
    vault.kill();
    vault.resume();
    verify(&vault.audit_path(), None).unwrap();
}

async fn write_until_killed(vault: &mut Vault, clients: Vec<Client>, lifetime: Duration) -> Vec<Client> {
    let mut writing = JoinSet::new();
    for client in clients {
        writing.spawn(client.write_until_cut(format!("http://{}", vault.address()), vault.http.clone()));
    }
    tokio::time::sleep(lifetime).await;
    vault.kill();
    let mut clients = writing.join_all().await;
    clients.sort_by_key(Client::number);
    clients
}

/// Compares what is there with what each client knows, and tells what was done since the last time.
async fn settle(vault: &Vault, clients: &mut [Client], round: u64) -> Vec<Done> {
    let settling = clients.iter_mut().map(|client| client.settle(vault, round));
    join_all(settling).await.into_iter().flatten().collect()
}

/// Reads on in the audit log from where it stopped.
#[derive(Default)]
struct TrailReader {
    last_seq: u64,
}

impl TrailReader {
    fn expect_records(&mut self, vault: &Vault, done: &[Done], round: u64) {
        let records = self.read_on(vault);
        let by_request: HashMap<&str, &Value> =
            records.iter().map(|record| (record["request_id"].as_str().unwrap(), record)).collect();
        for done in done {
            let record = match &done.request_id {
                Some(id) => by_request.get(id.as_str()).copied(),
                None => records.iter().find(|record| done.is_told_by(record)),
            };
            let told = record.is_some_and(|record| done.is_told_by(record));
            assert!(told, "round {round}: {done:?} has no record of it, but {record:?}");
        }
    }

    /// The records that came since, none missing; the vault has nothing to do, so that the last is whole.
    fn read_on(&mut self, vault: &Vault) -> Vec<Value> {
        let mut newer = Vec::new();
        for file in files_newest_first(&vault.audit_path()) {
            let records = records_at(&file);
            let reaches_back =
                records.first().is_some_and(|first| first["seq"].as_u64().unwrap() <= self.last_seq + 1);
            newer.push(records);
            if reaches_back {
                break;
            }
        }
        let mut records: Vec<_> = newer.into_iter().rev().flatten().collect();
        records.retain(|record| record["seq"].as_u64().unwrap() > self.last_seq);
        for record in &records {
            self.last_seq += 1;
            assert_eq!(record["seq"], self.last_seq);
        }
        records
    }
}

/// The active file and the segments before it, which are named so that they sort.
fn files_newest_first(active: &Path) -> Vec<PathBuf> {
    let mut segments = files_under(active.parent().unwrap());
    segments.retain(|path| path != active && path.extension().is_some_and(|end| end != "lock"));
    segments.sort();
    segments.into_iter().chain([active.to_owned()]).rev().collect()
}
