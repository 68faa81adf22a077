//! One member's clock is an hour off. Nothing rotates or expires early or late, whether that member leads or not, and
//! an operator sees it.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::Cluster;
use super::until;
use crate::vault::expect;

/// Where Debian's package puts it.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
const HOUR_MS: i64 = 3_600_000;
/// How exactly a member's clock is known.
const SKEW_SLACK_MS: i64 = 5_000;
/// Rounds of the workers, and then some.
const ROUNDS: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_an_hour_ahead_rotates_and_expires_nothing_early() {
    with_clock_off("+1h", HOUR_MS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_an_hour_behind_rotates_and_expires_nothing_late() {
    with_clock_off("-1h", -HOUR_MS).await;
}

async fn with_clock_off(offset: &str, skew_ms: i64) {
    if !Path::new(LIBRARY).exists() {
        println!("SKIPPED: setting a member's clock wrong needs Debian's faketime");
        return;
    }
    let mut cluster = Cluster::prepare(3);
    let off = 3;
    for id in 1..=3 {
        cluster.set(id, "VAULT_ROTATION_POLL_SECS", "1");
    }
    cluster.set(off, "LD_PRELOAD", LIBRARY);
    cluster.set(off, "FAKETIME", offset);
    cluster.set(off, "DONT_FAKE_MONOTONIC", "1");
    cluster.start_all().await;
    cluster.expect_one_cluster().await;

    for (leader, prefix) in [(1, "led-by-another"), (off, "led-by-it")] {
        cluster.make_leader(leader).await;
        expect_skew_shown(&cluster, leader, off, skew_ms).await;
        expect_time_kept(&cluster, prefix).await;
    }
}

async fn expect_skew_shown(cluster: &Cluster, asked: u64, off: u64, skew_ms: i64) {
    until(&format!("node {asked} shows the skew of node {off}"), async || {
        let status = cluster.status(asked).await?;
        let shown = status.node(off)["clock_skew_ms"].as_i64()?;
        ((shown - skew_ms).abs() < SKEW_SLACK_MS).then_some(())
    })
    .await;
}

/// What is due in half an hour is not due now, and what is due in two seconds is, and both through every node.
async fn expect_time_kept(cluster: &Cluster, prefix: &str) {
    let (slow, fast) = (format!("{prefix}/slow"), format!("{prefix}/fast"));
    create_automatic(cluster, &slow, 1_800, 1_800).await;
    create_automatic(cluster, &fast, 2, 1).await;
    // A version in its grace of half an hour.
    expect(cluster.admin(1, Method::POST, &format!("/v1/secrets/{slow}/rotate")), 200).await;
    let begun = Instant::now();
    sleep(ROUNDS).await;
    for id in cluster.running() {
        let versions = cluster.admin(id, Method::GET, &format!("/v1/versions/{slow}"));
        let versions = expect(versions, 200).await;
        assert_eq!(versions.as_array().unwrap().len(), 2, "node {id}: {versions}");
        let old = cluster.request(id, Method::GET, &format!("/v1/secrets/{slow}?version=1"));
        expect(old, 200).await;
        let fast_now = version(cluster, id, &fast).await;
        let most = begun.elapsed().as_secs() / 2 + 2;
        assert!((2..=most).contains(&fast_now), "node {id}: version {fast_now} after {:?}", begun.elapsed());
    }
}

async fn create_automatic(cluster: &Cluster, name: &str, interval_secs: u64, grace_secs: u64) {
    let body = json!({"name": name, "kind": "automatic",
        "rotation_interval_secs": interval_secs, "grace_period_secs": grace_secs});
    expect(cluster.admin(1, Method::POST, "/v1/secrets").json(&body), 201).await;
}

async fn version(cluster: &Cluster, id: u64, name: &str) -> u64 {
    let read = cluster.request(id, Method::GET, &format!("/v1/secrets/{name}"));
    expect(read, 200).await["version"].as_u64().unwrap()
}
