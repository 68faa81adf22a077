//! What an operator does on purpose loses no request.

use std::time::Duration;

use reqwest::Method;
use tokio::time::sleep;

use super::Cluster;
use super::writers::{Writers, Written};
use crate::vault::expect;

const WRITERS: usize = 4;
const LOAD: Duration = Duration::from_millis(500);

/// A client that retries on 503 and on a refused connection, and on nothing else.
fn expect_nothing_lost(written: &Written) {
    written.expect_no_failure();
    assert_eq!(written.seen.broken, Vec::<String>::new());
    assert!(written.count() > WRITERS, "too little load: {}", written.count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_fails_no_request() {
    let mut cluster = Cluster::start(3).await;
    let writers = Writers::start(&cluster.client(), "load", WRITERS);
    sleep(LOAD).await;
    for id in 1..=3 {
        assert_eq!(cluster.terminate(id).await.code(), Some(0));
        cluster.start_node(id).await;
        cluster.wait_voter(id).await;
    }
    let written = writers.stop().await;
    expect_nothing_lost(&written);
    cluster.expect_equal_state(&written).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handing_leadership_over_under_load_fails_no_request() {
    const HAND_OVERS: usize = 5;
    let cluster = Cluster::start(3).await;
    let writers = Writers::start(&cluster.client(), "load", WRITERS);
    for _ in 0..HAND_OVERS {
        sleep(LOAD).await;
        let leader = cluster.leader().await;
        expect(cluster.admin(leader, Method::POST, "/v1/admin/cluster/step-down"), 200).await;
        cluster.leader_among(&cluster.others(&[leader])).await;
    }
    let written = writers.stop().await;
    expect_nothing_lost(&written);
    assert_eq!(written.seen.unavailable, 0, "what is in flight is finished or forwarded");
    cluster.expect_equal_state(&written).await;
}
