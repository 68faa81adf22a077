//! The ways of a secret, end to end.

use reqwest::Method;
use serde_json::{Value, json};

use crate::vault::{Vault, expect};

#[tokio::test]
async fn a_secret_is_created_read_changed_verified_and_deleted() {
    let vault = Vault::start(&[]);
    let body = json!({"name": "db/password", "kind": "manual", "value": "one", "grace_period_secs": 60});
    let created = vault.expect(Method::POST, "/v1/secrets", body.clone(), 201).await;
    assert_eq!((&created["value"], &created["version"]), (&json!("one"), &json!(1)));
    vault.expect(Method::POST, "/v1/secrets", body, 409).await;

    let read = expect(vault.request(Method::GET, "/v1/secrets/db/password"), 200).await;
    assert_eq!(read, created);

    let change = json!({"value": "two"});
    let changed = vault.expect(Method::PUT, "/v1/secrets/db%2Fpassword", change, 200).await;
    assert_eq!(changed["version"], 2);
    for (value, version) in [("one", json!(1)), ("two", json!(2)), ("three", Value::Null)] {
        let verify = vault.request(Method::POST, "/v1/secrets/db/password/verify");
        let verdict = expect(verify.json(&json!({"value": value})), 200).await;
        assert_eq!(verdict, json!({"valid": !version.is_null(), "version": version}), "{value}");
    }
    let old = expect(vault.request(Method::GET, "/v1/secrets/db/password?version=1"), 200).await;
    assert_eq!(old["value"], "one");

    vault.expect(Method::DELETE, "/v1/secrets/db/password", Value::Null, 204).await;
    expect(vault.request(Method::GET, "/v1/secrets/db/password"), 404).await;
}

#[tokio::test]
async fn an_automatic_secret_is_generated_and_rotates_on_its_schedule() {
    let vault = Vault::start(&[]);
    let body = json!({"name": "auto", "kind": "automatic", "username": "app",
        "rotation_interval_secs": 1, "grace_period_secs": 1});
    let first = vault.expect(Method::POST, "/v1/secrets", body, 201).await;
    assert_eq!(first["password"].as_str().unwrap().len(), 43);
    tokio::time::sleep(std::time::Duration::from_millis(1_600)).await;
    let second = expect(vault.request(Method::GET, "/v1/secrets/auto"), 200).await;
    assert_eq!(second["username"], "app");
    assert!(second["version"].as_u64().unwrap() >= 2, "{second}");
    assert_ne!(second["password"], first["password"]);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_stop_and_after_a_kill() {
    let mut vault = Vault::start(&[]);
    for (name, stop) in [("stopped", true), ("killed", false)] {
        let body = json!({"name": name, "kind": "manual", "value": name});
        vault.expect(Method::POST, "/v1/secrets", body, 201).await;
        if stop {
            assert_eq!(vault.terminate().code(), Some(0));
        } else {
            vault.kill();
        }
        vault.resume();
        let read = expect(vault.request(Method::GET, &format!("/v1/secrets/{name}")), 200).await;
        assert_eq!(read["value"], name);
    }
}
