//! Tokens and roles in use: expiry, revocation, addresses of their own, the first admin.

use std::time::{Duration, SystemTime};

use hyperion_vault_api::time::parse_rfc3339;
use reqwest::Method;
use serde_json::{Value, json};

use crate::callers::{behind_proxy, create_role, from_address, issue_token, revoke_token, token_granted};
use crate::vault::{ADMIN, Vault, expect};

#[expect(clippy::disallowed_methods, reason = "compared with the clock of another process")]
fn now_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since_epoch.as_millis()).unwrap()
}

async fn list_with(vault: &Vault, token: &str, status: u16) -> Value {
    expect(vault.request(Method::GET, "/v1/secrets").bearer_auth(token), status).await
}

async fn token_info(vault: &Vault, name: &str) -> Value {
    let tokens = vault.expect(Method::GET, "/v1/tokens", Value::Null, 200).await;
    tokens.as_array().unwrap().iter().find(|token| token["name"] == name).unwrap().clone()
}

#[tokio::test]
async fn a_token_expires_at_the_moment_it_says_and_not_before() {
    let vault = Vault::start(&[]);
    let body = json!({"name": "brief", "role": "admin", "expires_in_secs": 2});
    let token = issue_token(&vault, body).await;
    let info = token_info(&vault, "brief").await;
    let time_ms = |field: &str| parse_rfc3339(info[field].as_str().unwrap()).unwrap().as_unix_ms();
    let expires_ms = time_ms("expires_at");
    // Counted from when it was asked for, a moment before the cluster had it.
    assert!((1_000..=2_000).contains(&(expires_ms - time_ms("created_at"))));
    let (mut before, mut after) = (0, 0);
    while after < 5 {
        let asked_ms = now_ms();
        let request = vault.request(Method::GET, "/v1/roles").bearer_auth(&token);
        match request.send().await.unwrap().status().as_u16() {
            200 => {
                assert!(asked_ms < expires_ms, "it still counted when it had expired");
                before += 1;
            }
            401 => {
                assert!(now_ms() >= expires_ms, "it did not count any more before it expired");
                after += 1;
            }
            other => panic!("{other}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(before > 10, "{before}");
}

#[tokio::test]
async fn a_token_with_addresses_of_its_own_counts_from_nowhere_else() {
    let vault = Vault::start(&behind_proxy(&[]));
    let body = json!({"name": "tied", "role": "admin", "allowed_ips": ["192.0.2.1", "2001:db8::/32"]});
    let token = issue_token(&vault, body).await;
    for (address, status) in [
        ("192.0.2.1", 200),
        ("::ffff:192.0.2.1", 200),
        ("2001:db8:7::1", 200),
        ("192.0.2.2", 401),
        ("10.0.0.1", 401),
        ("2001:db9::1", 401),
    ] {
        let request = vault.request(Method::GET, "/v1/roles").bearer_auth(&token);
        expect(from_address(request, address), status).await;
    }
    list_with(&vault, &token, 401).await;
    assert_eq!(token_info(&vault, "tied").await["allowed_ips"], json!(["192.0.2.1", "2001:db8::/32"]));
    for refused in [json!([]), json!(["nowhere"]), json!(["10.0.0.0/33"]), json!(["10.0.0.1,10.0.0.2"])] {
        let body = json!({"name": "other", "role": "admin", "allowed_ips": refused});
        vault.expect(Method::POST, "/v1/tokens", body, 400).await;
    }
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once_and_its_name_is_free() {
    let vault = Vault::start(&[]);
    for round in 0..10 {
        let token = issue_token(&vault, json!({"name": "again", "role": "admin"})).await;
        list_with(&vault, &token, 200).await;
        vault.expect(Method::POST, "/v1/tokens", json!({"name": "again", "role": "admin"}), 409).await;
        revoke_token(&vault, "again").await;
        list_with(&vault, &token, 401).await;
        assert!(token_info(&vault, "again").await["revoked_at"].is_string(), "round {round}");
        vault.expect(Method::DELETE, "/v1/tokens/again", Value::Null, 404).await;
    }
}

#[tokio::test]
async fn the_scheme_is_bearer_in_any_case_and_there_is_one_token() {
    let vault = Vault::start(&[]);
    for (header, status) in [
        (format!("Bearer {ADMIN}"), 200),
        (format!("bearer {ADMIN}"), 200),
        (format!("BEARER  {ADMIN}"), 200),
        (ADMIN.to_owned(), 401),
        (format!("Basic {ADMIN}"), 401),
        (format!("Bearer {ADMIN} {ADMIN}"), 401),
        (format!("Bearer {}", ADMIN.to_uppercase()), 401),
        (format!("Bearer {}", &ADMIN[..ADMIN.len() - 1]), 401),
        ("Bearer ".to_owned(), 401),
    ] {
        let request = vault.request(Method::GET, "/v1/secrets").header("authorization", &header);
        expect(request, status).await;
    }
    let twice = vault.admin(Method::GET, "/v1/secrets").header("authorization", format!("Bearer {ADMIN}"));
    expect(twice, 401).await;
}

#[tokio::test]
async fn a_role_in_use_stays_and_what_it_grants_changes_at_once() {
    let vault = Vault::start(&[]);
    let token = token_granted(&vault, "ops", &[("create", "app/*")]).await;
    let create = |name: &str| {
        let body = json!({"name": name, "kind": "manual", "value": "v"});
        vault.request(Method::POST, "/v1/secrets").bearer_auth(&token).json(&body)
    };
    expect(create("app/one"), 201).await;
    vault.expect(Method::DELETE, "/v1/roles/ops", Value::Null, 409).await;
    let permissions = json!({"permissions": [{"action": "create", "path": "db/*"}]});
    vault.expect(Method::PUT, "/v1/roles/ops/permissions", permissions, 200).await;
    expect(create("app/two"), 403).await;
    expect(create("db/one"), 201).await;

    revoke_token(&vault, "ops").await;
    vault.expect(Method::DELETE, "/v1/roles/ops", Value::Null, 204).await;
    vault.expect(Method::GET, "/v1/roles/ops", Value::Null, 404).await;
    vault.expect(Method::POST, "/v1/tokens", json!({"name": "t", "role": "ops"}), 400).await;
    // A role of the same name, made later, is another: the old token doesn't come back with it.
    create_role(&vault, "ops", &[("*", "*")]).await;
    expect(create("app/two"), 401).await;
}

#[tokio::test]
async fn the_admin_role_is_there_from_the_start_and_nobodys_to_change() {
    let vault = Vault::start(&[]);
    let admin = vault.expect(Method::GET, "/v1/roles/admin", Value::Null, 200).await;
    assert_eq!(admin["is_admin"], true);
    vault.expect(Method::DELETE, "/v1/roles/admin", Value::Null, 409).await;
    vault.expect(Method::PUT, "/v1/roles/admin/permissions", json!({"permissions": []}), 409).await;
    vault.expect(Method::POST, "/v1/roles", json!({"name": "admin", "is_admin": true}), 409).await;
}

#[tokio::test]
async fn a_revoked_bootstrap_token_does_not_come_back() {
    let mut vault = Vault::start(&[]);
    let own = issue_token(&vault, json!({"name": "own", "role": "admin"})).await;
    revoke_token(&vault, "bootstrap-admin").await;
    list_with(&vault, ADMIN, 401).await;
    vault.terminate();
    vault.resume();
    list_with(&vault, ADMIN, 401).await;
    list_with(&vault, &own, 200).await;
}

#[tokio::test]
async fn another_bootstrap_token_is_taken_only_while_no_admin_token_lives() {
    let mut vault = Vault::start(&[]);
    let second = "hvt_the-second-bootstrap-token-of-all";
    let restart_with = |vault: &mut Vault, token: &str| {
        vault.terminate();
        vault.set("VAULT_BOOTSTRAP_TOKEN", token);
        vault.resume();
    };
    restart_with(&mut vault, second);
    list_with(&vault, second, 401).await;
    list_with(&vault, ADMIN, 200).await;
    assert!(vault.log().contains("VAULT_BOOTSTRAP_TOKEN was not taken"), "{}", vault.log());

    // A live token that is no admin's doesn't hold the door.
    let reader = token_granted(&vault, "reader", &[("read", "*")]).await;
    revoke_token(&vault, "bootstrap-admin").await;
    restart_with(&mut vault, second);
    list_with(&vault, second, 200).await;
    list_with(&vault, ADMIN, 401).await;
    list_with(&vault, &reader, 200).await;

    // Neither value is taken a second time.
    expect(vault.request(Method::DELETE, "/v1/tokens/bootstrap-admin").bearer_auth(second), 204).await;
    for token in [second, ADMIN] {
        restart_with(&mut vault, token);
        list_with(&vault, token, 401).await;
    }
}
