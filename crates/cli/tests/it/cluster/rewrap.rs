//! A rotation of the master key found by the leader, which dies in the middle of the pass.

use reqwest::Method;
use serde_json::Value;

use super::network::Network;
use super::writers::create_many;
use super::{Cluster, until};
use crate::emulator::Emulator;
use crate::kms::settings_of;

const SECRETS: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_goes_on_with_the_pass_of_a_dead_one() {
    let emulator = Emulator::start();
    let key = emulator.create_key();
    let mut cluster = Cluster::prepare_on(Network::on_loopback(), 3);
    let own = [
        ("VAULT_CLUSTER_SECRET", "of-the-tests-and-nobody-else"),
        ("VAULT_KMS_REWRAP_ENABLED", "true"),
        ("VAULT_KMS_REWRAP_POLL_SECS", "1"),
        ("VAULT_KMS_REWRAP_MAX_PER_SEC", "10"),
    ];
    for id in 1..=3 {
        cluster.unset(id, "VAULT_LOCAL_MASTER_KEY");
        for (name, value) in settings_of(&emulator, &key) {
            cluster.set(id, name, &value);
        }
        own.iter().for_each(|(name, value)| cluster.set(id, name, value));
    }
    cluster.start_all().await;
    cluster.expect_one_cluster().await;
    let written = create_many(&cluster.client(), "kept", SECRETS, 4, 0).await;
    until("the baseline is adopted", async || {
        let status = rewrap_status(&cluster, 1).await?;
        (!status["target_key_id"].is_null()).then_some(())
    })
    .await;

    let rotated = emulator.rotate(&key);
    until("the pass is in its middle", async || {
        let done = rewrap_status(&cluster, 1).await?["pass"]["rewrapped"].as_u64()?;
        (done >= 5).then_some(())
    })
    .await;
    let leader = cluster.leader().await;
    cluster.kill(leader);
    let other = cluster.running()[0];
    let before = rewrap_status_of(&cluster, other).await;
    assert!(before["pending_versions"].as_u64().unwrap() > 0, "{before}");

    let status = until("a new leader has ended the pass", async || {
        let status = rewrap_status(&cluster, other).await?;
        let completed = status["last_completed_rotation_at"].as_str()?;
        let completed = hyperion_vault_api::time::parse_rfc3339(completed).ok()?;
        (completed.as_unix_ms() == rotated).then_some(status)
    })
    .await;
    assert_eq!((&status["busy"], status["pending_versions"].as_u64()), (&Value::Bool(false), Some(0)));
    let last = &status["last_pass"];
    assert_eq!((last["complete"].as_bool(), last["failed"].as_u64()), (Some(true), Some(0)));
    assert_eq!(last["rewrapped"].as_u64(), Some(SECRETS as u64), "each once: {status}");

    emulator.forget_old_material(&key);
    for id in cluster.running() {
        // An empty cache.
        assert_eq!(cluster.terminate(id).await.code(), Some(0));
    }
    cluster.start_all().await;
    cluster.expect_equal_state(&written).await;
}

async fn rewrap_status(cluster: &Cluster, id: u64) -> Option<Value> {
    let answer = cluster.admin(id, Method::GET, "/v1/admin/kms/rewrap/status").send().await.ok()?;
    answer.json().await.ok()
}

async fn rewrap_status_of(cluster: &Cluster, id: u64) -> Value {
    until("it says how far it is", async || rewrap_status(cluster, id).await).await
}
