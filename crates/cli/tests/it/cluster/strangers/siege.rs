//! A cluster at work, and what must stay as it is while strangers are at its ports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use hyperion_vault_core::state::FEATURE_LEVEL;

use super::super::Cluster;
use super::super::writers::{Writers, create_many};
use crate::vault::resident_bytes;

const WRITERS: usize = 2;
const REST: Duration = Duration::from_millis(20);
/// No write takes longer while strangers are there; the rest is the machine's.
const WRITE_MAX: Duration = Duration::from_secs(2);
/// What a node's memory may grow by, whatever the number of tries.
const GROWTH_BYTES_MAX: u64 = 8 * 1_024 * 1_024;
/// What its log may grow by.
const LOG_GROWTH_BYTES_MAX: u64 = 8 * 1_024;

pub(super) struct Siege {
    pub(super) cluster: Cluster,
    writers: Writers,
    before: BTreeMap<u64, Standing>,
    log_bytes: BTreeMap<u64, u64>,
}

/// What a node says of the cluster, of that which no stranger may change.
#[derive(Debug, PartialEq, Eq)]
struct Standing {
    cluster_id: Option<String>,
    leader: Option<u64>,
    term: u64,
    members: BTreeSet<u64>,
    voters: BTreeSet<u64>,
}

impl Siege {
    /// Three nodes with something in them, and clients that go on writing.
    pub(super) async fn begin() -> Siege {
        let cluster = Cluster::start_within_reach(3).await;
        create_many(&cluster.client(), "before", 200, 4, 1_000).await;
        cluster
            .wait_status("the level is raised", |status| status.feature_level() == Some(FEATURE_LEVEL.into()))
            .await;
        let writers = Writers::start_paced(&cluster.client(), "load", WRITERS, REST);
        let before = standings(&cluster).await;
        let log_bytes = log_bytes(&cluster);
        Siege { cluster, writers, before, log_bytes }
    }

    /// Where other nodes reach this one.
    pub(super) fn port(&self, id: u64) -> SocketAddr {
        self.cluster.raft_address(id).parse().unwrap()
    }

    /// The leader, and one that follows it.
    pub(super) fn leader_and_follower(&self) -> [u64; 2] {
        let leader = self.before.values().find_map(|standing| standing.leader).unwrap();
        [leader, self.cluster.others(&[leader])[0]]
    }

    /// Tries something a few times, so that a node has set up what it needs to refuse it; then `tries` times, and
    /// no node's memory is the larger for it.
    pub(super) async fn bear(&self, what: &str, tries: usize, attempt: impl AsyncFn(usize)) {
        const FIRST_TRIES: usize = 10;
        for number in 0..FIRST_TRIES {
            attempt(number).await;
        }
        let before = self.memory();
        for number in 0..tries {
            attempt(number).await;
        }
        self.expect_no_growth(what, &before);
    }

    /// Resident memory of each node, in bytes.
    pub(super) fn memory(&self) -> BTreeMap<u64, u64> {
        let nodes = self.cluster.nodes.iter();
        nodes.map(|(id, node)| (*id, resident_bytes(node.pid()))).collect()
    }

    #[track_caller]
    pub(super) fn expect_no_growth(&self, what: &str, before: &BTreeMap<u64, u64>) {
        for (id, now) in self.memory() {
            let growth = now.saturating_sub(before[&id]);
            println!("{what}: node {id} grew by {} KiB to {} KiB", growth >> 10, now >> 10);
            assert!(growth < GROWTH_BYTES_MAX, "{what}: node {id} grew by {growth} bytes");
        }
    }

    /// All is as it was, every write went on, and all nodes have all of them.
    pub(super) async fn end(self) {
        self.end_with(&[1, 2, 3]).await;
    }

    /// The same, but of all nodes only these were there all the time.
    pub(super) async fn end_with(self, undisturbed: &[u64]) {
        let written = self.writers.stop().await;
        written.expect_no_failure();
        assert_eq!(written.seen.broken, Vec::<String>::new());
        assert!(written.seen.longest < WRITE_MAX, "{:?}", written.seen);
        if undisturbed.len() == self.before.len() {
            assert_eq!((written.seen.refused, written.seen.unavailable), (0, 0));
        }
        assert!(written.count() > 2 * WRITERS, "too little load: {}", written.count());
        assert_eq!(standings(&self.cluster).await, self.before);
        let log_bytes = log_bytes(&self.cluster);
        for id in undisturbed {
            let growth = log_bytes[id] - self.log_bytes[id];
            println!("the log of node {id} grew by {growth} bytes");
            assert!(growth < LOG_GROWTH_BYTES_MAX, "the log of node {id} grew by {growth} bytes");
        }
        self.cluster.expect_equal_state(&written).await;
    }
}

async fn standings(cluster: &Cluster) -> BTreeMap<u64, Standing> {
    let asked = cluster.running().into_iter().map(async |id| {
        let status = cluster.status(id).await.unwrap();
        let standing = Standing {
            cluster_id: status.cluster_id().map(str::to_owned),
            leader: status.leader(),
            term: status.term(),
            members: status.members(),
            voters: status.voters(),
        };
        (id, standing)
    });
    join_all(asked).await.into_iter().collect()
}

fn log_bytes(cluster: &Cluster) -> BTreeMap<u64, u64> {
    let length = |node: &crate::vault::Vault| node.log_path().metadata().unwrap().len();
    cluster.nodes.iter().map(|(id, node)| (*id, length(node))).collect()
}
