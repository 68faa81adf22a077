//! Who forms a cluster, when, and what the others wait for.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::*;
use crate::cluster::fixture::{address_of, answer, boot_of, fresh};

fn configured(count: u64) -> BTreeMap<u64, String> {
    (1..=count).map(|id| (id, address_of(id))).collect()
}

fn all_fresh(ids: &[u64]) -> BTreeMap<u64, BeatAnswer> {
    ids.iter().map(|&id| (id, fresh(id))).collect()
}

/// What node `id` of `count` does when these others have answered that they are fresh.
fn of(id: u64, count: u64, others: &[u64]) -> Formation {
    let own = Applicant { node_id: id, boot: boot_of(id) };
    formation(own, &configured(count), &all_fresh(others))
}

fn voters(formation: Formation) -> Vec<u64> {
    let Formation::Form { voters } = formation else { panic!("{formation:?}") };
    voters.into_keys().collect()
}

fn reason(formation: Formation) -> String {
    let Formation::Wait(waiting) = formation else { panic!("{formation:?}") };
    waiting.to_string()
}

#[test]
fn the_lowest_forms_when_a_majority_of_the_others_is_there() {
    assert_eq!(voters(of(1, 1, &[])), [1]);
    assert_eq!(voters(of(1, 2, &[2])), [1, 2]);
    assert_eq!(voters(of(1, 3, &[2, 3])), [1, 2, 3]);
    assert_eq!(voters(of(1, 5, &[2, 4, 5])), [1, 2, 4, 5], "node 3 is added later");
}

#[test]
fn founders_are_recorded_with_their_addresses_and_starts() {
    let Formation::Form { voters } = of(1, 3, &[2, 3]) else { panic!() };
    for (id, member) in voters {
        let expected = MemberNode { address: address_of(id), boot: Some(boot_of(id)), votes: true };
        assert_eq!(member, expected);
    }
}

#[test]
fn it_waits_for_the_others_and_says_for_whom() {
    assert_eq!(reason(of(1, 3, &[])), "waiting for nodes 2, 3 to form the cluster");
    assert_eq!(reason(of(1, 3, &[3])), "waiting for node 2 to form the cluster");
    assert_eq!(reason(of(1, 5, &[2, 3])), "waiting for nodes 4, 5 to form the cluster");
}

#[test]
fn nobody_but_the_lowest_forms_whoever_is_there() {
    assert_eq!(reason(of(2, 3, &[1, 3])), "waiting for node 1 to form the cluster");
    assert_eq!(reason(of(3, 3, &[2])), "waiting for node 1 to form the cluster");
}

#[test]
fn one_node_of_a_cluster_is_enough_to_form_none() {
    let own = Applicant { node_id: 1, boot: boot_of(1) };
    let mut answers = all_fresh(&[2, 3, 4]);
    answers.insert(5, answer(5));
    let waiting = formation(own, &configured(5), &answers);
    assert_eq!(reason(waiting), "waiting to be admitted by the leader");
}

#[test]
fn who_is_not_configured_does_not_help_to_form() {
    assert_eq!(reason(of(1, 3, &[2, 8, 9])), "waiting for node 3 to form the cluster");
}

proptest! {
    /// Whatever the answers, two nodes never both form, and who forms has reached a quorum of the new cluster.
    #[test]
    fn at_most_one_node_forms(count in 1_u64..8, reached in prop::collection::btree_set(1_u64..8, 0..8)) {
        let mut founders = 0;
        for id in 1..=count {
            let others: Vec<u64> = reached.iter().copied().filter(|other| *other != id).collect();
            if let Formation::Form { voters } = of(id, count, &others) {
                founders += 1;
                prop_assert!(voters.len() as u64 * 2 > count);
            }
        }
        prop_assert!(founders <= 1);
    }
}
