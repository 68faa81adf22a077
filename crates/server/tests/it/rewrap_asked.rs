//! A pass that somebody asks for, and what can be learnt of how far re-wrapping is.

use std::sync::Arc;
use std::time::Duration;

use hyperion_vault_core::state::Command;
use hyperion_vault_core::state::command::BeginRewrap;
use hyperion_vault_core::time::Timestamp;
use hyperion_vault_server::audit::Outcome;
use hyperion_vault_server::failure::Failure;
use tokio::time::Instant;

use crate::rewrap_fixture::{Cluster, Node, away, disabled, enabled};

const ROTATED_MS: u64 = 1_700_000_000_000;

fn rotated() -> Option<Timestamp> {
    Some(Timestamp::from_unix_ms(ROTATED_MS))
}

/// The worker of this node as its supervisor runs it.
fn supervise(node: &Node) {
    let worker = Arc::clone(&node.worker);
    let stop = node.stop.clone();
    tokio::spawn(async move {
        while !stop.is_cancelled() {
            hyperion_vault_server::worker::Job::round(&*worker).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

/// Rotated since five versions were sealed, and nobody looks for that.
fn cluster() -> (Arc<Cluster>, Node, Node) {
    let cluster = Cluster::new();
    cluster.seal("app/", 5);
    cluster.kms.rotate_at(ROTATED_MS);
    let (leader, follower) = (Node::of(&cluster, 1, disabled()), Node::of(&cluster, 2, disabled()));
    (cluster, leader, follower)
}

#[tokio::test]
async fn any_node_is_asked_the_leader_does_it_and_the_answer_has_the_counts() {
    let (cluster, leader, follower) = cluster();
    supervise(&leader);
    let ended = follower.force().await.unwrap();
    assert_eq!((ended.pass.scanned, ended.pass.rewrapped, ended.pass.failed), (5, 5, 0));
    assert_eq!(ended.target, cluster.current());
    assert!(cluster.pending().is_nothing());
    assert_eq!((follower.actions(), leader.actions()), (vec!["kms.rewrap"], vec!["kms.rewrap_end"]));
    let record = follower.records().remove(0);
    assert_eq!((record.pass.unwrap().number, record.outcome), (1, Outcome::Ok));
    leader.stop.cancel();
}

#[tokio::test]
async fn what_is_done_already_is_not_done_again() {
    let (_cluster, leader, follower) = cluster();
    supervise(&leader);
    follower.force().await.unwrap();
    let again = follower.force().await.unwrap();
    assert_eq!((again.pass.number, again.pass.scanned, again.complete), (2, 0, true));
    leader.stop.cancel();
}

#[tokio::test]
async fn while_one_is_running_another_is_refused_without_a_call_to_the_kms() {
    let (cluster, _, follower) = cluster();
    let target = cluster.current();
    cluster.apply(Command::BeginRewrap(BeginRewrap { target }));
    assert!(matches!(follower.force().await, Err(Failure::Conflict(_))));
    assert_eq!(cluster.kms.looks(), 0);
    assert!(follower.records().is_empty());
}

#[tokio::test(start_paused = true)]
async fn below_its_level_it_is_refused_with_the_reason() {
    let cluster = Cluster::of_level_1();
    let asked = Instant::now();
    let refused = Node::of(&cluster, 1, disabled()).force().await.unwrap_err();
    assert_eq!(asked.elapsed().as_secs(), 3);
    assert!(matches!(&refused, Failure::Conflict(_)), "{refused:?}");
    assert!(refused.to_string().contains("upgrade all nodes"), "{refused}");
}

/// The first second of every vault: a cluster begins at the first level, and raises it once it has looked around.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_about_to_reach_the_level_is_waited_for() {
    let cluster = Cluster::of_level_1();
    let node = Node::of(&cluster, 1, disabled());
    supervise(&node);
    let (ended, ()) = tokio::join!(node.force(), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        cluster.raise_level();
    });
    assert!(ended.unwrap().complete);
    node.stop.cancel();
}

#[tokio::test]
async fn with_the_kms_away_nothing_is_begun() {
    let (cluster, leader, _) = cluster();
    cluster.kms.answers(|_, _| Some(away()));
    assert!(matches!(leader.force().await, Err(Failure::Unavailable { .. })));
    assert_eq!(cluster.agreed(), None);
}

#[tokio::test]
async fn a_node_whose_kms_answers_with_an_older_rotation_leads_nobody_back() {
    let (cluster, leader, follower) = cluster();
    supervise(&leader);
    follower.force().await.unwrap();
    cluster.kms.rotate_at(ROTATED_MS - 1);
    assert!(matches!(follower.force().await, Err(Failure::Unavailable { .. })));
    assert_eq!(cluster.agreed().unwrap().target.rotation_at, rotated());
    leader.stop.cancel();
}

#[tokio::test]
async fn a_node_that_stops_answers_that_the_pass_goes_on() {
    let (cluster, _, follower) = cluster();
    let stop = follower.stop.clone();
    let (answered, ()) = tokio::join!(follower.force(), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.cancel();
    });
    let failure = answered.unwrap_err();
    assert!(failure.to_string().contains("the pass goes on"), "{failure}");
    assert!(cluster.agreed().unwrap().pass.is_some());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_ten_minutes() {
    let (_cluster, _, follower) = cluster();
    let asked = Instant::now();
    assert!(matches!(follower.force().await, Err(Failure::Unavailable { .. })));
    assert_eq!(asked.elapsed().as_secs(), 600);
}

#[tokio::test]
async fn the_status_has_the_figures_at_every_stage() {
    let (cluster, leader, follower) = cluster();
    let before = follower.overview().await;
    assert_eq!((before.enabled, before.agreed.clone()), (false, None));
    assert_eq!((before.pending.total_versions, before.pending.versions), (5, 0));
    assert_eq!(before.latest_rotation_at, rotated());

    let target = cluster.current();
    cluster.apply(Command::BeginRewrap(BeginRewrap { target }));
    let busy = follower.overview().await;
    assert!(busy.agreed.as_ref().unwrap().pass.is_some());
    assert_eq!((busy.pending.total_versions, busy.pending.versions), (5, 5));

    leader.work().await;
    let after = follower.overview().await;
    let agreed = after.agreed.unwrap();
    assert_eq!((agreed.pass, agreed.completed_rotation_at), (None, rotated()));
    assert_eq!((after.pending.total_versions, after.pending.versions), (5, 0));
    assert!(Node::of(&cluster, 2, enabled()).overview().await.enabled);
}

#[tokio::test(start_paused = true)]
async fn a_kms_that_does_not_answer_delays_the_status_by_two_seconds_at_most() {
    let (cluster, leader, follower) = cluster();
    supervise(&leader);
    follower.force().await.unwrap();
    leader.stop.cancel();
    cluster.kms.hang();
    let asked = Instant::now();
    assert_eq!(follower.overview().await.latest_rotation_at, rotated());
    assert_eq!(asked.elapsed().as_secs(), 2);
}
