//! Proposing, reading, status, halting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyperion_vault_core::state::{Effect, Outcome, Refusal, Rows};
use hyperion_vault_raft::{ProposeError, Role};

use crate::fixture::*;
use crate::recording_disk::RecordingDisk;

#[tokio::test]
async fn an_empty_directory_becomes_a_cluster_of_one() {
    let directory = tempfile::tempdir().unwrap();
    let node = start(config(), directory.path()).await;
    let status = node.status();
    assert_eq!((status.node_id, status.role, status.leader), (1, Role::Leader, Some(1)));
    assert_eq!(status.members.len(), 1);
    assert!(status.members[0].voter && status.fault.is_none());
    assert!(node.is_leader() && node.is_ready());
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_proposal_is_visible_when_it_is_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let node = start(config(), directory.path()).await;
    let applied = node.propose(create(1, 100)).await.unwrap();
    assert!(matches!(applied.outcome, Outcome::Applied(Effect::Secret(_))));
    assert_eq!(rows(&node.view()), apply_all(&[create(1, 100)]));
    assert_eq!(node.view().applied_index(), Some(applied.log_index));
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_refused_command_is_an_outcome() {
    let directory = tempfile::tempdir().unwrap();
    let node = start(config(), directory.path()).await;
    node.propose(create(1, 100)).await.unwrap();
    let refused = node.propose(create(1, 100)).await.unwrap();
    assert_eq!(refused.outcome, Outcome::Refused(Refusal::SecretExists));
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_read_publishes_no_view_and_syncs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let node = start(config(), directory.path()).await;
    node.propose(create(1, 100)).await.unwrap();
    let counts = || {
        let stats = node.stats();
        [&stats.views_published, &stats.log_syncs, &stats.state_syncs, &stats.log_batches].map(|c| c.get())
    };
    let before = counts();
    for _ in 0..1_000 {
        assert!(!node.view().scan(&[], None, 10).unwrap().is_empty());
    }
    assert_eq!(counts(), before);
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_oversized_command_is_refused_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let node = start(config(), directory.path()).await;
    let before = node.status().last_log_index;
    let refusal = node.propose(create(1, 2 * 1024 * 1024)).await.unwrap_err();
    assert!(matches!(refusal, ProposeError::TooLarge { bytes } if bytes > 2 * 1024 * 1024), "{refusal}");
    assert_eq!(node.status().last_log_index, before);
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_proposals_share_syncs() {
    let directory = tempfile::tempdir().unwrap();
    let node = Arc::new(start(config(), directory.path()).await);
    let before = node.stats().log_syncs.get();
    let proposers: Vec<_> = (0..32_u64)
        .map(|proposer| {
            let node = Arc::clone(&node);
            tokio::spawn(async move {
                for number in 0..20 {
                    node.propose(create(proposer * 100 + number, 100)).await.unwrap();
                }
            })
        })
        .collect();
    for proposer in proposers {
        proposer.await.unwrap();
    }
    let syncs = node.stats().log_syncs.get() - before;
    assert!(syncs * 2 < 640, "{syncs} syncs for 640 proposals of 32 proposers");
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn after_a_shutdown_proposals_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let node = start(config(), directory.path()).await;
    node.shutdown().await.unwrap();
    assert_eq!(node.propose(create(1, 100)).await.unwrap_err(), ProposeError::Halted);
    assert!(node.view().get(b"x").is_err());
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_failed_sync_of_the_log_acknowledges_nothing_and_is_reported_once() {
    let disk = RecordingDisk::new();
    let faults = Arc::new(AtomicU64::new(0));
    let node = disk.start_counting(config(), Arc::clone(&faults)).await;
    node.propose(create(1, 100)).await.unwrap();

    disk.fail_syncs();
    let refusal = node.propose(create(2, 100)).await.unwrap_err();
    assert_eq!(refusal, ProposeError::Halted);
    assert_eq!(node.propose(create(3, 100)).await.unwrap_err(), ProposeError::Halted);
    assert_eq!(faults.load(Ordering::SeqCst), 1);
    assert!(node.status().fault.is_some() && !node.is_ready());
    assert!(node.wait_ready(Duration::from_millis(10)).await.is_err());
    assert!(node.shutdown().await.is_err());
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_refuses_changes_until_it_has_room() {
    let disk = RecordingDisk::new();
    let node = disk.start(config()).await;
    node.propose(create(1, 100)).await.unwrap();
    node.shutdown().await.unwrap();
    drop(node);

    disk.set_free_bytes(16 * 1024 * 1024);
    let faults = Arc::new(AtomicU64::new(0));
    let node = disk.start_counting(config(), Arc::clone(&faults)).await;
    let before = node.status().last_log_index;
    assert_eq!(node.propose(create(2, 100)).await.unwrap_err(), ProposeError::DiskFull);
    assert_eq!(node.status().last_log_index, before);
    assert_eq!(rows(&node.view()), apply_all(&[create(1, 100)]), "reads went with the writes");
    assert!(node.is_ready());

    disk.set_free_bytes(1024 * 1024 * 1024);
    let patience = tokio::time::timeout(Duration::from_secs(5), async {
        while let Err(refusal) = node.propose(create(2, 100)).await {
            assert_eq!(refusal, ProposeError::DiskFull);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    patience.await.expect("space came back, changes didn't");
    assert_eq!(faults.load(Ordering::SeqCst), 0);
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_burst_cannot_outrun_the_looks_at_the_disk() {
    let disk = RecordingDisk::new();
    // The reserve of a small state, and a megabyte.
    disk.set_free_bytes((32 + 4 + 1) * 1024 * 1024);
    let node = disk.start(config()).await;
    let taken = async {
        for number in 0..64 {
            if node.propose(create(number, 100 * 1024)).await.is_err() {
                return number;
            }
        }
        64
    };
    assert!((1..16).contains(&taken.await), "the disk was filled between two looks");
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn leadership_can_be_watched() {
    let directory = tempfile::tempdir().unwrap();
    let node = start(config(), directory.path()).await;
    let mut leadership = node.leadership();
    assert!(leadership.borrow_and_update().is_here());
    node.shutdown().await.unwrap();
    assert!(
        leadership.wait_for(|leadership| !leadership.is_here()).await.is_err(),
        "the watch outlives the node"
    );
}
