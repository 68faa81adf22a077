//! Much at once: large values, and more than the log keeps.

use reqwest::Method;

use super::writers::{Written, create_many};
use super::{Cluster, until};
use crate::vault::expect;

/// Just under the largest value.
const LARGE_BYTES: usize = 65_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_65_000_bytes_by_32_clients_at_once() {
    const CLIENTS: usize = 32;
    let cluster = Cluster::start(3).await;
    let written = create_many(&cluster.client(), "large", 3 * CLIENTS, CLIENTS, LARGE_BYTES).await;
    println!("{:?}", written.seen);
    assert_eq!(written.count(), 3 * CLIENTS);
    assert_eq!((written.seen.unavailable, written.seen.broken.len()), (0, 0));
    cluster.expect_equal_state(&written).await;
}

/// The log that it lacks is gone by then: it takes a snapshot, and is as good a leader as any.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_missed_5_000_entries_and_a_compaction_can_lead() {
    /// The log keeps fewer, and a snapshot is taken on the way.
    const MISSED: usize = 5_500;
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let absent = cluster.others(&[leader])[0];
    cluster.kill(absent);
    let clients = cluster.client_of(&cluster.running());
    let written = create_many(&clients, "missed", MISSED, 32, 0).await;
    for id in cluster.running() {
        until(&format!("node {id} has compacted its log"), async || {
            let metrics = cluster.admin(id, Method::GET, "/metrics").send().await.ok()?.text().await.ok()?;
            let snapshots =
                metrics.lines().find_map(|line| line.strip_prefix("hyperion_vault_snapshots_total "));
            (snapshots? != "0").then_some(())
        })
        .await;
    }
    cluster.start_node(absent).await;
    cluster.wait_voter(absent).await;
    cluster.make_leader(absent).await;
    let read = cluster.request(absent, Method::GET, "/v1/secrets/missed/0?consistency=linearizable");
    assert_eq!(expect(read, 200).await["version"], 1);
    let more = create_many(&cluster.client_of(&[absent]), "led", 10, 2, 0).await;
    cluster.expect_equal_state(&Written::merge(written, more)).await;
}
