//! Without a quorum nothing is acknowledged and nothing hangs; with it back, all goes on.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::writers::{create_many, create_one};
use super::{ANSWER_MAX, Cluster, until};
use crate::vault::expect;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_of_three_refuses_in_time_reads_on_and_recovers_with_the_others() {
    let mut cluster = Cluster::start(3).await;
    let mut written = create_many(&cluster.client(), "before", 10, 2, 0).await;
    let last = cluster.leader().await;
    let dead = cluster.others(&[last]);
    dead.iter().for_each(|id| cluster.kill(*id));
    expect_no_quorum(&cluster, last).await;
    for id in dead {
        cluster.start_node(id).await;
        cluster.wait_voter(id).await;
    }
    cluster.wait_ready(last).await;
    written = written.merge(create_many(&cluster.client(), "after", 10, 2, 0).await);
    cluster.expect_equal_state(&written).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_without_a_quorum_does_the_same() {
    let mut cluster = Cluster::start(3).await;
    let written = create_many(&cluster.client(), "before", 10, 2, 0).await;
    let leader = cluster.leader().await;
    let [last, other] = cluster.others(&[leader])[..] else { unreachable!() };
    cluster.kill(other);
    cluster.kill(leader);
    expect_no_quorum(&cluster, last).await;
    cluster.start_all().await;
    cluster.expect_equal_state(&written).await;
}

/// What a node says that has nobody left: reads of its own state go on, and everything else is refused in time.
async fn expect_no_quorum(cluster: &Cluster, id: u64) {
    let body = json!({"name": "without-quorum", "kind": "manual", "value": "x"});
    let write = cluster.admin(id, Method::POST, "/v1/secrets").json(&body);
    expect_refused_in_time(write).await;
    let linearizable = "/v1/secrets/before/0?consistency=linearizable";
    expect_refused_in_time(cluster.request(id, Method::GET, linearizable)).await;

    let local = cluster.request(id, Method::GET, "/v1/secrets/before/0?consistency=local");
    assert_eq!(expect(local, 200).await["version"], 1);
    expect(cluster.admin(id, Method::GET, "/v1/secrets"), 200).await;
    expect(cluster.request(id, Method::GET, "/healthz"), 200).await;
    until("the node says that it isn't ready", async || (!cluster.is_ready(id).await).then_some(())).await;
    let status = cluster.status(id).await.unwrap();
    assert!(!status.quorum(), "{status:?}");
}

async fn expect_refused_in_time(request: reqwest::RequestBuilder) {
    let asked = Instant::now();
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    assert_eq!(status, 503, "{}", answer.text().await.unwrap());
    assert!(headers.contains_key("retry-after"));
    assert!(asked.elapsed() < ANSWER_MAX, "answered after {:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_nodes_bear_the_loss_of_two_and_of_no_third() {
    let mut cluster = Cluster::start(5).await;
    let mut written = create_many(&cluster.client(), "before", 10, 5, 0).await;
    let leader = cluster.leader().await;
    let followers = cluster.others(&[leader]);
    // The leader is one of the two.
    cluster.kill(leader);
    cluster.kill(followers[0]);
    cluster.leader_among(&followers[1..]).await;
    written = written.merge(create_many(&cluster.client_of(&followers[1..]), "with-3", 10, 3, 0).await);

    cluster.kill(followers[1]);
    expect_no_quorum(&cluster, followers[2]).await;
    cluster.start_node(followers[1]).await;
    written = written.merge(create_one(&cluster.client_of(&followers[1..]), "with-3-again").await);
    cluster.start_all().await;
    cluster.expect_one_cluster().await;
    cluster.expect_equal_state(&written).await;
}

/// A member that is late to the formation is no stranger later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fifth_of_five_may_come_when_the_cluster_is_formed() {
    let mut cluster = Cluster::prepare(5);
    (1..=4).for_each(|id| cluster.spawn(id));
    for id in 1..=4 {
        cluster.wait_ready(id).await;
    }
    let written = create_many(&cluster.client_of(&[1, 2, 3, 4]), "before", 10, 4, 0).await;
    cluster.start_node(5).await;
    cluster.wait_voter(5).await;
    let read: Value = expect(cluster.request(5, Method::GET, "/v1/secrets/before/0"), 200).await;
    assert_eq!(read["version"], 1);
    cluster.expect_equal_state(&written).await;
}
