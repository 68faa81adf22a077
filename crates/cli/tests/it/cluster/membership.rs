//! Members come and go while the cluster works.

use std::time::Duration;

use hyperion_vault_core::state::FEATURE_LEVEL;
use reqwest::Method;
use serde_json::{Value, json};

use super::writers::{Writers, create_many};
use super::{Cluster, REQUEST_MAX};
use crate::knob;
use crate::vault::expect;

const LARGE_BYTES: usize = 65_000;
const MIB: usize = 1_024 * 1_024;
const REST: Duration = Duration::from_millis(20);

impl Cluster {
    /// Takes a node in as a learner.
    async fn admit(&self, id: u64) {
        let body = json!({"id": id, "address": self.raft_address(id)});
        let leader = self.leader().await;
        expect(self.admin(leader, Method::POST, "/v1/admin/cluster/nodes").json(&body), 201).await;
    }

    async fn promote(&self, id: u64) {
        let path = format!("/v1/admin/cluster/nodes/{id}/promote");
        let promotion = self.admin(self.leader().await, Method::POST, &path).timeout(REQUEST_MAX);
        expect(promotion, 200).await;
    }

    /// The answer's status.
    async fn remove(&self, id: u64, query: &str) -> u16 {
        let path = format!("/v1/admin/cluster/nodes/{id}{query}");
        let answer = self.admin(self.leader().await, Method::DELETE, &path).send().await.unwrap();
        answer.status().as_u16()
    }
}

/// 20 MiB of state, and 100 with `VAULT_TEST_LONG=1`, beyond what the log keeps: the newcomer takes a snapshot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_node_takes_all_the_state_while_writes_go_on_and_replaces_another() {
    let state_bytes = if knob::long() { 100 * MIB } else { 20 * MIB };
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client();
    let mut written = create_many(&client, "large", state_bytes / LARGE_BYTES, 8, LARGE_BYTES).await;
    written = written.merge(create_many(&client, "small", 4_500, 32, 0).await);
    let writers = Writers::start_paced(&client, "load", 2, REST);

    cluster.prepare_node(4, &[1, 2, 3, 4]);
    cluster.spawn(4);
    cluster.admit(4).await;
    let learning = cluster.wait_status("node 4 has all", |status| status.is_caught_up(4)).await;
    assert_eq!(learning.node(4)["voter"], false, "nobody votes before an operator says so");
    cluster.promote(4).await;
    cluster.wait_voter(4).await;
    cluster.wait_ready(4).await;

    let leaving = cluster.others(&[4, cluster.leader().await])[0];
    assert_eq!(cluster.remove(leaving, "").await, 204);
    let members = cluster.others(&[leaving]).into_iter().collect();
    let status = cluster.wait_status("a member has left", |status| status.members() == members).await;
    assert_eq!(status.voters(), members);
    cluster.kill(leaving);
    let load = writers.stop().await;
    load.expect_no_failure();
    cluster.expect_equal_state(&written.merge(load)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_would_lose_the_quorum_is_refused_and_a_dead_member_can_be_replaced() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let [dead, alive] = cluster.others(&[leader])[..] else { unreachable!() };
    cluster.kill(dead);
    cluster.wait_status("a member is missed", |status| status.node(dead)["role"] == "unreachable").await;
    assert_eq!(cluster.remove(alive, "").await, 409, "the leader and a dead node are no quorum");
    assert_eq!(cluster.remove(9, "").await, 404);
    assert_eq!(cluster.remove(dead, "").await, 204);
    let mut written = create_many(&cluster.client_of(&[leader, alive]), "with-two", 5, 1, 0).await;

    cluster.wipe(dead);
    cluster.spawn(dead);
    cluster.admit(dead).await;
    cluster.wait_status("it has all", |status| status.is_caught_up(dead)).await;
    cluster.promote(dead).await;
    cluster.expect_one_cluster().await;
    written = written.merge(create_many(&cluster.client(), "with-three", 5, 1, 0).await);
    cluster.expect_equal_state(&written).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_tells_the_same_of_the_cluster() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    for asked in cluster.running() {
        let status = cluster.status(asked).await.unwrap();
        assert_eq!((status.leader(), status.quorum()), (Some(leader), true), "{status:?}");
        for id in cluster.running() {
            let node = status.node(id);
            assert_eq!(node["address"], cluster.raft_address(id));
            assert_eq!(node["role"], if id == leader { "leader" } else { "follower" }, "{node}");
            assert_eq!(
                (&node["voter"], &node["feature_level"]),
                (&json!(true), &json!(FEATURE_LEVEL)),
                "{node}"
            );
            assert_eq!(node["version"], env!("CARGO_PKG_VERSION"));
            let counts = ["term", "log_index", "applied_index", "lag", "last_contact_ms"];
            assert!(counts.iter().all(|count| node[count].is_u64()), "{node}");
            assert!(node["clock_skew_ms"].as_i64().unwrap().abs() < 1_000, "{node}");
        }
    }
    let nobody = cluster.request(leader, Method::GET, "/v1/admin/cluster");
    assert_ne!(expect(nobody, 401).await, Value::Null);
}
