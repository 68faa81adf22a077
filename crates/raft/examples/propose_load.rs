//! How fast proposals are committed and applied, beside what the disk itself can do, and what it leaves on disk.
//!
//! ```text
//! cargo run --release -p hyperion-vault-raft --example propose_load -- [proposers] [proposals] [directory]
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::ports::Clock;
use hyperion_vault_core::secret::{SealedVersion, SecretFormat, SecretId, SecretKind};
use hyperion_vault_core::state::command::CreateSecret;
use hyperion_vault_core::state::{Command, Rows};
use hyperion_vault_core::time::{Seconds, Timestamp};
use hyperion_vault_raft::{DataDir, Node, NodeConfig};

struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(1_700_000_000_000)
    }
}

fn create(number: u64) -> Command {
    // Spread over the name space, as names of people are.
    let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let sealed = SealedVersion {
        envelope_format: 1,
        kms_key_id: "local".to_owned(),
        wrapped_data_key: vec![1; 72],
        nonce: [2; 24],
        ciphertext: vec![3; 216],
        wrapped_rotation_at: None,
    };
    Command::CreateSecret(CreateSecret {
        name: SecretName::parse(&format!("load/{spread:016x}/{number}")).unwrap(),
        id: SecretId::from_bytes([4; 16]),
        kind: SecretKind::Manual,
        format: SecretFormat::Opaque,
        description: None,
        rotation_interval: None,
        grace_period: Seconds::new(0),
        sealed,
        target: None,
        generator: None,
    })
}

/// What a loop of write and fdatasync reaches in this directory, a second.
fn syncs_per_second(directory: &Path) -> f64 {
    let path = directory.join("fdatasync-probe");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(&vec![0; 1 << 20]).unwrap();
    file.sync_all().unwrap();
    let (started, mut syncs) = (Instant::now(), 0_u32);
    while started.elapsed() < Duration::from_secs(1) {
        file.seek(SeekFrom::Start(u64::from(syncs % 64) * 16_384)).unwrap();
        file.write_all(&[5; 16_384]).unwrap();
        file.sync_data().unwrap();
        syncs += 1;
    }
    std::fs::remove_file(path).unwrap();
    f64::from(syncs) / started.elapsed().as_secs_f64()
}

async fn load(node: &Arc<Node>, proposers: u64, proposals: u64) -> Vec<Duration> {
    let next = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..proposers)
        .map(|_| {
            let (node, next) = (Arc::clone(node), Arc::clone(&next));
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= proposals {
                        return latencies;
                    }
                    let started = Instant::now();
                    node.propose(create(number)).await.unwrap();
                    latencies.push(started.elapsed());
                }
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    latencies.sort();
    latencies
}

fn file_bytes(directory: &Path) -> u64 {
    ["vault.raft.redb", "vault.redb"]
        .map(|name| {
            let bytes = std::fs::metadata(directory.join(name)).unwrap().len();
            println!("  {name}: {:.1} MiB", bytes as f64 / 1_048_576.0);
            bytes
        })
        .iter()
        .sum()
}

fn row_bytes(node: &Node) -> u64 {
    let rows = node.view().scan(&[], None, usize::MAX).unwrap();
    rows.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let proposers: u64 = arguments.next().map_or(32, |given| given.parse().unwrap());
    let proposals: u64 = arguments.next().map_or(20_000, |given| given.parse().unwrap());
    let directory = arguments.next().map_or_else(|| PathBuf::from("propose-load"), PathBuf::from);
    let disk = Arc::new(DataDir::open(&directory).unwrap());
    let syncs = syncs_per_second(&directory);

    let config = NodeConfig::new(1, [6; 40]);
    let started = Instant::now();
    let node = Node::start(config, disk, Arc::new(StandingClock), Arc::new(|fault| panic!("{fault}")));
    let node = Arc::new(node.await.unwrap());
    node.wait_ready(Duration::from_secs(5)).await.unwrap();
    println!("ready after {:?}", started.elapsed());

    let started = Instant::now();
    let latencies = load(&node, proposers, proposals).await;
    let rate = proposals as f64 / started.elapsed().as_secs_f64();
    let at = |per_mille: usize| latencies[(latencies.len() - 1) * per_mille / 1_000];
    println!(
        "{proposers} proposers: {rate:.0}/s; this disk does {syncs:.0} fdatasync/s; ratio {:.2}",
        rate / syncs
    );
    println!("latency p50 {:?} p99 {:?} p99.9 {:?} max {:?}", at(500), at(990), at(999), at(1_000));
    println!("{:#?}", node.stats());

    let rows = row_bytes(&node);
    println!("rows: {:.1} MiB; files while running:", rows as f64 / 1_048_576.0);
    println!("  {:.2} x the rows", file_bytes(&directory) as f64 / rows as f64);
    node.shutdown().await.unwrap();
    println!("files after shutdown:");
    println!("  {:.2} x the rows", file_bytes(&directory) as f64 / rows as f64);
}
