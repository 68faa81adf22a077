//! Several nodes of one cluster in one process, over real sockets.

mod disks;
mod membership;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use hyperion_vault_core::state::command::InitializeCluster;
use hyperion_vault_core::state::table::{meta, secrets};
use hyperion_vault_core::state::{Command, FEATURE_LEVEL, Outcome};
use hyperion_vault_raft::{Applied, DataDir, Node, NodeConfig, ProposeError};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use crate::fixture::{clock, create, rows, secret_name};

const SOON: Duration = Duration::from_secs(15);

/// Three members, some of them running.
struct Trio {
    peers: BTreeMap<u64, String>,
    directories: BTreeMap<u64, TempDir>,
    running: BTreeMap<u64, Node>,
    starts: u8,
}

impl Trio {
    fn new() -> Trio {
        // Held until all are drawn, so that no two are the same.
        let drawn = [1, 2, 3].map(|id| (id, TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()));
        let peers = drawn.iter().map(|(id, socket)| (*id, socket.local_addr().unwrap().to_string()));
        Trio {
            peers: peers.collect(),
            directories: [1, 2, 3].map(|id| (id, tempfile::tempdir().unwrap())).into(),
            running: BTreeMap::new(),
            starts: 0,
        }
    }

    /// Formed and ready.
    async fn formed() -> Trio {
        let mut trio = Trio::new();
        for id in 1..=3 {
            trio.start(id).await;
        }
        trio.all_ready().await;
        let identity = Command::InitializeCluster(InitializeCluster { cluster_id: [9; 16] });
        trio.node(2).propose(identity).await.unwrap();
        trio.wait_level(FEATURE_LEVEL).await;
        trio
    }

    /// Waits until all running nodes are at this feature level; the leader raises it.
    async fn wait_level(&self, level: u32) {
        let deadline = Instant::now() + SOON;
        while self.running.values().any(|node| meta::feature_level(&*node.view()) != Ok(level)) {
            assert!(Instant::now() < deadline, "the level isn't raised");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn start(&mut self, id: u64) {
        self.starts += 1;
        let mut config = NodeConfig::new(id, [self.starts; 40]);
        config.address = self.peers[&id].clone();
        config.listen = Some(self.peers[&id].parse::<SocketAddr>().unwrap());
        config.peers = self.peers.clone();
        config.snapshot_every_entries = 200;
        config.log_entries_kept = 50;
        let disk = Arc::new(DataDir::open(self.directories[&id].path()).unwrap());
        let node = Node::start(config, disk, clock(), Arc::new(|_| {})).await.unwrap();
        self.running.insert(id, node);
    }

    async fn stop(&mut self, id: u64) {
        self.running.remove(&id).unwrap().shutdown().await.unwrap();
    }

    fn wipe(&mut self, id: u64) {
        self.directories.insert(id, tempfile::tempdir().unwrap());
    }

    async fn all_ready(&self) {
        for (id, node) in &self.running {
            let ready = node.wait_ready(SOON).await;
            assert!(ready.is_ok(), "node {id}: {:?} {:?}", node.standing(), node.status());
        }
    }

    fn node(&self, id: u64) -> &Node {
        &self.running[&id]
    }

    async fn leader(&self) -> u64 {
        let deadline = Instant::now() + SOON;
        loop {
            let leads = self.running.iter().find(|(_, node)| node.is_leader()).map(|(id, _)| *id);
            match leads {
                Some(leader) => return leader,
                None if Instant::now() > deadline => panic!("no leader"),
                None => sleep(Duration::from_millis(20)).await,
            }
        }
    }

    async fn follower(&self) -> u64 {
        let leader = self.leader().await;
        *self.running.keys().find(|id| **id != leader).unwrap()
    }

    /// Waits until all running nodes show the same rows.
    async fn assert_same_state(&self) {
        let deadline = Instant::now() + SOON;
        loop {
            let states: Vec<_> = self.running.values().map(|node| rows(&node.view())).collect();
            if states.windows(2).all(|pair| pair[0] == pair[1]) {
                return;
            }
            assert!(Instant::now() < deadline, "the nodes differ");
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn wait_voters(&self, voters: &[u64]) {
        let deadline = Instant::now() + SOON;
        loop {
            let status = self.node(self.leader().await).status();
            let now: Vec<u64> = status.members.iter().filter(|m| m.voter).map(|m| m.node_id).collect();
            if now == voters {
                return;
            }
            assert!(Instant::now() < deadline, "voters are {now:?}: {status:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn put(node: &Node, number: u64) -> Result<Applied, ProposeError> {
    node.propose(create(number, 100)).await
}

fn has(node: &Node, number: u64) -> bool {
    secrets::get(&*node.view(), &secret_name(number)).unwrap().is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_at_any_node_is_read_where_it_was_made_and_after_a_barrier_everywhere() {
    let trio = Trio::formed().await;
    for id in 1..=3 {
        let written = put(trio.node(id), id).await.unwrap();
        assert!(matches!(written.outcome, Outcome::Applied(_)), "{written:?}");
        assert!(has(trio.node(id), id), "node {id} doesn't show its own write");
        for other in 1..=3 {
            let index = trio.node(other).barrier().await.unwrap();
            assert!(index >= written.log_index);
            assert!(has(trio.node(other), id), "node {other} doesn't show the write of node {id}");
        }
    }
    trio.assert_same_state().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_alone_waits_and_forms_nothing() {
    let mut trio = Trio::new();
    trio.start(1).await;
    sleep(Duration::from_secs(2)).await;
    assert!(!trio.node(1).is_ready());
    assert!(trio.node(1).status().members.is_empty());
    trio.start(3).await;
    sleep(Duration::from_secs(1)).await;
    assert!(!trio.node(1).is_ready() && !trio.node(3).is_ready(), "formed by two of three");
    trio.start(2).await;
    trio.all_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_leader_stops_the_others_go_on_and_it_comes_back() {
    let mut trio = Trio::formed().await;
    let leader = trio.leader().await;
    put(trio.node(leader), 1).await.unwrap();
    trio.stop(leader).await;
    let follower = *trio.running.keys().next().unwrap();
    put(trio.node(follower), 2).await.unwrap();
    trio.start(leader).await;
    trio.all_ready().await;
    assert!(has(trio.node(leader), 2));
    trio.assert_same_state().await;
    trio.wait_voters(&[1, 2, 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_disk_is_found_out_and_the_node_let_in_again() {
    let mut trio = Trio::formed().await;
    let follower = trio.follower().await;
    // More than the log keeps, so that a snapshot has to be sent.
    for number in 0..400 {
        put(trio.node(follower), number).await.unwrap();
    }
    trio.stop(follower).await;
    trio.wipe(follower);
    trio.start(follower).await;
    trio.all_ready().await;
    trio.wait_voters(&[1, 2, 3]).await;
    assert!(has(trio.node(follower), 399));
    put(trio.node(follower), 1_000).await.unwrap();
    trio.assert_same_state().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_nothing_is_acknowledged_and_reads_go_on() {
    let mut trio = Trio::formed().await;
    put(trio.node(1), 1).await.unwrap();
    trio.stop(2).await;
    trio.stop(3).await;
    let begun = Instant::now();
    assert!(matches!(put(trio.node(1), 2).await, Err(ProposeError::NoQuorum | ProposeError::NoLeader)));
    assert!(begun.elapsed() < Duration::from_secs(6));
    assert!(trio.node(1).barrier().await.is_err());
    assert!(has(trio.node(1), 1));
    trio.start(2).await;
    let back = timeout(SOON, async {
        while put(trio.node(1), 3).await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
    });
    back.await.unwrap();
}
