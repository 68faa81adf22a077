//! What is left of a node whose consensus ended by itself.

use hyperion_vault_core::time::Timestamp;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::cluster::identity::{Boot, Lineage};
use crate::disk::DataDir;
use crate::transport::inbox::Inbox;
use crate::transport::message::Caller;
use crate::types::{CommittedLeaderId, LogId, Vote};

struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(1)
    }
}

/// A node that is ready, and the faults it will report.
async fn start(directory: &TempDir) -> (Node, mpsc::UnboundedReceiver<String>) {
    let disk = Arc::new(DataDir::open(directory.path()).unwrap());
    let (report, faults) = mpsc::unbounded_channel();
    let on_fault: OnFault = Arc::new(move |fault| report.send(fault.to_string()).unwrap());
    let config = NodeConfig::new(1, [7; 40]);
    let node = Node::start(config, disk, Arc::new(StandingClock), on_fault).await.unwrap();
    node.wait_ready(Duration::from_secs(5)).await.unwrap();
    (node, faults)
}

async fn assert_halted(node: &Node, faults: &mut mpsc::UnboundedReceiver<String>) {
    let fault = timeout(Duration::from_secs(5), faults.recv()).await.expect("nobody was told").unwrap();
    assert!(fault.starts_with("consensus: "), "{fault}");
    assert!(!node.is_ready() && !node.is_leader());
    assert!(node.wait_ready(Duration::from_millis(10)).await.is_err());
    assert!(node.status().fault.is_some());
    assert!(matches!(node.shutdown().await, Err(Fault::Consensus(_))));
    assert!(faults.try_recv().is_err(), "reported twice");
}

#[tokio::test]
async fn a_panic_of_consensus_halts_the_node() {
    let directory = tempfile::tempdir().unwrap();
    let (node, mut faults) = start(&directory).await;
    node.participant.raft.external_request(|_| panic!("a bug")).await.unwrap();
    assert_halted(&node, &mut faults).await;
}

#[tokio::test]
async fn consensus_that_stops_unasked_halts_the_node() {
    let directory = tempfile::tempdir().unwrap();
    let (node, mut faults) = start(&directory).await;
    node.participant.raft.shutdown().await.unwrap();
    assert_halted(&node, &mut faults).await;
}

#[tokio::test]
async fn a_stop_that_was_asked_for_is_no_fault() {
    let directory = tempfile::tempdir().unwrap();
    let (node, mut faults) = start(&directory).await;
    node.shutdown().await.unwrap();
    assert!(!node.is_ready() && !node.is_leader());
    assert!(faults.try_recv().is_err());
}

/// It was taken for one with a history from before there were lines of it, and began a line of its own, in which
/// nobody else was.
#[tokio::test]
async fn a_fresh_node_that_has_voted_is_still_fresh_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let start = async |draw: u8| {
        let mut config = NodeConfig::new(2, [draw; 40]);
        config.peers = [1, 2, 3].map(|id| (id, format!("127.0.0.1:{}", 40_000 + id))).into();
        let disk = Arc::new(DataDir::open(directory.path()).unwrap());
        Node::start(config, disk, Arc::new(StandingClock), Arc::new(|_| {})).await.unwrap()
    };
    let node = start(7).await;
    let caller = Caller {
        lineage: Some(Lineage([9; 16])),
        from: 1,
        boot: Boot { disk_id: [1; 16], count: 1, nonce: 1 },
        to: 2,
        to_boot: Some(node.participant.boot),
    };
    let first = LogId { leader_id: CommittedLeaderId { term: 0, node_id: 0 }, index: 0 };
    let request = openraft::raft::VoteRequest::new(Vote::new(1, 1), Some(first));
    let answer = Inbox::vote(&*node.participant, caller, request).await.unwrap();
    assert!(answer.vote_granted);
    node.shutdown().await.unwrap();
    drop(node);
    let node = start(8).await;
    assert_eq!(node.participant.lineage.current(), None);
    node.shutdown().await.unwrap();
}
