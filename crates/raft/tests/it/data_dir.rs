//! The data directory: who may have it, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use hyperion_vault_raft::{DataDir, DatabaseFile, Disk, StartError};

use crate::fixture::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

async fn refusal(directory: &Path) -> StartError {
    let disk = Arc::new(DataDir::open(directory).unwrap());
    try_start(config(), disk).await.err().expect("the node started")
}

/// A directory with some state in it.
async fn used() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let node = start(config(), directory.path()).await;
    node.propose(create(1, 100)).await.unwrap();
    node.shutdown().await.unwrap();
    directory
}

#[tokio::test]
async fn only_the_owner_can_read_it() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("vault/data");
    let node = start(config(), &directory).await;
    node.request_snapshot().await.unwrap();
    node.shutdown().await.unwrap();
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join("vault.snapshots")), 0o700);
    for entry in
        fs::read_dir(&directory).unwrap().chain(fs::read_dir(directory.join("vault.snapshots")).unwrap())
    {
        let path = entry.unwrap().path();
        assert!(path.is_dir() || mode(&path) == 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn it_belongs_to_one_process_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let node = start(config(), directory.path()).await;
    let second = DataDir::open(directory.path()).unwrap_err();
    assert!(matches!(second, StartError::InUse { .. }), "{second}");
    node.shutdown().await.unwrap();
    DataDir::open(directory.path()).unwrap();
}

#[tokio::test]
async fn the_data_of_another_node_is_refused() {
    let directory = used().await;
    let mut other = config();
    other.node_id = 2;
    let disk = Arc::new(DataDir::open(directory.path()).unwrap());
    let refusal = try_start(other, disk).await.err().unwrap();
    assert!(matches!(refusal, StartError::OtherNode { found: 1, configured: 2 }), "{refusal}");
}

#[tokio::test]
async fn a_lost_log_is_refused() {
    let directory = used().await;
    fs::remove_file(directory.path().join("vault.raft.redb")).unwrap();
    assert!(matches!(refusal(directory.path()).await, StartError::LogLost));
}

#[tokio::test]
async fn files_of_two_disks_are_refused() {
    let (directory, other) = (used().await, tempfile::tempdir().unwrap());
    let mut config = config();
    config.draws.disk_id = [8; 16];
    start(config, other.path()).await.shutdown().await.unwrap();
    fs::copy(other.path().join("vault.raft.redb"), directory.path().join("vault.raft.redb")).unwrap();
    assert!(matches!(refusal(directory.path()).await, StartError::Mixed));
}

#[tokio::test]
async fn one_file_in_the_place_of_the_other_is_refused() {
    let directory = used().await;
    fs::copy(directory.path().join("vault.redb"), directory.path().join("vault.raft.redb")).unwrap();
    let refusal = refusal(directory.path()).await;
    assert!(matches!(refusal, StartError::Foreign { file: DatabaseFile::Log }), "{refusal}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let directory = used().await;
    fs::write(directory.path().join("vault.redb"), b"something else entirely").unwrap();
    let refusal = refusal(directory.path()).await;
    assert!(matches!(refusal, StartError::Unreadable { file: DatabaseFile::State, .. }), "{refusal}");
}

#[tokio::test]
async fn a_database_of_something_else_is_refused() {
    let directory = used().await;
    let path = directory.path().join("vault.redb");
    fs::remove_file(&path).unwrap();
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<u64, u64>::new("theirs")).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let refusal = refusal(directory.path()).await;
    assert!(matches!(refusal, StartError::Foreign { file: DatabaseFile::State }), "{refusal}");
}

#[tokio::test]
async fn a_lost_state_is_made_again_from_the_log() {
    let directory = used().await;
    fs::remove_file(directory.path().join("vault.redb")).unwrap();
    let node = start(config(), directory.path()).await;
    assert_eq!(rows(&node.view()), apply_all(&[create(1, 100)]));
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn two_nodes_share_a_directory_under_names_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str| DataDir::beside(&directory.path().join(name));
    let (one, two) = (open("one.redb").unwrap(), open("two.redb").unwrap());
    assert!(open("one.redb").unwrap_err().to_string().contains("in use by another process"));
    assert_ne!(one.snapshots(), two.snapshots());
}
