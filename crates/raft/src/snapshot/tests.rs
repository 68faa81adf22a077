//! The format of snapshots, and that nothing but a whole one passes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::format::{SnapshotReader, SnapshotWriter};
use super::*;
use crate::fault::Fault;
use crate::types::{CommittedLeaderId, LogId, SnapshotMeta, StoredMembership};

fn meta() -> SnapshotMeta {
    let last = LogId { leader_id: CommittedLeaderId { term: 3, node_id: 1 }, index: 42 };
    SnapshotMeta { last_log_id: Some(last), last_membership: StoredMembership::default() }
}

fn rows() -> Vec<(Vec<u8>, Vec<u8>)> {
    let row = |number: u8| (vec![number, 7], vec![number; usize::from(number)]);
    (0..20).map(row).collect()
}

fn snapshot(rows: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut writer = SnapshotWriter::begin(Vec::new(), &meta()).unwrap();
    for (key, value) in rows {
        writer.row(key, value).unwrap();
    }
    writer.finish().unwrap()
}

fn verify(directory: &Path, bytes: &[u8]) -> Result<VerifiedSnapshot, Fault> {
    let path = directory.join("snapshot");
    fs::write(&path, bytes).unwrap();
    SnapshotFile::open(&path).unwrap().verify()
}

#[test]
fn a_snapshot_of_format_1_is_these_bytes() {
    let bytes = snapshot(&[(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), Vec::new())]);
    assert_eq!(hex::encode(bytes), include_str!("../../tests/vectors/snapshot_1.hex").trim());
}

#[test]
fn what_was_written_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let verified = verify(directory.path(), &snapshot(&rows())).unwrap();
    assert_eq!(verified.meta(), &meta());
    let mut read = Vec::new();
    verified
        .for_each_row(|key, value| {
            read.push((key.to_vec(), value.to_vec()));
            Ok(())
        })
        .unwrap();
    assert_eq!(read, rows());
}

#[test]
fn an_empty_state_has_a_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    assert!(verify(directory.path(), &snapshot(&[])).is_ok());
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let whole = snapshot(&rows());
    for byte in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[byte] ^= 1 << (byte % 8);
        assert!(verify(directory.path(), &damaged).is_err(), "byte {byte}");
    }
}

#[test]
fn a_snapshot_cut_short_anywhere_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let whole = snapshot(&rows());
    for length in 0..whole.len() {
        assert!(verify(directory.path(), &whole[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut longer = snapshot(&rows());
    longer.push(0);
    assert!(verify(directory.path(), &longer).is_err());
}

#[test]
fn a_length_out_of_bounds_takes_no_memory() {
    let mut bytes = snapshot(&[(b"a".to_vec(), b"1".to_vec())]);
    let header = snapshot(&[]).len() - 1 - 8 - 32;
    bytes[header + 5..header + 9].copy_from_slice(&u32::MAX.to_le_bytes());
    let reader = SnapshotReader::begin(bytes.as_slice()).unwrap();
    let refusal = reader.for_each_row(|_, _| Ok::<(), format::FormatError>(())).unwrap_err();
    assert_eq!(refusal.to_string(), "damaged snapshot: a length out of bounds");
}

#[test]
fn a_later_format_is_refused_by_number() {
    let directory = tempfile::tempdir().unwrap();
    let mut later = snapshot(&rows());
    later[8] = 2;
    let refusal = verify(directory.path(), &later).err().unwrap();
    assert!(refusal.to_string().contains("format 2 is newer"), "{refusal}");
}

#[test]
fn what_a_crash_left_half_written_is_cleared() {
    let directory = tempfile::tempdir().unwrap();
    SnapshotDir::open(directory.path()).unwrap();
    let partial = directory.path().join("1-1.partial");
    fs::write(&partial, b"half").unwrap();
    SnapshotDir::open(directory.path()).unwrap();
    assert!(!partial.exists());
}

#[test]
fn an_unreadable_snapshot_is_passed_over_for_an_older_one() {
    let directory = tempfile::tempdir().unwrap();
    let snapshots = SnapshotDir::open(directory.path()).unwrap();
    fs::write(directory.path().join("1.hvsnap"), snapshot(&rows())).unwrap();
    fs::write(directory.path().join("2.hvsnap"), b"nothing").unwrap();
    let (newest, _) = snapshots.newest().unwrap().unwrap();
    assert_eq!(newest, meta());
}

fn names(directory: &Path) -> Vec<String> {
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    fs::read_dir(directory).unwrap().map(|entry| name(entry.unwrap())).collect()
}

async fn received(snapshots: &Arc<SnapshotDir>, bytes: Vec<u8>) -> SnapshotFile {
    let mut incoming = snapshots.incoming().unwrap();
    for piece in bytes.chunks(100) {
        incoming.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    incoming.finish().unwrap()
}

/// It isn't written a second time, and outlives whoever received it.
#[tokio::test]
async fn a_received_snapshot_is_adopted_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let snapshots = Arc::new(SnapshotDir::open(directory.path()).unwrap());
    let file = received(&snapshots, snapshot(&rows())).await;
    let [partial] = names(directory.path()).try_into().unwrap();
    let inode = |name: &str| fs::metadata(directory.path().join(name)).unwrap().ino();
    let before = inode(&partial);
    assert_eq!(fs::metadata(directory.path().join(&partial)).unwrap().mode() & 0o777, 0o600);

    drop(snapshots.adopt(file.verify().unwrap()).unwrap());
    let [adopted] = names(directory.path()).try_into().unwrap();
    assert_ne!(adopted, partial);
    assert_eq!(inode(&adopted), before);
    assert_eq!(snapshots.newest().unwrap().unwrap().0, meta());
}

#[tokio::test]
async fn a_received_snapshot_that_is_not_adopted_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let snapshots = Arc::new(SnapshotDir::open(directory.path()).unwrap());
    let mut unfinished = snapshots.incoming().unwrap();
    unfinished.write(Bytes::from_static(b"half")).await.unwrap();
    let finished = received(&snapshots, b"no snapshot".to_vec()).await;
    assert_eq!(names(directory.path()).len(), 2);
    drop(unfinished);
    assert!(finished.verify().is_err());
    assert!(names(directory.path()).is_empty());
}

#[tokio::test]
async fn a_snapshot_adopted_twice_is_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let snapshots = Arc::new(SnapshotDir::open(directory.path()).unwrap());
    for _ in 0..2 {
        let file = received(&snapshots, snapshot(&rows())).await;
        snapshots.adopt(file.verify().unwrap()).unwrap();
    }
    assert_eq!(names(directory.path()).len(), 1);
}
