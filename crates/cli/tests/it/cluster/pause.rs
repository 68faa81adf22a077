//! A node stands still, longer than the others wait for it, and goes on as if nothing had been.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Cluster;
use super::client::{Attempt, Client};
use super::writers::{Writers, Written, create_many};
use crate::vault::expect;

/// Longer than two of the longest election time-outs.
const PAUSE: Duration = Duration::from_secs(3);
const LOAD: Duration = Duration::from_millis(500);
const CLIENTS_OF_EACH: usize = 4;

/// What clients saw that ask one node each and never try again.
#[derive(Debug, Default)]
struct Answers {
    done: usize,
    unavailable: usize,
    /// No answer within the deadline of a vault, or a broken connection.
    broken: Vec<String>,
}

impl Answers {
    fn merge(mut self, other: Answers) -> Answers {
        self.done += other.done;
        self.unavailable += other.unavailable;
        self.broken.extend(other.broken);
        self
    }
}

/// A request that the leader has in hand when it stops waits for it to go on; one that a follower forwarded to it
/// does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_in_flight_when_the_leader_stands_still_gets_an_answer_in_time() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let stop = CancellationToken::new();
    let mut asking = JoinSet::new();
    for id in cluster.running() {
        for number in 0..CLIENTS_OF_EACH {
            let (client, prefix) = (cluster.client_of(&[id]), format!("in-flight/{id}/{number}"));
            asking.spawn(create_until(client, prefix, stop.clone()));
        }
    }
    sleep(LOAD).await;
    cluster.pause(leader);
    let rest = cluster.others(&[leader]);
    tokio::join!(cluster.leader_among(&rest), sleep(PAUSE));
    cluster.resume(leader);
    sleep(LOAD).await;
    stop.cancel();
    let answers = asking.join_all().await.into_iter().fold(Answers::default(), Answers::merge);
    println!("{answers:?}");
    assert_eq!(answers.broken, Vec::<String>::new(), "{} others were answered", answers.done);
    assert!(answers.done > 0);
    cluster.wait_ready(leader).await;
    cluster.expect_equal_state(&Written::default()).await;
}

async fn create_until(client: Client, prefix: String, stop: CancellationToken) -> Answers {
    let mut answers = Answers::default();
    for number in 0.. {
        let body = json!({"name": format!("{prefix}/{number}"), "kind": "manual", "value": "x"});
        match client.attempt(Method::POST, "/v1/secrets", &[], &body).await {
            Attempt::Answered { status, .. } => {
                assert_eq!(status, 201, "{body}");
                answers.done += 1;
            }
            Attempt::Unavailable => answers.unavailable += 1,
            Attempt::Refused => answers.broken.push("refused".to_owned()),
            Attempt::Broken(how) => answers.broken.push(how),
        }
        if stop.is_cancelled() {
            break;
        }
    }
    answers
}

/// What waits in its sockets while it stands still is the first thing that it looks at, and it still believes that it
/// leads: only a question to the others tells it otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stood_still_serves_no_linearizable_read_of_what_was_overtaken() {
    const READS: usize = 16;
    let cluster = Cluster::start(3).await;
    create_many(&cluster.client(), "read", 1, 1, 0).await;
    for version in 2..=3 {
        let old = cluster.leader().await;
        let rest = cluster.others(&[old]);
        cluster.pause(old);
        let new = cluster.leader_among(&rest).await;
        let write = cluster.admin(new, Method::PUT, "/v1/secrets/read/0").json(&json!({"value": "new"}));
        assert_eq!(expect(write, 200).await["version"], version);
        let client = cluster.client_of(&[old]);
        let reading = (0..READS).map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let path = "/v1/secrets/read/0?consistency=linearizable";
                client.attempt(Method::GET, path, &[], &Value::Null).await
            })
        });
        let reading: Vec<_> = reading.collect();
        sleep(LOAD).await;
        cluster.resume(old);
        for answer in join_all(reading).await {
            match answer.unwrap() {
                Attempt::Answered { status, body, .. } => {
                    assert_eq!((status, &body["version"]), (200, &json!(version)), "{body}");
                }
                Attempt::Unavailable => {}
                other => panic!("{other:?}"),
            }
        }
        cluster.wait_ready(old).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_stands_still_is_not_missed_and_catches_up() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let [still, other] = cluster.others(&[leader])[..] else { unreachable!() };
    let writers = Writers::start(&cluster.client_of(&[leader, other]), "load", 2);
    cluster.pause(still);
    sleep(PAUSE).await;
    cluster.resume(still);
    cluster.wait_voter(still).await;
    let written = writers.stop().await;
    written.expect_no_failure();
    assert_eq!(written.seen.unavailable, 0);
    assert_eq!(cluster.leader().await, leader);
    cluster.expect_equal_state(&written).await;
}
