//! Whom this node calls.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use hyperion_vault_core::ports::Clock;
use hyperion_vault_core::time::Timestamp;
use tokio::time::advance;

use super::*;
use crate::cluster::fixture::{
    CLUSTER, OTHER_CLUSTER, address_of, answer, boot, boot_of, caller, fresh, log_id, members,
};

struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(1)
    }
}

/// Node 1, configured with nodes 2 and 3.
fn roster() -> Arc<Roster> {
    let mut config = NodeConfig::new(1, [7; 40]);
    config.peers = (1..=3).map(|id| (id, address_of(id))).collect();
    let clock = Arc::new(ClusterClock::new(1, Arc::new(StandingClock)));
    Roster::new(&config, boot_of(1), LineageStore::of(Some(CLUSTER)), clock)
}

/// The same, as a member of the three.
fn member_of_three() -> Arc<Roster> {
    let roster = roster();
    roster.set_membership(Arc::new(members(&[1, 2, 3], &[])));
    roster
}

fn hear(roster: &Roster, answer: BeatAnswer) {
    roster.heard(answer.node_id, answer, Instant::now());
}

#[tokio::test(start_paused = true)]
async fn a_verified_peer_is_called_as_the_start_that_answered() {
    let roster = member_of_three();
    assert!(roster.route(2).is_err(), "not heard yet");
    hear(&roster, answer(2));
    assert_eq!(roster.route(2).unwrap().caller, caller(1, 2));
    hear(&roster, BeatAnswer { boot: boot(2, 9), ..answer(2) });
    assert_eq!(roster.route(2).unwrap().caller.to_boot, Some(boot(2, 9)), "restarted");
    assert!(roster.route(9).is_err(), "nobody knows it");
}

#[tokio::test(start_paused = true)]
async fn whose_disk_is_lost_is_not_called() {
    let roster = member_of_three();
    hear(&roster, BeatAnswer { boot: boot(9, 1), ..fresh(2) });
    assert!(roster.route(2).is_err());
    assert!(!roster.present(ROUTE_LIFE).contains(&2), "and doesn't count for a quorum");
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_acknowledged_is_expected_of_its_next_start() {
    let roster = member_of_three();
    hear(&roster, answer(2));
    Routes::acknowledged(&*roster, 2, &boot_of(2), Some(log_id(3, 120)));
    hear(&roster, BeatAnswer { boot: boot(2, 2), last_log_id: Some(log_id(3, 119)), ..answer(2) });
    assert!(roster.route(2).is_err(), "an acknowledged entry is gone");
    hear(&roster, BeatAnswer { boot: boot(2, 2), last_log_id: Some(log_id(3, 120)), ..answer(2) });
    assert!(roster.route(2).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_stranger_is_called_as_soon_as_the_membership_names_it() {
    let roster = roster();
    hear(&roster, answer(2));
    assert!(roster.route(2).is_err());
    roster.set_membership(Arc::new(members(&[1, 2], &[])));
    assert!(roster.route(2).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_doubted_must_answer_again() {
    let roster = member_of_three();
    hear(&roster, answer(2));
    Routes::doubted(&*roster, 2, &boot(2, 5));
    assert!(roster.route(2).is_ok(), "another start was doubted");
    Routes::doubted(&*roster, 2, &boot_of(2));
    assert!(roster.route(2).is_err());
    hear(&roster, answer(2));
    assert!(roster.route(2).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_given_up() {
    let roster = member_of_three();
    hear(&roster, answer(2));
    advance(ROUTE_LIFE).await;
    assert!(roster.route(2).is_ok());
    advance(Duration::from_millis(1)).await;
    assert!(roster.route(2).is_err());
    assert_eq!(roster.sightings().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_leader_is_believed_while_a_peer_names_it() {
    let roster = member_of_three();
    let append = || roster.admits(&caller(9, 1), CallKind::Append).is_ok();
    hear(&roster, answer(2));
    assert!(!append(), "nobody names it");
    hear(&roster, BeatAnswer { leader: Some(9), lineage: Some(OTHER_CLUSTER), ..answer(3) });
    assert!(!append(), "it leads another cluster");
    hear(&roster, BeatAnswer { leader: Some(9), ..answer(2) });
    assert!(append());
    advance(ROUTE_LIFE + Duration::from_millis(1)).await;
    assert!(!append(), "that was long ago");
}

#[tokio::test(start_paused = true)]
async fn an_answer_under_another_id_is_nobody_s() {
    let roster = member_of_three();
    roster.heard(2, answer(3), Instant::now());
    assert!(roster.route(2).is_err() && roster.route(3).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_member_that_moved_is_another_peer() {
    let roster = member_of_three();
    hear(&roster, answer(2));
    let moved = members(&[1, 2, 3], &[]);
    let mut nodes: BTreeMap<u64, MemberNode> =
        moved.membership().nodes().map(|(id, member)| (*id, member.clone())).collect();
    nodes.get_mut(&2).unwrap().address = "elsewhere:7000".to_owned();
    roster.set_membership(Arc::new(crate::cluster::fixture::stored(&[&[1, 2, 3]], nodes)));
    assert!(roster.route(2).is_err(), "nobody answered there yet");
    hear(&roster, answer(2));
    assert!(roster.route(2).is_ok());
    assert_eq!(roster.table().peers[&2].address, "elsewhere:7000");
}

#[tokio::test(start_paused = true)]
async fn a_guest_is_looked_at_while_it_is_invited() {
    let roster = member_of_three();
    let asked = |id| roster.asked().contains_key(&id);
    assert!(!asked(4));
    let invitation = roster.invite(4, address_of(4));
    assert!(asked(4));
    hear(&roster, fresh(4));
    assert_eq!(roster.sightings()[&4].verdict, crate::cluster::judgement::Verdict::Stranger);
    drop(invitation);
    assert!(!asked(4));
}

#[tokio::test(start_paused = true)]
async fn what_was_heard_before_an_invitation_is_forgotten() {
    let roster = member_of_three();
    hear(&roster, answer(3));
    let _invitation = roster.invite(3, address_of(3));
    assert!(roster.sightings().is_empty());
}
