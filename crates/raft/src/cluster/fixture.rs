//! Peers, answers and members for the tests of this folder.

use std::collections::{BTreeMap, BTreeSet};

use hyperion_vault_core::time::Timestamp;

use super::identity::{Boot, Lineage};
use super::member::MemberNode;
use crate::status::Role;
use crate::transport::message::{BeatAnswer, Caller};
use crate::types::{CommittedLeaderId, LogId, Membership, StoredMembership, Vote};

pub(super) const CLUSTER: Lineage = Lineage([7; 16]);
pub(super) const OTHER_CLUSTER: Lineage = Lineage([8; 16]);

/// The start number `count` of a disk.
pub(super) fn boot(disk: u8, count: u64) -> Boot {
    Boot { disk_id: [disk; 16], count, nonce: count.wrapping_mul(1_000).wrapping_add(u64::from(disk)) }
}

/// The start that [`answer`] and [`members`] give node `id`: the first of its disk.
pub(super) fn boot_of(id: u64) -> Boot {
    boot(u8::try_from(id).unwrap(), 1)
}

/// Of the leader that node 1 is in every term.
pub(super) fn log_id(term: u64, index: u64) -> LogId {
    LogId { leader_id: CommittedLeaderId { term, node_id: 1 }, index }
}

pub(super) fn member(address: &str, boot: Option<Boot>) -> MemberNode {
    MemberNode { address: address.to_owned(), boot, votes: true }
}

pub(super) fn address_of(id: u64) -> String {
    format!("node-{id}:7000")
}

/// A follower of [`CLUSTER`] that has 100 entries of term 3.
pub(super) fn answer(node_id: u64) -> BeatAnswer {
    BeatAnswer {
        node_id,
        boot: boot_of(node_id),
        lineage: Some(CLUSTER),
        clock: Timestamp::from_unix_ms(1_000_000),
        role: Role::Follower,
        leader: Some(1),
        vote: Vote::new_committed(3, 1),
        last_log_id: Some(log_id(3, 100)),
        applied_index: Some(100),
        feature_level: 2,
        version: "1.0.0".to_owned(),
    }
}

/// A node that belongs to no cluster yet.
pub(super) fn fresh(node_id: u64) -> BeatAnswer {
    BeatAnswer {
        lineage: None,
        role: Role::Learner,
        leader: None,
        vote: Vote::new(0, 0),
        last_log_id: None,
        applied_index: None,
        ..answer(node_id)
    }
}

/// From `from` to `to`, both at the starts that [`boot_of`] gives.
pub(super) fn caller(from: u64, to: u64) -> Caller {
    Caller { lineage: Some(CLUSTER), from, boot: boot_of(from), to, to_boot: Some(boot_of(to)) }
}

/// Voters and learners, each at the start that [`boot_of`] gives; all of them are to vote.
pub(super) fn members(voters: &[u64], learners: &[u64]) -> StoredMembership {
    let nodes: BTreeMap<u64, MemberNode> = voters
        .iter()
        .chain(learners)
        .map(|&id| (id, MemberNode { address: address_of(id), boot: Some(boot_of(id)), votes: true }))
        .collect();
    stored(&[voters], nodes)
}

/// One set of voters, or two.
pub(super) fn stored(voters: &[&[u64]], nodes: BTreeMap<u64, MemberNode>) -> StoredMembership {
    let voters = voters.iter().map(|set| BTreeSet::from_iter(set.iter().copied())).collect();
    StoredMembership::new(Some(log_id(1, 5)), Membership::new(voters, nodes).unwrap())
}
