//! A cluster comes to be once, in whatever order and however late its members start.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use super::writers::create_many;
use super::{ANSWER_MAX, Cluster};
use crate::knob;

/// Seconds after which nodes 1, 2 and 3 start.
const DELAYS_SECS: [[u64; 3]; 3] = [[0, 2, 5], [5, 0, 2], [2, 5, 0]];
const LONG_DELAYS_SECS: [[u64; 3]; 7] =
    [[0, 0, 0], [0, 0, 60], [0, 60, 0], [60, 0, 0], [60, 30, 0], [30, 60, 0], [30, 0, 60]];
/// Longer than forming takes when it may be.
const WAIT: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_whatever_order_and_however_late_its_members_start_there_is_one_cluster() {
    let delays = if knob::long() { &LONG_DELAYS_SECS[..] } else { &DELAYS_SECS[..] };
    join_all(delays.iter().copied().map(form)).await;
}

async fn form(delays_secs: [u64; 3]) {
    let mut cluster = Cluster::prepare(3);
    let begun = Instant::now();
    let mut order: Vec<_> = delays_secs.into_iter().zip(1..).collect();
    order.sort_unstable();
    for (delay_secs, id) in order {
        sleep_until(begun + Duration::from_secs(delay_secs)).await;
        cluster.spawn(id);
    }
    cluster.start_all().await;
    cluster.expect_one_cluster().await;
    let written = create_many(&cluster.client(), "formed", 6, 3, 0).await;
    cluster.expect_equal_state(&written).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_reaches_no_majority_of_its_peers_waits_and_says_so() {
    let mut cluster = Cluster::prepare(3);
    for start in 1..=2 {
        cluster.spawn(1);
        sleep(WAIT).await;
        expect_waiting(&cluster, 1, start).await;
        cluster.kill(1);
    }
    cluster.start_all().await;
    cluster.expect_one_cluster().await;
}

/// It lives, is not ready, and answers in time that it can't do anything.
async fn expect_waiting(cluster: &Cluster, id: u64, start: u64) {
    let alive = cluster.request(id, Method::GET, "/healthz").send().await.unwrap();
    assert_eq!(alive.status(), 200);
    let ready = cluster.request(id, Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(ready.status(), 503, "start {start}: a node alone must not form a cluster");
    let body = json!({"name": "a", "kind": "manual", "value": "x"});
    let asked = Instant::now();
    let answer = cluster.admin(id, Method::POST, "/v1/secrets").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(asked.elapsed() < ANSWER_MAX, "answered after {:?}", asked.elapsed());
}

/// The member that formed the cluster has lost its disk and hears nobody: to itself it looks as if nothing had ever
/// been formed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_node_that_is_cut_off_forms_no_second_cluster() {
    let Some(mut cluster) = Cluster::severable(3).await else { return };
    let formed = cluster.status(2).await.unwrap();
    cluster.kill(1);
    cluster.wipe(1);
    cluster.cut(1);
    cluster.spawn(1);
    let written = create_many(&cluster.client_of(&[2, 3]), "meanwhile", 6, 2, 0).await;
    sleep(WAIT).await;
    assert!(!cluster.is_ready(1).await, "a second cluster");
    cluster.heal();
    cluster.wait_ready(1).await;
    cluster.wait_voter(1).await;
    cluster.expect_one_cluster().await;
    assert_eq!(cluster.status(1).await.unwrap().cluster_id(), formed.cluster_id());
    cluster.expect_equal_state(&written).await;
}
