//! Re-wrapping after a rotation of the master key, and the move to another key.

use std::collections::BTreeMap;

use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::secret::Version;
use hyperion_vault_core::state::table::versions;
use reqwest::Method;
use serde_json::{Value, json};

use super::{AwsVault, rewrap, rewrap_status, until};
use crate::emulator::Emulator;
use crate::stopped::open_node;
use crate::vault::Vault;

const NAMES: [&str; 3] = ["a", "b/c", "in/grace"];

/// Three secrets, one of which has a version in grace.
async fn fill(aws: &AwsVault) {
    for name in NAMES {
        aws.create(name, name).await;
    }
    aws.vault.expect(Method::PUT, "/v1/secrets/in/grace", json!({"value": "newer"}), 200).await;
}

/// Reads all of them with the help of nothing but the newest material.
async fn expect_readable(aws: &mut AwsVault, key: &str) {
    aws.emulator.forget_old_material(key);
    // An empty cache.
    assert_eq!(aws.vault.terminate().code(), Some(0));
    aws.vault.resume();
    for (name, value) in
        [("a", "a"), ("b/c", "b/c"), ("in/grace", "newer"), ("in/grace?version=1", "in/grace")]
    {
        aws.expect_value(name, value).await;
    }
}

/// Every stored version, of a vault that is stopped for it.
async fn stored(vault: &mut Vault) -> BTreeMap<(String, u64), Version> {
    assert_eq!(vault.terminate().code(), Some(0));
    let node = open_node(vault).await;
    let view = node.view();
    let mut stored = BTreeMap::new();
    for name in NAMES {
        for (number, version) in versions::of_secret(&*view, &SecretName::parse(name).unwrap()).unwrap() {
            stored.insert((name.to_owned(), number.get()), version);
        }
    }
    drop(view);
    node.shutdown().await.unwrap();
    vault.resume();
    stored
}

fn ms(time: &Value) -> u64 {
    let time = hyperion_vault_api::time::parse_rfc3339(time.as_str().unwrap()).unwrap();
    time.as_unix_ms()
}

#[tokio::test]
async fn a_forced_pass_re_wraps_every_version_and_changes_nothing_else_of_it() {
    let mut aws = AwsVault::start(&[("VAULT_KMS_REWRAP_MAX_PER_SEC", "0")]);
    fill(&aws).await;
    let before = stored(&mut aws.vault).await;
    aws.wait_ready().await;
    let rotated_at = aws.emulator.rotate(&aws.key);

    let done = rewrap(&aws.vault).await;
    assert_eq!((&done["scanned"], &done["rewrapped"], &done["failed"]), (&json!(4), &json!(4), &json!(0)));
    assert_eq!(ms(&done["target_rotation_at"]), rotated_at);
    let status = rewrap_status(&aws.vault).await;
    assert_eq!((&status["busy"], &status["enabled"]), (&json!(false), &json!(false)));
    assert_eq!((&status["total_versions"], &status["pending_versions"]), (&json!(4), &json!(0)));
    assert_eq!(status["last_completed_rotation_at"], status["latest_rotation_at"]);

    let after = stored(&mut aws.vault).await;
    assert_eq!(after.len(), 4);
    for (place, mut version) in after {
        let old = &before[&place];
        assert_eq!(
            version.sealed.wrapped_rotation_at.map(|at| at.as_unix_ms()),
            Some(rotated_at),
            "{place:?}"
        );
        assert_ne!(version.sealed.wrapped_data_key, old.sealed.wrapped_data_key, "{place:?}");
        version.sealed.wrapped_rotation_at = old.sealed.wrapped_rotation_at;
        version.sealed.wrapped_data_key = old.sealed.wrapped_data_key.clone();
        assert_eq!(version, *old, "{place:?}");
    }
    aws.wait_ready().await;

    // Done is done.
    let again = rewrap(&aws.vault).await;
    assert_eq!((&again["rewrapped"], &again["failed"]), (&json!(0), &json!(0)));
    let key = aws.key.clone();
    expect_readable(&mut aws, &key).await;
}

#[tokio::test]
async fn the_worker_adopts_the_newest_rotation_and_re_wraps_after_the_next() {
    let settings = [
        ("VAULT_KMS_REWRAP_ENABLED", "true"),
        ("VAULT_KMS_REWRAP_POLL_SECS", "1"),
        ("VAULT_KMS_REWRAP_MAX_PER_SEC", "0"),
    ];
    let mut aws = AwsVault::prepare(&settings);
    let baseline = aws.emulator.rotate(&aws.key);
    aws.vault.resume();
    fill(&aws).await;
    let status = until("the baseline is adopted", async || {
        let status = rewrap_status(&aws.vault).await;
        status["last_completed_rotation_at"].is_string().then_some(status)
    })
    .await;
    assert_eq!(ms(&status["last_completed_rotation_at"]), baseline);
    assert_eq!((&status["pending_versions"], &status["last_pass"]), (&json!(0), &Value::Null));
    assert_eq!(aws.emulator.seen().of("ReEncrypt"), 0, "no sweep");

    let rotated_at = aws.emulator.rotate(&aws.key);
    let status = until("the rotation is dealt with", async || {
        let status = rewrap_status(&aws.vault).await;
        (status["last_completed_rotation_at"].as_str().is_some()
            && ms(&status["last_completed_rotation_at"]) == rotated_at)
            .then_some(status)
    })
    .await;
    assert_eq!((&status["pending_versions"], &status["last_pass"]["complete"]), (&json!(0), &json!(true)));
    let key = aws.key.clone();
    expect_readable(&mut aws, &key).await;
}

#[tokio::test]
async fn everything_moves_to_another_key() {
    let mut aws = AwsVault::start(&[("VAULT_KMS_REWRAP_MAX_PER_SEC", "0")]);
    fill(&aws).await;
    let other = aws.emulator.create_key();
    assert_eq!(aws.vault.terminate().code(), Some(0));
    aws.vault.set("VAULT_KMS_KEY_ID", &other);
    aws.vault.resume();
    aws.create("new", "v").await;
    aws.expect_value("a", "a").await;
    let done = rewrap(&aws.vault).await;
    assert_eq!((&done["rewrapped"], &done["failed"]), (&json!(4), &json!(0)), "what is new is wrapped by it");

    // The old key isn't needed any more, not even for the tokens.
    aws.emulator.schedule_deletion(&aws.key);
    expect_readable(&mut aws, &other).await;
    aws.expect_value("new", "v").await;
    assert_eq!(rewrap_status(&aws.vault).await["target_key_id"], json!(other));
}

#[tokio::test]
async fn a_pass_that_fails_leaves_the_watermark_and_what_it_could_not_do() {
    let mut aws = AwsVault::start(&[("VAULT_KMS_REWRAP_MAX_PER_SEC", "0")]);
    fill(&aws).await;
    aws.emulator.rotate(&aws.key);
    aws.emulator.allow_only(&["kms:GenerateDataKey", "kms:Decrypt", "kms:ListKeyRotations"]);
    let done = rewrap(&aws.vault).await;
    // Four versions, and the integrity key.
    assert_eq!((&done["rewrapped"], &done["failed"]), (&json!(0), &json!(5)));
    let status = rewrap_status(&aws.vault).await;
    assert_eq!(
        (&status["last_completed_rotation_at"], &status["pending_versions"]),
        (&Value::Null, &json!(4))
    );
    aws.expect_value("a", "a").await;

    aws.emulator.heal();
    assert_eq!(rewrap(&aws.vault).await["rewrapped"], json!(4));
    let key = aws.key.clone();
    expect_readable(&mut aws, &key).await;
}

#[tokio::test]
async fn a_pass_keeps_to_its_pace_and_a_second_one_is_refused_meanwhile() {
    let aws = AwsVault::start(&[("VAULT_KMS_REWRAP_MAX_PER_SEC", "4")]);
    for number in 0..12 {
        aws.create(&format!("s{number}"), "v").await;
    }
    aws.emulator.rotate(&aws.key);
    let begun = tokio::time::Instant::now();
    let (first, second) = tokio::join!(rewrap(&aws.vault), async {
        until("a pass runs", async || rewrap_status(&aws.vault).await["busy"].as_bool().filter(|busy| *busy))
            .await;
        aws.vault.expect(Method::POST, "/v1/admin/kms/rewrap", Value::Null, 409).await
    });
    assert_eq!(first["rewrapped"], json!(12));
    assert!(second["error"].as_str().unwrap().contains("pass"), "{second}");
    assert!(begun.elapsed().as_secs_f64() > 2.0, "12 at 4 a second: {:?}", begun.elapsed());
}

#[tokio::test]
async fn an_alias_that_moves_takes_new_secrets_with_it() {
    let emulator = Emulator::start();
    let (first, second) = (emulator.create_key(), emulator.create_key());
    emulator.create_alias("alias/vault", &first);
    let mut vault = Vault::prepare(&[("VAULT_KMS_REWRAP_MAX_PER_SEC", "0")]);
    vault.unset("VAULT_LOCAL_MASTER_KEY");
    for (name, value) in super::settings_of(&emulator, "alias/vault") {
        vault.set(name, &value);
    }
    vault.resume();
    super::create(&vault, "old", "v").await;
    emulator.update_alias("alias/vault", &second);
    super::create(&vault, "new", "v").await;
    assert_eq!(rewrap(&vault).await["rewrapped"], json!(1));
    emulator.schedule_deletion(&first);
    assert_eq!(vault.terminate().code(), Some(0));
    vault.resume();
    for name in ["old", "new"] {
        super::expect_value(&vault, name, "v").await;
    }
}
