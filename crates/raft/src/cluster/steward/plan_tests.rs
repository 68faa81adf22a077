//! What the leader does next, scene by scene.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::cluster::fixture::{address_of, answer, boot, boot_of, log_id, members, stored};
use crate::cluster::judgement::Loss;

/// What node 1 sees, which leads a cluster of three that needs nothing done.
struct Scene {
    membership: StoredMembership,
    configured: BTreeMap<u64, String>,
    sightings: BTreeMap<u64, Sighting>,
    cluster_level: u32,
    boot: Boot,
    last_log_index: u64,
    previous_log_index: u64,
}

impl Scene {
    fn of(voters: &[u64], learners: &[u64]) -> Scene {
        let others = voters.iter().chain(learners).filter(|id| **id != 1);
        Scene {
            membership: members(voters, learners),
            configured: (1..=3).map(|id| (id, address_of(id))).collect(),
            sightings: others.map(|&id| (id, sighting(id))).collect(),
            cluster_level: 2,
            boot: boot_of(1),
            last_log_index: 1_000,
            previous_log_index: 1_000,
        }
    }

    fn sees(mut self, id: u64, change: impl FnOnce(&mut Sighting)) -> Scene {
        change(self.sightings.get_mut(&id).unwrap());
        self
    }

    fn next_step(&self) -> Option<Step> {
        next_step(&View {
            node_id: 1,
            boot: self.boot,
            address: &address_of(1),
            feature_level: 2,
            cluster_level: self.cluster_level,
            membership: &self.membership,
            configured: &self.configured,
            sightings: &self.sightings,
            last_log_index: self.last_log_index,
            previous_log_index: self.previous_log_index,
        })
    }
}

/// A member as it should be, with everything that the leader has.
fn sighting(id: u64) -> Sighting {
    Sighting { verdict: Verdict::Same, alike: 9, answer: answer(id), acknowledged_index: Some(1_000) }
}

fn lost(sighting: &mut Sighting) {
    sighting.verdict = Verdict::Lost(Loss::Wiped);
    sighting.answer.boot = boot(9, 1);
}

fn record(id: u64, boot: Boot) -> MemberNode {
    MemberNode { address: address_of(id), boot: Some(boot), votes: true }
}

#[test]
fn a_healthy_cluster_needs_nothing() {
    assert_eq!(Scene::of(&[1, 2, 3], &[]).next_step(), None);
    assert_eq!(Scene::of(&[1], &[]).next_step(), None);
}

#[test]
fn a_silent_member_is_left_alone() {
    let mut scene = Scene::of(&[1, 2, 3], &[]);
    scene.sightings.remove(&2);
    assert_eq!(scene.next_step(), None);
}

#[test]
fn a_restarted_member_is_recorded() {
    let scene = Scene::of(&[1, 2, 3], &[]).sees(2, |seen| {
        seen.verdict = Verdict::Restarted;
        seen.answer.boot = boot(2, 5);
    });
    assert_eq!(scene.next_step(), Some(Step::Record { node_id: 2, member: record(2, boot(2, 5)) }));
}

#[test]
fn the_leader_records_its_own_start() {
    let mut scene = Scene::of(&[1, 2, 3], &[]);
    scene.boot = boot(1, 8);
    assert_eq!(scene.next_step(), Some(Step::Record { node_id: 1, member: record(1, boot(1, 8)) }));
}

#[test]
fn a_voter_that_lost_its_disk_loses_its_vote_before_it_is_let_in_again() {
    let voter = Scene::of(&[1, 2, 3], &[]).sees(3, lost);
    assert_eq!(voter.next_step(), Some(Step::Demote { node_id: 3 }));
    let learner = Scene::of(&[1, 2], &[3]).sees(3, lost);
    assert_eq!(learner.next_step(), Some(Step::Readmit { node_id: 3, member: record(3, boot(9, 1)) }));
}

#[test]
fn one_answer_is_not_enough_to_call_a_disk_lost() {
    let scene = Scene::of(&[1, 2, 3], &[]).sees(3, |seen| {
        lost(seen);
        seen.alike = 1;
    });
    assert_eq!(scene.next_step(), None);
}

#[test]
fn a_founder_that_was_not_reached_is_let_in_when_it_is_seen() {
    let mut scene = Scene::of(&[1, 2], &[3]).sees(3, |seen| seen.verdict = Verdict::Stranger);
    let nodes = [1, 2, 3]
        .map(|id| (id, MemberNode { boot: (id < 3).then(|| boot_of(id)), ..record(id, boot_of(id)) }));
    scene.membership = stored(&[&[1, 2]], BTreeMap::from(nodes));
    assert_eq!(scene.next_step(), Some(Step::Record { node_id: 3, member: record(3, boot_of(3)) }));
}

#[test]
fn founders_that_were_not_reached_are_added_once() {
    let founders = |index| {
        let mut scene = Scene::of(&[1, 2], &[]);
        let membership = scene.membership.membership().clone();
        scene.membership = StoredMembership::new(Some(log_id(1, index)), membership);
        scene.next_step()
    };
    let third = MemberNode { address: address_of(3), boot: None, votes: true };
    assert_eq!(founders(0), Some(Step::AddUnreached(BTreeMap::from([(3, third)]))));
    assert_eq!(founders(7), None, "it may have been removed since");
}

#[test]
fn a_cluster_of_one_does_not_grow_by_itself() {
    let mut scene = Scene::of(&[1], &[]);
    scene.membership = StoredMembership::new(Some(log_id(0, 0)), scene.membership.membership().clone());
    assert_eq!(scene.next_step(), None);
}

#[test]
fn a_learner_is_promoted_when_it_has_caught_up() {
    for (why, acknowledged, previous, promoted) in [
        ("it has nothing", None, 0, false),
        ("it is close", Some(936), 1_000, true),
        ("it is not close enough", Some(935), 1_000, false),
        ("it keeps pace with a busy leader", Some(700), 700, true),
        ("it doesn't", Some(699), 700, false),
    ] {
        let mut scene = Scene::of(&[1, 2], &[3]).sees(3, |seen| seen.acknowledged_index = acknowledged);
        scene.previous_log_index = previous;
        let expected = promoted.then_some(Step::Promote { node_id: 3 });
        assert_eq!(scene.next_step(), expected, "{why}");
    }
}

#[test]
fn only_a_learner_that_is_to_vote_and_is_known_is_promoted() {
    let mut no_voter = Scene::of(&[1, 2], &[3]);
    let silent = MemberNode { votes: false, ..record(3, boot_of(3)) };
    let nodes = BTreeMap::from([(1, record(1, boot_of(1))), (2, record(2, boot_of(2))), (3, silent)]);
    no_voter.membership = stored(&[&[1, 2]], nodes);
    assert_eq!(no_voter.next_step(), None);

    let mut absent = Scene::of(&[1, 2], &[3]);
    absent.sightings.remove(&3);
    assert_eq!(absent.next_step(), None);
}

#[test]
fn a_change_that_another_leader_began_is_ended_first() {
    let mut scene = Scene::of(&[1, 2, 3], &[]).sees(3, lost);
    let nodes = [1, 2, 3].map(|id| (id, record(id, boot_of(id))));
    scene.membership = stored(&[&[1, 2, 3], &[1, 2]], BTreeMap::from(nodes));
    assert_eq!(scene.next_step(), Some(Step::FinishChange));
}

#[test]
fn the_feature_level_is_raised_to_what_all_members_know() {
    let mut scene = Scene::of(&[1, 2], &[3]);
    scene.previous_log_index = u64::MAX;
    for id in [2, 3] {
        scene = scene.sees(id, |seen| seen.answer.feature_level = 7);
    }
    scene = scene.sees(3, |seen| seen.acknowledged_index = Some(0));
    scene.cluster_level = 1;
    assert_eq!(scene.next_step(), Some(Step::RaiseFeatureLevel(2)), "the leader knows 2 itself");
    let held_back = scene.sees(3, |seen| seen.answer.feature_level = 1);
    assert_eq!(held_back.next_step(), None, "a learner counts");
    let mut silent = held_back;
    silent.sightings.remove(&3);
    assert_eq!(silent.next_step(), None, "who is silent may know less");
}
