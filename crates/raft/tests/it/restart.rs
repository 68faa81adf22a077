//! What is there after a stop, a kill, a purge.

use std::sync::Arc;
use std::time::Duration;

use hyperion_vault_core::state::Command;
use hyperion_vault_raft::Node;

use crate::fixture::*;

async fn propose_all(node: &Node, commands: &[Command]) {
    for command in commands {
        node.propose(command.clone()).await.unwrap();
    }
}

fn some_commands(count: u64) -> Vec<Command> {
    (0..count).map(|number| if number % 5 == 4 { delete(number - 1) } else { create(number, 64) }).collect()
}

#[tokio::test]
async fn a_stop_keeps_everything_and_needs_no_replay() {
    let directory = tempfile::tempdir().unwrap();
    let commands = some_commands(30);
    let node = start(config(), directory.path()).await;
    propose_all(&node, &commands).await;
    let applied = node.view().applied_index();
    node.shutdown().await.unwrap();
    drop(node);

    let node = start(config(), directory.path()).await;
    assert_eq!(rows(&node.view()), apply_all(&commands));
    // One entry: the blank one of the new term.
    assert_eq!(node.stats().entries_applied.get(), 1);
    assert_eq!(node.view().applied_index(), applied.map(|index| index + 1));
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn after_a_kill_the_log_is_replayed() {
    let (directory, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let commands = some_commands(30);
    let mut config = config();
    config.checkpoint_interval = Duration::from_secs(3_600);
    let node = start(config.clone(), directory.path()).await;
    propose_all(&node, &commands).await;
    copy_as_killed(directory.path(), killed.path());

    let again = start(config, killed.path()).await;
    assert_eq!(rows(&again.view()), apply_all(&commands));
    assert!(again.stats().entries_applied.get() >= 30, "the state was durable; the test replayed nothing");
    again.shutdown().await.unwrap();
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn readiness_waits_for_what_was_committed_before_the_start() {
    let (directory, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let commands = some_commands(200);
    let node = start(config(), directory.path()).await;
    propose_all(&node, &commands).await;
    copy_as_killed(directory.path(), killed.path());

    let disk = Arc::new(hyperion_vault_raft::DataDir::open(killed.path()).unwrap());
    let again = try_start(config(), disk).await.unwrap();
    while !again.is_ready() {
        tokio::task::yield_now().await;
    }
    assert_eq!(rows(&again.view()), apply_all(&commands));
    again.shutdown().await.unwrap();
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn snapshots_let_the_log_go_and_a_restart_finds_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let commands = some_commands(300);
    let node = start(busy_config(), directory.path()).await;
    propose_all(&node, &commands).await;
    let status = node.status();
    let purged = status.purged_index.expect("nothing was purged");
    assert!(purged > 100, "purged up to {purged} only");
    assert!(status.durable_index >= Some(purged), "the log lost what the state hasn't made durable");
    assert!(node.stats().snapshots.get() > 0);
    node.shutdown().await.unwrap();
    drop(node);

    let node = start(busy_config(), directory.path()).await;
    assert_eq!(rows(&node.view()), apply_all(&commands));
    assert_eq!(node.status().purged_index, Some(purged));
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_lost_state_with_a_purged_log_is_restored_from_the_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let commands = some_commands(300);
    let node = start(busy_config(), directory.path()).await;
    propose_all(&node, &commands).await;
    node.shutdown().await.unwrap();
    drop(node);

    std::fs::remove_file(directory.path().join("vault.redb")).unwrap();
    let node = start(busy_config(), directory.path()).await;
    assert_eq!(rows(&node.view()), apply_all(&commands));
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_idle_node_checkpoints_and_then_rests() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config();
    config.checkpoint_interval = Duration::from_millis(20);
    let node = start(config, directory.path()).await;
    let applied = node.propose(create(1, 100)).await.unwrap();
    while node.status().durable_index < Some(applied.log_index) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (checkpoints, syncs) = (node.stats().checkpoints.get(), node.stats().state_syncs.get());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!((node.stats().checkpoints.get(), node.stats().state_syncs.get()), (checkpoints, syncs));
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_in_the_middle_of_a_snapshot_is_a_clean_one() {
    // The state was once closed under the snapshot that was being written, and the node called that a fault.
    for round in 0..10 {
        let directory = tempfile::tempdir().unwrap();
        let node = start(config(), directory.path()).await;
        propose_all(&node, &some_commands(50)).await;
        node.request_snapshot().await.unwrap();
        tokio::time::sleep(Duration::from_micros(round * 200)).await;
        node.shutdown().await.unwrap();
    }
}
