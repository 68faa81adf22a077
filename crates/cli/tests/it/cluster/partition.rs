//! The network between the nodes is cut, and no client loses an acknowledged write or reads an overtaken value.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::client::Attempt;
use super::writers::{Writers, Written, create_many, create_one};
use super::{ANSWER_MAX, Cluster};
use crate::vault::expect;

const WRITERS: usize = 3;
/// How long a cut lasts: several election time-outs.
const CUT: Duration = Duration::from_secs(3);
/// With a rest between two writes, so that there is not more to compare than there is to learn.
const REST: Duration = Duration::from_millis(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_cut_off_from_the_others_acknowledges_nothing_to_the_clients_it_still_has() {
    let Some(cluster) = Cluster::severable(3).await else { return };
    create_many(&cluster.client(), "before", 3, 3, 0).await;
    let cut_off = cluster.leader().await;
    let rest = cluster.others(&[cut_off]);
    let writers = Writers::start_paced(&cluster.client(), "load", WRITERS, REST);
    cluster.cut(cut_off);
    let new = cluster.leader_among(&rest).await;
    let path = "/v1/secrets/before/0";
    expect(cluster.admin(new, Method::PUT, path).json(&json!({"value": "overtaking"})), 200).await;

    let asked = Instant::now();
    let alone = cluster.client_of(&[cut_off]);
    let body = json!({"value": "of the cut off"});
    let write = alone.attempt(Method::PUT, path, &[], &body);
    let linearizable = format!("{path}?consistency=linearizable");
    let read = alone.attempt(Method::GET, &linearizable, &[], &Value::Null);
    let (write, read) = tokio::join!(write, read);
    assert!(matches!(write, Attempt::Unavailable), "{write:?}");
    assert!(matches!(read, Attempt::Unavailable), "{read:?}");
    assert!(asked.elapsed() < ANSWER_MAX, "answered after {:?}", asked.elapsed());
    let local = cluster.request(cut_off, Method::GET, &format!("{path}?consistency=local"));
    assert_eq!(expect(local, 200).await["version"], 1, "a local read may be behind, and goes on");
    assert!(!cluster.status(cut_off).await.unwrap().quorum());

    cluster.heal();
    cluster.wait_ready(cut_off).await;
    cluster.wait_voter(cut_off).await;
    let written = writers.stop().await;
    written.expect_no_failure();
    for id in cluster.running() {
        let read = expect(cluster.request(id, Method::GET, &linearizable), 200).await;
        assert_eq!(read["value"], "overtaking", "node {id}");
    }
    cluster.expect_equal_state(&written).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_way_a_leader_is_cut_off_the_others_go_on() {
    let Some(cluster) = Cluster::severable(3).await else { return };
    let writers = Writers::start_paced(&cluster.client(), "load", WRITERS, REST);
    let mut written = Written::default();
    for cut in [Cluster::cut_out, Cluster::cut_in, Cluster::unplug] {
        let cut_off = cluster.leader().await;
        cut(&cluster, cut_off);
        let rest = cluster.others(&[cut_off]);
        let new = cluster.leader_among(&rest).await;
        let name = format!("without/{}", written.count());
        written = written.merge(create_one(&cluster.client_of(&[new]), &name).await);
        sleep(CUT).await;
        cluster.heal();
        cluster.wait_ready(cut_off).await;
        cluster.wait_voter(cut_off).await;
    }
    written = written.merge(writers.stop().await);
    written.expect_no_failure();
    cluster.expect_equal_state(&written).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_cut_off_either_way_unseats_nobody_and_catches_up() {
    let Some(cluster) = Cluster::severable(3).await else { return };
    let leader = cluster.leader().await;
    let term = cluster.status(leader).await.unwrap().term();
    let [cut_off, other] = cluster.others(&[leader])[..] else { unreachable!() };
    let writers = Writers::start_paced(&cluster.client_of(&[leader, other]), "load", WRITERS, REST);
    for cut in [Cluster::cut_out, Cluster::cut_in, Cluster::cut, Cluster::unplug] {
        cut(&cluster, cut_off);
        sleep(CUT).await;
        cluster.heal();
        cluster.wait_ready(cut_off).await;
        cluster.wait_voter(cut_off).await;
    }
    let written = writers.stop().await;
    written.expect_no_failure();
    assert_eq!(written.seen.unavailable, 0, "clients of the others notice nothing");
    let status = cluster.status(leader).await.unwrap();
    assert_eq!((status.leader(), status.term()), (Some(leader), term), "no election was won or forced");
    cluster.expect_equal_state(&written).await;
}

/// The third one hears both: whether it tells the deaf one of the leader or votes, there are never two leaders that
/// acknowledge, and the cluster stays of use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_follower_that_does_not_hear_the_leader_does_no_harm() {
    let Some(cluster) = Cluster::severable(3).await else { return };
    let leader = cluster.leader().await;
    let [deaf, other] = cluster.others(&[leader])[..] else { unreachable!() };
    let writers = Writers::start_paced(&cluster.client_of(&[leader, other]), "load", WRITERS, REST);
    cluster.network.silence(leader, deaf);
    sleep(2 * CUT).await;
    cluster.heal();
    cluster.wait_ready(deaf).await;
    cluster.wait_voter(deaf).await;
    let written = writers.stop().await;
    written.expect_no_failure();
    assert!(written.seen.longest < ANSWER_MAX, "a write took {:?}", written.seen.longest);
    cluster.expect_equal_state(&written).await;
}
