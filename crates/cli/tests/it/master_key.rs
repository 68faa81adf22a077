//! A vault started with another master key than before: what it can't do, what it does all the same, and that it says so.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::vault::{ADMIN, MASTER_KEY, Vault, expect};

/// Another key than that of [`MASTER_KEY`].
const OTHER_KEY: &str = "YW5vdGhlciBrZXkgb2YgMzIgYnl0ZXMgZXhhY3RseSE=";

/// Nobody can say what a token may do without the key that vouches for it; nobody is locked out for asking.
#[tokio::test]
async fn with_a_wrong_master_key_no_token_counts_and_the_log_and_readyz_say_why() {
    let mut vault = Vault::start(&[("VAULT_AUTH_MAX_FAILURES", "2")]);
    vault
        .expect(Method::POST, "/v1/secrets", json!({"name": "a", "kind": "manual", "value": "v"}), 201)
        .await;
    vault.kill();
    vault.set("VAULT_LOCAL_MASTER_KEY", OTHER_KEY);
    vault.resume();
    let ready = vault.request(Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(ready.status(), 503);
    let reason = ready.text().await.unwrap();
    assert!(
        reason.contains("integrity key can't be opened") && reason.contains("master key is local:"),
        "{reason}"
    );
    for _ in 0..5 {
        let refused = expect(vault.request(Method::GET, "/v1/roles").bearer_auth(ADMIN), 503).await;
        let error = "key management unavailable: roles and tokens can't be checked yet";
        assert_eq!(refused, json!({"error": error}));
    }
    assert!(vault.log().contains("integrity key can't be opened"));
    vault.kill();
    vault.set("VAULT_LOCAL_MASTER_KEY", MASTER_KEY);
    vault.resume();
    vault.expect(Method::GET, "/v1/roles", json!(null), 200).await;
}

#[tokio::test]
async fn secrets_of_a_lost_master_key_hold_up_no_rotation_but_their_own() {
    const LOST: usize = 300;
    let mut vault = Vault::start(&[("VAULT_ROTATION_POLL_SECS", "1")]);
    let automatic = |name: String, format: &str| {
        let mut body = json!({"name": name, "kind": "automatic", "rotation_interval_secs": 2});
        if format == "userpass" {
            body["username"] = json!("app");
        }
        body
    };
    vault.kill();
    vault.set("VAULT_LOCAL_MASTER_KEY", OTHER_KEY);
    vault.set("VAULT_LOCAL_PREVIOUS_KEYS", MASTER_KEY);
    vault.resume();
    for number in 0..LOST {
        vault.expect(Method::POST, "/v1/secrets", automatic(format!("a/{number}"), "userpass"), 201).await;
    }
    vault.kill();
    vault.set("VAULT_LOCAL_MASTER_KEY", MASTER_KEY);
    vault.unset("VAULT_LOCAL_PREVIOUS_KEYS");
    vault.resume();
    vault.expect(Method::POST, "/v1/secrets", automatic("z".to_owned(), "opaque"), 201).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let healthy = expect(vault.request(Method::GET, "/v1/secrets/z").bearer_auth(ADMIN), 200).await;
    assert!(healthy["version"].as_u64().unwrap() >= 2, "{healthy}");
}
