//! Disks that come back older than they were, and those that don't come back.

use std::fs;
use std::path::Path;

use hyperion_vault_raft::{RecoverError, recover};

use super::*;

const NEW_LINEAGE: [u8; 16] = [0xEE; 16];

fn copy_files(from: &Path, to: &Path) {
    for name in ["vault.redb", "vault.raft.redb"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

fn recover_files(directory: &Path) -> Result<hyperion_vault_raft::Recovery, RecoverError> {
    recover(&DataDir::open(directory).unwrap(), NEW_LINEAGE)
}

impl Trio {
    async fn stop_all(&mut self) {
        for id in self.running.keys().copied().collect::<Vec<_>>() {
            self.stop(id).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_a_disk_is_found_out_and_the_node_let_in_again() {
    let mut trio = Trio::formed().await;
    let follower = trio.follower().await;
    put(trio.node(follower), 1).await.unwrap();
    trio.stop(follower).await;
    let copy = tempfile::tempdir().unwrap();
    copy_files(trio.directories[&follower].path(), copy.path());
    trio.start(follower).await;
    trio.all_ready().await;
    put(trio.node(follower), 2).await.unwrap();
    trio.stop(follower).await;

    trio.directories.insert(follower, copy);
    let changes = trio.node(trio.leader().await).view().applied_index();
    trio.start(follower).await;
    trio.all_ready().await;
    trio.wait_voters(&[1, 2, 3]).await;
    assert!(has(trio.node(follower), 2));
    assert!(trio.node(follower).view().applied_index() >= changes);
    put(trio.node(follower), 3).await.unwrap();
    trio.assert_same_state().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_majority_is_given_up_and_one_node_goes_on_with_all_that_it_has() {
    let mut trio = Trio::formed().await;
    for number in 0..20 {
        put(trio.node(2), number).await.unwrap();
    }
    trio.assert_same_state().await;
    trio.stop_all().await;
    let recovery = recover_files(trio.directories[&2].path()).unwrap();
    assert_eq!((recovery.node_id, recovery.former_members), (2, vec![1, 2, 3]));

    trio.start(2).await;
    trio.all_ready().await;
    let alone = trio.node(2).cluster();
    assert_eq!(alone.nodes.iter().map(|member| member.node_id).collect::<Vec<_>>(), [2]);
    assert_eq!(alone.lineage, Some(recovery.lineage));
    for number in 0..20 {
        assert!(has(trio.node(2), number));
    }
    put(trio.node(2), 100).await.unwrap();

    // Nodes of the old line come back: they are a majority of the old cluster, and change nothing.
    trio.start(1).await;
    trio.start(3).await;
    put(trio.node(1), 200).await.unwrap();
    assert!(!has(trio.node(2), 200));
    assert_eq!(trio.node(2).cluster().leader, Some(2));
    assert_eq!(trio.node(2).cluster().nodes.len(), 1);

    // With an empty disk they may join.
    trio.stop(3).await;
    trio.wipe(3);
    trio.start(3).await;
    let joins = hyperion_vault_raft::MemberChange::Add { node_id: 3, address: trio.peers[&3].clone() };
    trio.node(2).change_members(joins).await.unwrap();
    trio.node(3).wait_ready(SOON).await.unwrap();
    assert!(has(trio.node(3), 100));
}

#[tokio::test]
async fn files_of_no_cluster_and_files_in_use_are_not_recovered() {
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(recover_files(empty.path()), Err(RecoverError::NoCluster)));

    let mut trio = Trio::new();
    trio.start(1).await;
    assert!(DataDir::open(trio.directories[&1].path()).is_err(), "in use");
    trio.stop(1).await;
    let waiting = recover_files(trio.directories[&1].path());
    assert!(matches!(waiting, Err(RecoverError::NoCluster)), "it never was part of one: {waiting:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_is_whole_and_may_be_repeated() {
    let mut trio = Trio::formed().await;
    put(trio.node(1), 1).await.unwrap();
    trio.assert_same_state().await;
    trio.stop_all().await;
    let first = recover_files(trio.directories[&1].path()).unwrap();
    let second = recover_files(trio.directories[&1].path()).unwrap();
    assert_eq!(second.former_members, [1]);
    assert_eq!(second.last_log_index, first.last_log_index + 1);
    trio.start(1).await;
    trio.all_ready().await;
    assert!(has(trio.node(1), 1));
}
