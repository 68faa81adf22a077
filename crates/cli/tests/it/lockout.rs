//! Too many failures from one address: what counts, what it closes, and who it leaves alone.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::callers::{behind_proxy, from_address, token_granted};
use crate::vault::{Vault, expect};

/// An address that may read.
const READER: &str = "10.0.0.7";
const OTHER_READER: &str = "10.0.0.8";
/// One that may not.
const STRANGER: &str = "198.51.100.7";

async fn vault(settings: &[(&str, &str)]) -> Vault {
    let vault = Vault::start(&behind_proxy(settings));
    let body = json!({"name": "a", "kind": "manual", "value": "v"});
    vault.expect(Method::POST, "/v1/secrets", body, 201).await;
    vault
}

/// A read, which needs no token.
async fn read(vault: &Vault, address: &str, status: u16) -> Value {
    expect(from_address(vault.request(Method::GET, "/v1/secrets/a"), address), status).await
}

/// A failure: no token where one is needed.
async fn fail(vault: &Vault, address: &str) {
    expect(from_address(vault.request(Method::GET, "/v1/secrets"), address), 401).await;
}

/// Seconds that the refusal asks to wait.
async fn locked_out(request: RequestBuilder) -> u64 {
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 429);
    let wait = answer.headers()[RETRY_AFTER].to_str().unwrap().parse().unwrap();
    let body: Value = answer.json().await.unwrap();
    assert!(body["error"].as_str().unwrap().contains("too many"), "{body}");
    wait
}

#[tokio::test]
async fn each_kind_of_failure_counts_and_the_fifth_closes_everything_but_the_probes() {
    let vault = vault(&[("VAULT_AUTH_MAX_FAILURES", "5")]).await;
    let token = token_granted(&vault, "creator", &[("create", "*")]).await;
    let from = |method: Method, path: &str| from_address(vault.request(method, path), READER);
    expect(from(Method::GET, "/v1/secrets"), 401).await;
    expect(from(Method::GET, "/v1/secrets").bearer_auth("hvt_wrong"), 401).await;
    expect(from(Method::DELETE, "/v1/secrets/a").bearer_auth(&token), 403).await;
    let verify = from(Method::POST, "/v1/secrets/a/verify").json(&json!({"value": "guess"}));
    assert_eq!(expect(verify, 200).await["valid"], false);
    // What is no failure of who asks doesn't count.
    expect(from(Method::GET, "/v1/secrets/unknown"), 404).await;
    expect(from(Method::GET, "/v1/nowhere"), 404).await;
    expect(from(Method::POST, "/v1/batch/secrets").body("{}"), 415).await;
    read(&vault, READER, 200).await;
    expect(from(Method::GET, "/v1/roles").bearer_auth(&token), 403).await;

    for (method, path) in [
        (Method::GET, "/v1/secrets/a"),
        (Method::GET, "/v1/secrets"),
        (Method::POST, "/v1/secrets"),
        (Method::DELETE, "/v1/admin/lockouts/10.0.0.7"),
        (Method::GET, "/metrics"),
        (Method::PATCH, "/v1/secrets"),
        (Method::GET, "/no/such/path"),
    ] {
        for request in [from(method.clone(), path), from_address(vault.admin(method.clone(), path), READER)] {
            let wait = locked_out(request).await;
            assert!((890..=900).contains(&wait), "{wait}");
        }
    }
    for probe in ["/healthz", "/readyz"] {
        expect(from(Method::GET, probe), 200).await;
    }
    read(&vault, OTHER_READER, 200).await;
}

#[tokio::test]
async fn reads_from_a_denied_address_count() {
    let vault = vault(&[("VAULT_AUTH_MAX_FAILURES", "5")]).await;
    for _ in 0..5 {
        read(&vault, STRANGER, 403).await;
    }
    read(&vault, STRANGER, 429).await;
    read(&vault, "198.51.100.8", 403).await;
}

#[tokio::test]
async fn an_admin_at_another_address_lists_and_lifts_lockouts() {
    let vault = vault(&[("VAULT_AUTH_MAX_FAILURES", "5")]).await;
    for _ in 0..5 {
        fail(&vault, READER).await;
    }
    read(&vault, READER, 429).await;
    let list = vault.expect(Method::GET, "/v1/admin/lockouts", Value::Null, 200).await;
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
    assert_eq!(list[0]["address"], format!("{READER}/32"));
    let until = hyperion_vault_api::time::parse_rfc3339(list[0]["locked_until"].as_str().unwrap());
    assert!(until.is_ok(), "{list}");

    let lift = format!("/v1/admin/lockouts/{READER}");
    vault.expect(Method::DELETE, &lift, Value::Null, 204).await;
    read(&vault, READER, 200).await;
    vault.expect(Method::DELETE, &lift, Value::Null, 404).await;
    vault.expect(Method::DELETE, "/v1/admin/lockouts/nobody", Value::Null, 400).await;
    // Who was freed starts anew.
    for _ in 0..4 {
        fail(&vault, READER).await;
    }
    read(&vault, READER, 200).await;
}

#[tokio::test]
async fn an_ipv6_client_is_its_64_bit_network() {
    let vault = vault(&[("VAULT_AUTH_MAX_FAILURES", "5")]).await;
    for host in 1..=5 {
        fail(&vault, &format!("2001:db8:1:2:{host}::{host}")).await;
    }
    read(&vault, "2001:db8:1:2:ffff::9", 429).await;
    read(&vault, "2001:db8:1:3::1", 403).await;
    let list = vault.expect(Method::GET, "/v1/admin/lockouts", Value::Null, 200).await;
    assert_eq!(list[0]["address"], "2001:db8:1:2::/64");
    vault.expect(Method::DELETE, "/v1/admin/lockouts/2001:db8:1:2::%2F64", Value::Null, 204).await;
    read(&vault, "2001:db8:1:2::1", 403).await;
}

#[tokio::test]
async fn a_mapped_address_is_the_ipv4_address_it_stands_for() {
    let vault = vault(&[("VAULT_AUTH_MAX_FAILURES", "2")]).await;
    fail(&vault, &format!("::ffff:{READER}")).await;
    fail(&vault, READER).await;
    read(&vault, &format!("::ffff:{READER}"), 429).await;
    read(&vault, READER, 429).await;
    read(&vault, &format!("::ffff:{OTHER_READER}"), 200).await;
}

#[tokio::test]
async fn failures_age_out_and_lockouts_end() {
    let settings =
        [("VAULT_AUTH_MAX_FAILURES", "2"), ("VAULT_AUTH_WINDOW_SECS", "1"), ("VAULT_AUTH_LOCKOUT_SECS", "1")];
    let vault = vault(&settings).await;
    for _ in 0..2 {
        fail(&vault, READER).await;
        tokio::time::sleep(Duration::from_millis(1_050)).await;
    }
    read(&vault, READER, 200).await;
    // Two within the second.
    fail(&vault, OTHER_READER).await;
    fail(&vault, OTHER_READER).await;
    let request = from_address(vault.request(Method::GET, "/v1/secrets/a"), OTHER_READER);
    assert_eq!(locked_out(request).await, 1);
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    read(&vault, OTHER_READER, 200).await;
}

#[tokio::test]
async fn a_header_that_can_not_be_read_is_no_failure_of_the_proxy() {
    let vault = vault(&[("VAULT_AUTH_MAX_FAILURES", "2")]).await;
    for _ in 0..4 {
        read(&vault, "unknown", 403).await;
    }
    vault.expect(Method::GET, "/v1/secrets", Value::Null, 200).await;
}
