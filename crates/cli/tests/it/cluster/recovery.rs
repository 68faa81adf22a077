//! The majority is lost for good: one node is made a cluster of one, and the old members can't come back with what
//! they had.

use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::time::sleep;

use super::Cluster;
use super::writers::create_many;
use crate::vault::expect;

/// Longer than an old member would need to join, or to win an election.
const WAIT: Duration = Duration::from_secs(4);

impl Cluster {
    /// `hyperion-vault cluster recover`, whether it succeeded and what it said.
    fn recover(&self, id: u64) -> (bool, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_hyperion-vault"))
            .args(["cluster", "recover", "--yes", "--data-dir"])
            .arg(self.nodes[&id].data_dir())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_goes_on_alone_and_old_members_stay_out_until_they_are_wiped() {
    let mut cluster = Cluster::start(3).await;
    let mut written = create_many(&cluster.client(), "before", 10, 2, 0).await;
    let formed = cluster.status(1).await.unwrap().cluster_id().unwrap().to_owned();
    let (succeeded, said) = cluster.recover(1);
    assert!(!succeeded && said.contains("in use by another process"), "{said}");

    (1..=3).for_each(|id| cluster.kill(id));
    let (succeeded, said) = cluster.recover(1);
    assert!(succeeded, "{said}");
    cluster.start_node(1).await;
    let status = cluster.wait_status("node 1 leads alone", |status| status.leader() == Some(1)).await;
    assert_eq!(status.voters(), [1].into());
    assert_ne!(status.cluster_id(), Some(formed.as_str()), "another cluster from here on");
    written = written.merge(create_many(&cluster.client_of(&[1]), "alone", 10, 2, 0).await);

    // Both of the others: a quorum of the cluster that was.
    cluster.spawn(2);
    cluster.spawn(3);
    sleep(WAIT).await;
    let status = cluster.status(1).await.unwrap();
    assert_eq!((status.leader(), status.voters()), (Some(1), [1].into()));
    for id in [2, 3] {
        let local = cluster.request(id, Method::GET, "/v1/secrets/alone/0?consistency=local");
        let answer = local.send().await.unwrap().status().as_u16();
        assert_ne!(answer, 200, "node {id} has taken over what was written after the recovery");
    }
    for id in [2, 3] {
        cluster.kill(id);
        cluster.wipe(id);
        cluster.spawn(id);
        let body = json!({"id": id, "address": cluster.raft_address(id)});
        expect(cluster.admin(1, Method::POST, "/v1/admin/cluster/nodes").json(&body), 201).await;
        cluster.wait_status("a learner has all", |status| status.is_caught_up(id)).await;
        expect(cluster.admin(1, Method::POST, &format!("/v1/admin/cluster/nodes/{id}/promote")), 200).await;
    }
    cluster.expect_one_cluster().await;
    cluster.expect_equal_state(&written).await;
}
