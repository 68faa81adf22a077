//! Local mode: another master key, and the wrong one.

use reqwest::Method;
use serde_json::{Value, json};

use super::{create, expect_value, readiness, rewrap, rewrap_status};
use crate::vault::{ADMIN, MASTER_KEY, Vault};

/// Base64 of 32 bytes 0x04.
const NEW_KEY: &str = "BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ=";

#[tokio::test]
async fn a_forced_pass_moves_everything_from_a_previous_key_to_the_current_one() {
    let mut vault = Vault::start(&[("VAULT_KMS_REWRAP_MAX_PER_SEC", "0")]);
    for name in ["a", "b"] {
        create(&vault, name, name).await;
    }
    assert_eq!(vault.terminate().code(), Some(0));
    vault.set("VAULT_LOCAL_MASTER_KEY", NEW_KEY);
    vault.set("VAULT_LOCAL_PREVIOUS_KEYS", MASTER_KEY);
    vault.resume();
    expect_value(&vault, "a", "a").await;
    create(&vault, "c", "c").await;
    let done = rewrap(&vault).await;
    assert_eq!((&done["rewrapped"], &done["failed"]), (&json!(2), &json!(0)));
    assert_eq!(done["target_rotation_at"], Value::Null, "a local key has no rotations");
    assert_eq!(rewrap_status(&vault).await["pending_versions"], json!(0));

    assert_eq!(vault.terminate().code(), Some(0));
    vault.unset("VAULT_LOCAL_PREVIOUS_KEYS");
    vault.resume();
    for name in ["a", "b", "c"] {
        expect_value(&vault, name, name).await;
    }
    vault.expect(Method::GET, "/v1/tokens", Value::Null, 200).await;
}

#[tokio::test]
async fn a_vault_with_the_wrong_key_says_so_lets_no_token_in_and_loses_nothing() {
    let mut vault = Vault::start(&[]);
    create(&vault, "a", "v").await;
    assert_eq!(vault.terminate().code(), Some(0));
    vault.set("VAULT_LOCAL_MASTER_KEY", NEW_KEY);
    vault.resume();

    let (status, reason) = readiness(&vault).await;
    assert!(status == 503 && reason.contains("key"), "{status} {reason}");
    assert!(vault.log().contains("VAULT_LOCAL_MASTER_KEY"), "{}", vault.log());
    let listed = vault.request(Method::GET, "/v1/tokens").bearer_auth(ADMIN).send().await.unwrap();
    assert_eq!(listed.status(), 503);
    assert_eq!(vault.request(Method::GET, "/v1/secrets/a").send().await.unwrap().status(), 503);

    assert_eq!(vault.terminate().code(), Some(0));
    vault.set("VAULT_LOCAL_MASTER_KEY", MASTER_KEY);
    vault.resume();
    expect_value(&vault, "a", "v").await;
    assert_eq!(readiness(&vault).await.0, 200);
}
