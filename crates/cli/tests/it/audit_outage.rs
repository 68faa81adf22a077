//! The disk under the audit trail is full: nothing is changed, nothing is revealed, and it goes on by itself.

use std::time::Duration;

use hyperion_vault_server::audit::verify;
use reqwest::Method;
use reqwest::header::RETRY_AFTER;
use serde_json::{Value, json};

use crate::callers::{issue_token, token_granted};
use crate::small_disk::SmallDisk;
use crate::trail::records_at;
use crate::vault::{Vault, expect};

const VALUE: &str = "the-value-that-must-not-leave";

async fn vault_on(disk: &SmallDisk) -> Vault {
    let path = disk.path().join("audit.jsonl");
    let settings = [("VAULT_AUDIT_PATH", path.to_str().unwrap()), ("VAULT_ROTATION_POLL_SECS", "1")];
    let vault = Vault::start(&settings);
    let kept = json!({"name": "kept", "kind": "manual", "value": VALUE});
    vault.expect(Method::POST, "/v1/secrets", kept, 201).await;
    let auto = json!({"name": "auto", "kind": "automatic", "rotation_interval_secs": 1});
    vault.expect(Method::POST, "/v1/secrets", auto, 201).await;
    token_granted(&vault, "ops", &[]).await;
    vault
}

/// Asks until there is no room for the record.
async fn exhaust(vault: &Vault) {
    for _ in 0..200 {
        let answer = vault.request(Method::GET, "/").send().await.unwrap();
        if answer.status() == 503 {
            return;
        }
        assert_eq!(answer.status(), 404);
    }
    panic!("the disk does not fill up");
}

/// Everything that could change or reveal something; the ids of the refusals.
async fn ask_everything(vault: &Vault) -> Vec<String> {
    let new = json!({"name": "new", "kind": "manual", "value": "v"});
    let mut ids = Vec::new();
    for (method, path, body) in [
        (Method::GET, "/v1/secrets/kept", Value::Null),
        (Method::POST, "/v1/batch/secrets", json!({"names": ["kept"]})),
        (Method::POST, "/v1/secrets/kept/verify", json!({"value": VALUE})),
        (Method::GET, "/v1/secrets", Value::Null),
        (Method::GET, "/v1/versions/kept", Value::Null),
        (Method::POST, "/v1/secrets", new),
        (Method::PUT, "/v1/secrets/kept", json!({"value": "changed"})),
        (Method::PUT, "/v1/secrets/kept", json!({"description": "changed"})),
        (Method::DELETE, "/v1/secrets/kept", Value::Null),
        (Method::POST, "/v1/secrets/auto/rotate", Value::Null),
        (Method::GET, "/v1/roles", Value::Null),
        (Method::POST, "/v1/roles", json!({"name": "new"})),
        (Method::PUT, "/v1/roles/ops/permissions", json!({"permissions": [{"action": "*", "path": "*"}]})),
        (Method::POST, "/v1/tokens", json!({"name": "new", "role": "admin"})),
        (Method::GET, "/v1/tokens", Value::Null),
        (Method::DELETE, "/v1/tokens/ops", Value::Null),
        (Method::GET, "/v1/admin/audit", Value::Null),
        (Method::GET, "/metrics", Value::Null),
        (Method::GET, "/v1/nowhere", Value::Null),
    ] {
        let mut request = vault.admin(method.clone(), path);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 503, "{method} {path}");
        assert!(answer.headers().contains_key(RETRY_AFTER), "{method} {path}");
        ids.push(answer.headers()["x-request-id"].to_str().unwrap().to_owned());
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["error"], "{method} {path}");
        assert!(!body.to_string().contains(VALUE));
    }
    ids
}

async fn probe(vault: &Vault, path: &str) -> (u16, String) {
    let answer = vault.request(Method::GET, path).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Nothing of [`ask_everything`] has happened.
async fn check_unchanged(vault: &Vault) {
    let kept = expect(vault.request(Method::GET, "/v1/secrets/kept"), 200).await;
    assert_eq!((&kept["value"], &kept["version"]), (&json!(VALUE), &json!(1)));
    expect(vault.request(Method::GET, "/v1/secrets/new"), 404).await;
    let secrets = vault.expect(Method::GET, "/v1/secrets?prefix=kept", Value::Null, 200).await;
    assert_eq!(secrets[0]["description"], Value::Null);
    vault.expect(Method::GET, "/v1/roles/new", Value::Null, 404).await;
    let ops = vault.expect(Method::GET, "/v1/roles/ops", Value::Null, 200).await;
    assert_eq!(ops["permissions"], json!([]));
    let tokens = vault.expect(Method::GET, "/v1/tokens", Value::Null, 200).await;
    let names: Vec<_> = tokens.as_array().unwrap().iter().map(|token| &token["name"]).collect();
    assert_eq!(names, ["bootstrap-admin", "ops"]);
    assert!(tokens.as_array().unwrap().iter().all(|token| token["revoked_at"].is_null()), "{tokens}");
}

#[tokio::test]
async fn while_the_trail_can_not_be_written_nothing_changes_and_nothing_is_revealed() {
    let Some(disk) = SmallDisk::mount(256) else { return };
    let mut vault = vault_on(&disk).await;
    disk.fill();
    exhaust(&vault).await;
    let refused = ask_everything(&vault).await;
    let (status, reason) = probe(&vault, "/readyz").await;
    assert_eq!((status, reason.contains("audit")), (503, true), "{reason}");
    assert_eq!(probe(&vault, "/healthz").await, (200, "ok".to_owned()));
    // The rotation falls due more than once meanwhile.
    tokio::time::sleep(Duration::from_millis(1_500)).await;

    disk.free();
    let ready = async {
        while probe(&vault, "/readyz").await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), ready).await.expect("ready without a request");
    check_unchanged(&vault).await;
    let token = issue_token(&vault, json!({"name": "after", "role": "admin"})).await;
    expect(vault.request(Method::GET, "/v1/secrets").bearer_auth(token), 200).await;

    assert_eq!(vault.terminate().code(), Some(0));
    let path = disk.path().join("audit.jsonl");
    verify(&path, None).unwrap();
    let trail = records_at(&path);
    assert!(trail.iter().any(|record| record["action"] == "audit.recovered"));
    assert!(trail.iter().all(|record| !refused.iter().any(|id| record["request_id"] == *id)));

    // Every rotation, before and after, has its record; those that fell due meanwhile did not happen.
    vault.set("VAULT_AUDIT_PATH", vault.audit_path().to_str().unwrap());
    vault.set("VAULT_ROTATION_POLL_SECS", "3600");
    let rotations = trail
        .iter()
        .filter(|record| record["action"] == "secret.rotate" && record["outcome"] == "ok")
        .count();
    vault.resume();
    let auto =
        expect(vault.request(Method::GET, "/v1/versions/auto").bearer_auth(crate::vault::ADMIN), 200).await;
    let current = auto.as_array().unwrap().iter().find(|version| version["current"] == true).unwrap();
    let since_restart = crate::trail::records(&vault)
        .iter()
        .filter(|record| record["action"] == "secret.rotate" && record["outcome"] == "ok")
        .count();
    assert_eq!(current["version"], rotations + since_restart + 1);
}
