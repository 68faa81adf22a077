//! The stored bytes of each record, as files: whoever changes one changes what is on somebody's disk.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use bytes::Bytes;

use super::*;
use crate::cluster::identity::Boot;
use crate::cluster::member::MemberNode;
use crate::types::*;

fn log_id(term: u64, node_id: u64, index: u64) -> LogId {
    LogId { leader_id: CommittedLeaderId { term, node_id }, index }
}

fn membership() -> Membership {
    let boot = |id| Some(Boot { disk_id: [id; 16], count: 2, nonce: 300 });
    let nodes = [(1, "a:1", boot(1)), (2, "b:2", boot(2)), (3, "c:3", None)]
        .map(|(id, address, boot)| (id, MemberNode { address: address.to_owned(), boot, votes: id < 3 }));
    Membership::new(vec![BTreeSet::from([1, 2])], BTreeMap::from(nodes)).unwrap()
}

fn assert_golden<T: Stored + PartialEq + Debug>(value: &T, place: u64, golden: &str) {
    assert_eq!(hex::encode(value.store(place)), golden.trim());
    assert_eq!(&T::load(&hex::decode(golden.trim()).unwrap(), place).unwrap(), value);
}

fn entry(payload: EntryPayload) -> Entry {
    Entry { log_id: log_id(3, 1, 42), payload }
}

#[test]
fn a_log_id_is_these_bytes() {
    assert_golden(&log_id(3, 1, 300), 0, include_str!("../../tests/vectors/log_id_1.hex"));
}

#[test]
fn a_vote_is_these_bytes() {
    assert_golden(&Vote::new_committed(7, 2), 0, include_str!("../../tests/vectors/vote_1.hex"));
}

#[test]
fn a_membership_is_these_bytes() {
    let stored = StoredMembership::new(Some(log_id(3, 1, 9)), membership());
    assert_golden(&stored, 0, include_str!("../../tests/vectors/membership_2.hex"));
}

/// Written before members had starts: each voter is one that votes, no other member will be.
#[test]
fn a_membership_without_starts_is_still_read() {
    let stored = include_str!("../../tests/vectors/membership_1.hex").trim();
    let stored = StoredMembership::load(&hex::decode(stored).unwrap(), 0).unwrap();
    let member = |id: u64| stored.membership().get_node(&id).unwrap().clone();
    assert_eq!(member(1), MemberNode { address: "a:1".to_owned(), boot: None, votes: true });
    assert_eq!(member(3), MemberNode { address: "c:3".to_owned(), boot: None, votes: false });
    let entry = include_str!("../../tests/vectors/entry_membership_1.hex").trim();
    assert!(Entry::load(&hex::decode(entry).unwrap(), 42).is_ok());
    let meta = include_str!("../../tests/vectors/snapshot_meta_1.hex").trim();
    assert!(SnapshotMeta::load(&hex::decode(meta).unwrap(), 0).is_ok());
}

#[test]
fn a_membership_before_the_cluster_is_formed_comes_back() {
    let none = StoredMembership::default();
    assert_eq!(StoredMembership::load(&none.store(0), 0).unwrap(), none);
}

#[test]
fn a_blank_entry_is_these_bytes() {
    assert_golden(&entry(EntryPayload::Blank), 42, include_str!("../../tests/vectors/entry_blank_1.hex"));
}

#[test]
fn an_entry_with_a_proposal_is_these_bytes() {
    let proposal = EncodedProposal(Bytes::from_static(b"proposal"));
    let golden = include_str!("../../tests/vectors/entry_proposal_1.hex");
    assert_golden(&entry(EntryPayload::Normal(proposal)), 42, golden);
}

#[test]
fn an_entry_with_a_membership_is_these_bytes() {
    let golden = include_str!("../../tests/vectors/entry_membership_2.hex");
    assert_golden(&entry(EntryPayload::Membership(membership())), 42, golden);
}

#[test]
fn snapshot_meta_is_these_bytes() {
    let last_membership = StoredMembership::new(Some(log_id(3, 1, 9)), membership());
    let meta = SnapshotMeta { last_log_id: Some(log_id(3, 1, 42)), last_membership };
    assert_golden(&meta, 0, include_str!("../../tests/vectors/snapshot_meta_2.hex"));
}

#[test]
fn every_flipped_bit_of_a_record_is_an_error() {
    let stored = entry(EntryPayload::Membership(membership())).store(42);
    for bit in 0..stored.len() * 8 {
        let mut flipped = stored.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Entry::load(&flipped, 42).is_err(), "bit {bit}");
    }
}

#[test]
fn a_shortened_record_is_an_error() {
    let stored = log_id(3, 1, 42).store(0);
    for len in 0..stored.len() {
        assert!(LogId::load(&stored[..len], 0).is_err(), "{len} bytes");
    }
}

#[test]
fn an_entry_under_the_index_of_another_is_an_error() {
    assert!(Entry::load(&entry(EntryPayload::Blank).store(42), 43).is_err());
}

#[test]
fn a_record_of_another_kind_is_an_error() {
    assert!(Vote::load(&log_id(3, 1, 1).store(0), 0).is_err());
}
