//! The leader re-wraps every data key after the master key was rotated or replaced, once, whoever leads.

use std::sync::Arc;
use std::time::Duration;

use hyperion_vault_core::state::Command;
use hyperion_vault_core::state::command::{BeginRewrap, EndRewrap};
use hyperion_vault_core::time::Timestamp;
use hyperion_vault_kms::KmsError;
use hyperion_vault_server::config;
use tokio::time::{Instant, advance};

use crate::rewrap_fixture::{Cluster, Node, POLL, away, disabled, enabled, tampered};

const ROTATED_MS: u64 = 1_700_000_000_000;

fn rotated() -> Option<Timestamp> {
    Some(Timestamp::from_unix_ms(ROTATED_MS))
}

/// A cluster that holds so many versions and adopted a baseline, and whose master key was rotated since.
async fn rotated_cluster(versions: u64, settings: config::Rewrap) -> (Arc<Cluster>, Node) {
    let cluster = Cluster::new();
    cluster.seal("app/", versions);
    let node = Node::of(&cluster, 1, settings);
    node.work().await;
    cluster.kms.rotate_at(ROTATED_MS);
    advance(POLL).await;
    (cluster, node)
}

#[tokio::test(start_paused = true)]
async fn enabling_takes_the_newest_rotation_as_the_baseline_and_sweeps_nothing() {
    let cluster = Cluster::new();
    cluster.seal("app/", 3);
    cluster.kms.rotate_at(ROTATED_MS);
    let node = Node::of(&cluster, 1, enabled());
    assert_eq!(node.work().await, POLL);
    let agreed = cluster.agreed().unwrap();
    assert_eq!((agreed.target, agreed.completed_rotation_at), (cluster.current(), rotated()));
    assert_eq!((agreed.pass, agreed.last), (None, None));
    assert!(cluster.pending().is_nothing());
    assert_eq!(cluster.kms.calls(), 0);
    assert_eq!(node.actions(), ["kms.adopt_rotation"]);
}

#[tokio::test(start_paused = true)]
async fn a_newer_rotation_has_every_data_key_wrapped_anew_and_nothing_else_changed() {
    let (cluster, node) = rotated_cluster(600, enabled()).await;
    let before = cluster.sealed("app/000");
    assert_eq!(node.work().await, POLL);
    for number in 0..600 {
        let sealed = cluster.sealed(&format!("app/{number:03}"));
        assert_eq!(sealed.epoch(), cluster.current(), "app/{number:03}");
    }
    let after = cluster.sealed("app/000");
    assert_eq!((after.nonce, &after.ciphertext), (before.nonce, &before.ciphertext));
    assert_ne!(after.wrapped_data_key, before.wrapped_data_key);
    assert_eq!(cluster.integrity_key().epoch(), cluster.current());
    let (ended, agreed) = (cluster.last_pass(), cluster.agreed().unwrap());
    assert_eq!((ended.pass.scanned, ended.pass.rewrapped, ended.pass.failed), (600, 600, 0));
    assert!(ended.complete);
    assert_eq!((agreed.pass, agreed.completed_rotation_at), (None, rotated()));
    assert_eq!(cluster.kms.calls(), 601);
}

#[tokio::test(start_paused = true)]
async fn the_audit_log_has_the_begin_and_the_end_of_a_pass_and_how_much_it_did() {
    let (_cluster, node) = rotated_cluster(5, enabled()).await;
    node.work().await;
    assert_eq!(node.actions(), ["kms.adopt_rotation", "kms.rewrap", "kms.rewrap_end"]);
    let records = node.records();
    let said: Vec<_> = records
        .iter()
        .map(|record| record.pass.map(|pass| [pass.number, pass.scanned, pass.rewrapped, pass.failed]))
        .collect();
    assert_eq!(said, [None, Some([1, 0, 0, 0]), Some([1, 5, 5, 0])]);
    assert!(records.iter().all(|record| record.actor == "system:rewrap"));
}

#[tokio::test(start_paused = true)]
async fn what_was_dealt_with_is_not_done_again() {
    let (cluster, node) = rotated_cluster(5, enabled()).await;
    node.work().await;
    let (calls, records) = (cluster.kms.calls(), node.records().len());
    advance(POLL).await;
    assert_eq!(node.work().await, POLL);
    assert_eq!((cluster.kms.calls(), node.records().len()), (calls, records));
}

#[tokio::test(start_paused = true)]
async fn another_master_key_has_everything_moved_to_it() {
    let (cluster, node) = rotated_cluster(5, enabled()).await;
    cluster.kms.use_key("key-2");
    node.work().await;
    assert_eq!(cluster.sealed("app/004").epoch(), cluster.current());
    assert_eq!(cluster.integrity_key().kms_key_id, "key-2");
    assert!(cluster.last_pass().complete);
}

/// It must not lead back to a rotation that was dealt with.
#[tokio::test(start_paused = true)]
async fn an_answer_of_the_kms_that_is_out_of_date_begins_nothing() {
    let (cluster, node) = rotated_cluster(5, enabled()).await;
    node.work().await;
    cluster.kms.rotate_at(ROTATED_MS - 1);
    advance(POLL).await;
    node.work().await;
    assert_eq!(cluster.agreed().unwrap().passes, 1);
}

#[tokio::test(start_paused = true)]
async fn a_look_that_fails_is_repeated_after_a_minute_and_then_less_often() {
    let cluster = Cluster::new();
    let node = Node::of(&cluster, 1, enabled());
    cluster.kms.answers(|_, _| Some(away()));
    for pause in [60, 120, 240] {
        let pause = Duration::from_secs(pause);
        assert_eq!(node.work().await, pause);
        advance(pause).await;
    }
    cluster.kms.answers(|_, _| None);
    assert_eq!(node.work().await, POLL);
    assert!(cluster.agreed().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_pass_keeps_to_its_pace_and_not_below_it() {
    let paced = config::Rewrap { versions_per_sec_max: Some(10), ..enabled() };
    let (cluster, node) = rotated_cluster(99, paced).await;
    cluster.kms.call_takes(Duration::from_millis(300));
    node.work().await;
    let calls = cluster.kms.calls.lock().unwrap().clone();
    let took = *calls.last().unwrap() - calls[0];
    // 99 versions and the integrity key; a page's last answer is waited for before what comes next.
    assert!((9_900..10_400).contains(&took.as_millis()), "{took:?}");
    assert!(calls.windows(11).all(|eleven| eleven[10] - eleven[0] >= Duration::from_millis(999)));
}

/// No version is wrapped twice, and the counts of both leaders make one sum.
#[tokio::test(start_paused = true)]
async fn another_leader_goes_on_in_the_middle_of_a_pass() {
    let paced = config::Rewrap { versions_per_sec_max: Some(10), ..enabled() };
    let (cluster, first) = rotated_cluster(300, paced).await;
    let second = Node::of(&cluster, 2, paced);
    let hand_over = Arc::downgrade(&cluster);
    cluster.kms.answers(move |call, _| {
        if call == 155 {
            hand_over.upgrade().unwrap().lead(2);
        }
        None
    });
    first.work().await;
    let done_by_first = cluster.agreed().unwrap().pass.expect("the pass goes on").rewrapped;
    assert!((100..155).contains(&done_by_first), "{done_by_first}");
    let stopped_after = cluster.kms.calls();
    assert!(stopped_after <= 155 + 8, "stops within the calls that are under way: {stopped_after}");

    second.work().await;
    let ended = cluster.last_pass();
    assert_eq!((ended.pass.number, ended.pass.rewrapped, ended.pass.failed), (1, 300, 0));
    assert!(ended.complete);
    for number in 0..300 {
        assert_eq!(cluster.times_rewrapped(&format!("app/{number:03}")), 1, "app/{number:03}");
    }
    assert_eq!(second.actions(), ["kms.rewrap_end"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_nodes_part_at_once_and_its_next_start_goes_on() {
    let paced = config::Rewrap { versions_per_sec_max: Some(1), ..enabled() };
    let (cluster, node) = rotated_cluster(10, paced).await;
    let (worker, stop) = (Arc::clone(&node.worker), node.stop.clone());
    let began = Instant::now();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(5_500)).await;
        stop.cancel();
    });
    while !node.stop.is_cancelled() {
        hyperion_vault_server::worker::Job::round(&*worker).await;
    }
    assert!(began.elapsed() < Duration::from_millis(5_800), "{:?}", began.elapsed());
    assert!(cluster.agreed().unwrap().pass.is_some());

    Node::of(&cluster, 1, enabled()).work().await;
    assert_eq!(cluster.last_pass().pass.rewrapped, 10);
    assert!(cluster.last_pass().complete);
}

/// The rotation doesn't count as dealt with, and a further pass does only what is left.
#[tokio::test(start_paused = true)]
async fn what_fails_keeps_the_rotation_open_and_is_tried_again_later() {
    let (cluster, node) = rotated_cluster(20, enabled()).await;
    cluster.kms.answers(|_, context| context.contains("app/007").then(tampered));
    assert_eq!(node.work().await, Duration::from_secs(60));
    let (ended, agreed) = (cluster.last_pass(), cluster.agreed().unwrap());
    assert_eq!((ended.pass.scanned, ended.pass.rewrapped, ended.pass.failed), (20, 19, 1));
    assert_eq!((ended.complete, agreed.completed_rotation_at), (false, None));
    assert_eq!(cluster.pending().versions, 1);

    advance(Duration::from_secs(59)).await;
    node.work().await;
    assert_eq!(cluster.agreed().unwrap().passes, 1);

    cluster.kms.answers(|_, _| None);
    advance(Duration::from_secs(1)).await;
    node.work().await;
    let ended = cluster.last_pass();
    assert_eq!((ended.pass.number, ended.pass.scanned, ended.pass.rewrapped), (2, 1, 1));
    assert_eq!(cluster.agreed().unwrap().completed_rotation_at, rotated());
    assert_eq!(cluster.times_rewrapped("app/006"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_waited_out() {
    let (cluster, node) = rotated_cluster(20, enabled()).await;
    let until = Instant::now() + Duration::from_secs(100);
    cluster.kms.answers(move |call, _| (call > 5 && Instant::now() < until).then(away));
    node.work().await;
    let ended = cluster.last_pass();
    assert_eq!((ended.pass.rewrapped, ended.pass.failed, ended.complete), (20, 0, true));
    assert!(Instant::now() < until + Duration::from_secs(35));
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_lasts_ends_the_pass_incomplete() {
    let (cluster, node) = rotated_cluster(1_000, enabled()).await;
    let began = Instant::now();
    cluster.kms.answers(|call, _| (call > 5).then(away));
    node.work().await;
    let ended = cluster.last_pass();
    assert_eq!((ended.pass.rewrapped, ended.complete), (5, false));
    assert!(ended.pass.failed > 0);
    assert!((150..240).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert!(cluster.kms.calls() < 150, "{}", cluster.kms.calls());
}

#[tokio::test(start_paused = true)]
async fn refusals_one_after_the_other_end_the_pass() {
    let (cluster, node) = rotated_cluster(1_000, enabled()).await;
    let denied = || KmsError::Misconfigured { detail: "kms:ReEncryptFrom is denied".to_owned() };
    cluster.kms.answers(move |_, context| (context != "look").then(denied));
    node.work().await;
    let ended = cluster.last_pass();
    assert_eq!((ended.pass.rewrapped, ended.complete), (0, false));
    assert!((20..30).contains(&ended.pass.failed), "{}", ended.pass.failed);
}

/// The leader's own setting is another than that of the node which was asked for the pass.
#[tokio::test(start_paused = true)]
async fn a_leader_that_is_set_to_another_master_key_moves_nothing_to_it() {
    let (cluster, node) = rotated_cluster(3, disabled()).await;
    let mut target = cluster.current();
    target.kms_key_id = "key-2".to_owned();
    cluster.apply(Command::BeginRewrap(BeginRewrap { target }));
    node.work().await;
    assert_eq!(cluster.last_pass().pass.failed, 4, "three versions and the integrity key");
    assert_eq!(cluster.sealed("app/001").kms_key_id, "key-1");
    assert_eq!(cluster.times_rewrapped("app/001"), 0);
}

/// Such as what a node sealed that did not know of the rotation yet.
#[tokio::test(start_paused = true)]
async fn what_was_left_over_is_swept_up_without_a_further_rotation() {
    let (cluster, node) = rotated_cluster(3, enabled()).await;
    node.work().await;
    cluster.seal_stamped("late", None);
    cluster.seal_stamped("in-time", rotated());
    assert_eq!(cluster.pending().versions, 1);
    advance(Duration::from_secs(60)).await;
    node.work().await;
    let ended = cluster.last_pass();
    assert_eq!((ended.pass.number, ended.pass.scanned, ended.complete), (2, 1, true));
    assert_eq!((cluster.times_rewrapped("late"), cluster.times_rewrapped("in-time")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn below_its_level_nothing_is_asked_and_nothing_proposed() {
    let cluster = Cluster::of_level_1();
    cluster.seal("app/", 3);
    let node = Node::of(&cluster, 1, enabled());
    node.work().await;
    assert_eq!((cluster.agreed(), cluster.kms.looks(), node.records().len()), (None, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_not_enabled_looks_for_nothing_and_runs_what_was_begun() {
    let (cluster, node) = rotated_cluster(3, disabled()).await;
    node.work().await;
    assert_eq!((cluster.agreed(), cluster.kms.looks()), (None, 0));
    let target = cluster.current();
    cluster.apply(Command::BeginRewrap(BeginRewrap { target }));
    node.work().await;
    assert_eq!(cluster.last_pass().pass.rewrapped, 3);
    assert_eq!(cluster.kms.looks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_lead_leaves_a_pass_alone() {
    let (cluster, node) = rotated_cluster(3, enabled()).await;
    cluster.lead(2);
    let target = cluster.current();
    cluster.apply(Command::BeginRewrap(BeginRewrap { target }));
    node.work().await;
    assert_eq!(cluster.kms.calls(), 0);
    assert_eq!(node.actions(), ["kms.adopt_rotation"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_a_pass_is_gone_on_with_when_there_is_one() {
    let (cluster, node) = rotated_cluster(3, disabled()).await;
    let target = cluster.current();
    cluster.apply(Command::BeginRewrap(BeginRewrap { target }));
    cluster.has_quorum(false);
    let begun = Instant::now();
    hyperion_vault_server::worker::Job::round(&*node.worker).await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "doesn't spin");
    cluster.has_quorum(true);
    node.work().await;
    let ended = cluster.last_pass();
    assert_eq!((ended.pass.scanned, ended.pass.rewrapped), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_was_ended_elsewhere_meanwhile_is_left() {
    let paced = config::Rewrap { versions_per_sec_max: Some(1), ..disabled() };
    let (cluster, node) = rotated_cluster(30, paced).await;
    let target = cluster.current();
    cluster.apply(Command::BeginRewrap(BeginRewrap { target }));
    let elsewhere = Arc::downgrade(&cluster);
    cluster.kms.answers(move |call, _| {
        if call == 5 {
            elsewhere.upgrade().unwrap().apply(Command::EndRewrap(EndRewrap { pass: 1 }));
        }
        None
    });
    node.work().await;
    assert!(cluster.kms.calls() < 10);
    assert_eq!(cluster.agreed().unwrap().passes, 1);
    assert!(node.records().is_empty());
}
