//! Snapshots on their way.

use std::fs;
use std::path::Path;

use openraft::errors::{ReplicationClosed, StreamingError};
use openraft::network::RaftNetworkV2;
use openraft::type_config::alias::SnapshotOf;

use super::super::frames::{self, SnapshotHeader};
use super::*;
use crate::snapshot::SnapshotFile;
use crate::types::{SnapshotMeta, StoredMembership};

/// Bytes of which no two pieces are the same.
fn some_bytes(length: usize) -> Vec<u8> {
    (0_u32..).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).take(length).collect()
}

fn snapshot(path: &Path, bytes: &[u8]) -> SnapshotOf<TypeConfig, SnapshotFile> {
    fs::write(path, bytes).unwrap();
    let meta = SnapshotMeta { last_log_id: Some(log_id(9)), last_membership: StoredMembership::default() };
    SnapshotOf::<TypeConfig, SnapshotFile> { meta, snapshot: SnapshotFile::open(path).unwrap() }
}

fn files_left(callee: &Callee) -> usize {
    fs::read_dir(callee.node.directory.path()).unwrap().count()
}

async fn send(sender: &mut Sender, bytes: &[u8]) -> Result<(), StreamingError<TypeConfig>> {
    let directory = tempfile::tempdir().unwrap();
    let snapshot = snapshot(&directory.path().join("sent"), bytes);
    let sent = sender.network.full_snapshot(leader(), snapshot, std::future::pending(), within(PATIENCE));
    sent.await.map(|response| assert_eq!(response.vote, leader()))
}

#[tokio::test]
async fn a_snapshot_arrives_byte_for_byte_and_leaves_no_file_behind() {
    let callee = Callee::start(TransportSecurity::Plain).await;
    let mut sender = Sender::to(&callee).await;
    for length in [0, 1, 256 * 1024, 5 * 1024 * 1024 + 3] {
        let sent = some_bytes(length);
        send(&mut sender, &sent).await.unwrap();
        let installed = callee.node.installed.lock().unwrap().pop().unwrap();
        assert!(installed == sent, "{length} bytes");
        assert_eq!(*sender.told.acknowledged.lock().unwrap(), Some(log_id(9)));
    }
    assert_eq!(files_left(&callee), 0);
}

#[tokio::test]
async fn a_rejected_snapshot_is_not_sent_to_its_end() {
    let callee = Callee::start(TransportSecurity::Plain).await;
    let mut sender = Sender::to(&callee).await;
    callee.node.reject(Rejection::OtherBoot);
    let refused = send(&mut sender, &some_bytes(20 * 1024 * 1024)).await;
    assert!(matches!(refused, Err(StreamingError::Unreachable(_))), "{refused:?}");
    assert!(*sender.told.doubted.lock().unwrap());
    assert_eq!(files_left(&callee), 0);
}

#[tokio::test]
async fn a_snapshot_that_is_no_longer_wanted_is_given_up() {
    let callee = Callee::start(TransportSecurity::Plain).await;
    let mut sender = Sender::to(&callee).await;
    callee.node.silent.send_replace(true);
    let directory = tempfile::tempdir().unwrap();
    let snapshot = snapshot(&directory.path().join("sent"), &some_bytes(1_000_000));
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        ReplicationClosed::new("no longer leading")
    };
    let given_up = sender.network.full_snapshot(leader(), snapshot, cancel, within(PATIENCE)).await;
    assert!(matches!(given_up, Err(StreamingError::Closed(_))), "{given_up:?}");
}

#[tokio::test]
async fn a_snapshot_that_makes_no_progress_is_given_up() {
    let callee = Callee::start(TransportSecurity::Plain).await;
    let mut sender = Sender::to(&callee).await;
    callee.node.silent.send_replace(true);
    let directory = tempfile::tempdir().unwrap();
    let snapshot = snapshot(&directory.path().join("sent"), &some_bytes(20 * 1024 * 1024));
    let limit = within(Duration::from_millis(400));
    let given_up = sender.network.full_snapshot(leader(), snapshot, std::future::pending(), limit).await;
    assert!(matches!(given_up, Err(StreamingError::Timeout(_))), "{given_up:?}");
}

/// Sends frames as they are.
async fn send_frames(callee: &Callee, pieces: Vec<Bytes>, announced: u64) -> Result<(), CallError> {
    let header = frames::call(caller(), SnapshotHeader { vote: leader(), bytes: announced });
    let to = callee.connection(TransportSecurity::Plain);
    let sent = to.snapshot(futures::stream::iter([header]).chain(futures::stream::iter(pieces))).await;
    sent.map(drop)
}

#[tokio::test]
async fn a_snapshot_of_another_length_than_announced_is_refused() {
    let callee = Callee::start(TransportSecurity::Plain).await;
    let piece = Bytes::from(some_bytes(1_000));
    for announced in [2_000, 999] {
        let refused = send_frames(&callee, vec![piece.clone()], announced).await;
        let malformed = matches!(refused, Err(CallError::Rejected(Rejection::Malformed(_))));
        assert!(malformed, "{announced} announced: {refused:?}");
    }
    assert!(send_frames(&callee, vec![piece.clone(); 2], 2_000).await.is_ok());
    assert_eq!(files_left(&callee), 0);
}

#[tokio::test]
async fn a_snapshot_larger_than_the_disk_is_refused_before_it_comes() {
    let callee = Callee::start(TransportSecurity::Plain).await;
    let refused = send_frames(&callee, Vec::new(), u64::MAX / 4).await;
    assert_eq!(refused, Err(CallError::Rejected(Rejection::NoRoom)));
    assert_eq!(files_left(&callee), 0);
}
