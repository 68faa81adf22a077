//! A cluster speaks what all of its members understand.

use hyperion_vault_core::state::FEATURE_LEVEL;

use super::Cluster;
use super::writers::create_many;

const PRETEND: &str = "HYPERION_VAULT_PRETEND_FEATURE_LEVEL";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_the_previous_level_holds_the_level_down_until_it_is_replaced() {
    let newest = u64::from(FEATURE_LEVEL);
    let mut cluster = Cluster::prepare(3);
    cluster.set(3, PRETEND, "1");
    cluster.start_all().await;
    cluster.expect_one_cluster().await;
    let mut written = create_many(&cluster.client(), "at-1", 20, 3, 0).await;
    for id in cluster.running() {
        let status = cluster.status(id).await.unwrap();
        let of_nodes: Vec<_> = (1..=3).map(|id| status.node(id)["feature_level"].as_u64()).collect();
        assert_eq!((status.feature_level(), of_nodes), (Some(1), vec![Some(newest), Some(newest), Some(1)]));
    }

    assert_eq!(cluster.terminate(3).await.code(), Some(0));
    cluster.unset(3, PRETEND);
    cluster.start_node(3).await;
    cluster.wait_status("the level is raised", |status| status.feature_level() == Some(newest)).await;
    written = written.merge(create_many(&cluster.client(), "at-2", 20, 3, 0).await);
    cluster.expect_equal_state(&written).await;
    for id in cluster.running() {
        assert_eq!(cluster.status(id).await.unwrap().feature_level(), Some(newest), "node {id}");
    }
}
