//! How current a state requests ask for, and what answers say of it.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::callers::{create_role, issue_token};
use crate::connection::Connection;
use crate::vault::{Vault, expect};

const INDEX: &str = "x-vault-index";
/// A wait of two seconds, on a busy machine.
const ANSWER_MAX: Duration = Duration::from_secs(4);

/// A vault with a secret, a role and a token, and every read of the state.
async fn vault_and_reads() -> (Vault, Vec<(Method, &'static str, Value)>) {
    let vault = Vault::start(&[]);
    let body = json!({"name": "a", "kind": "manual", "value": "v"});
    vault.expect(Method::POST, "/v1/secrets", body, 201).await;
    create_role(&vault, "r", &[]).await;
    issue_token(&vault, json!({"name": "t", "role": "r"})).await;
    let reads = vec![
        (Method::GET, "/v1/secrets", Value::Null),
        (Method::GET, "/v1/secrets/a", Value::Null),
        (Method::POST, "/v1/secrets/a/verify", json!({"value": "v"})),
        (Method::POST, "/v1/batch/secrets", json!({"names": ["a"]})),
        (Method::GET, "/v1/versions/a", Value::Null),
        (Method::GET, "/v1/roles", Value::Null),
        (Method::GET, "/v1/roles/r", Value::Null),
        (Method::GET, "/v1/tokens", Value::Null),
    ];
    (vault, reads)
}

fn index_of(answer: &reqwest::Response) -> u64 {
    answer.headers()[INDEX].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn every_read_takes_a_consistency_of_its_own() {
    let (vault, reads) = vault_and_reads().await;
    for (method, path, body) in &reads {
        let plain = vault.expect(method.clone(), path, body.clone(), 200).await;
        for consistency in ["local", "linearizable"] {
            let asked = format!("{path}?consistency={consistency}");
            assert_eq!(vault.expect(method.clone(), &asked, body.clone(), 200).await, plain, "{asked}");
        }
        for wrong in
            ["consistency=", "consistency", "consistency=eventual", "consistency=local&consistency=local"]
        {
            vault.expect(method.clone(), &format!("{path}?{wrong}"), body.clone(), 400).await;
        }
        let unknown = vault.expect(method.clone(), &format!("{path}?colour=red"), body.clone(), 400).await;
        let error = unknown["error"].as_str().unwrap();
        assert!(
            error.starts_with("unknown query parameter; known are ") && error.ends_with("consistency"),
            "{error}"
        );
    }
    let page = "/v1/secrets?consistency=linearizable&limit=1&prefix=a";
    assert_eq!(vault.expect(Method::GET, page, Value::Null, 200).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_reads_nothing_of_the_state_or_changes_it_takes_no_consistency() {
    let (vault, _) = vault_and_reads().await;
    for (method, path) in [
        (Method::DELETE, "/v1/secrets/a"),
        (Method::POST, "/v1/secrets/a/rotate"),
        (Method::POST, "/v1/secrets"),
        (Method::DELETE, "/v1/tokens/t"),
        (Method::GET, "/v1/admin/lockouts"),
        (Method::GET, "/v1/admin/cluster"),
    ] {
        let asked = format!("{path}?consistency=local");
        let refused = vault.expect(method, &asked, json!({}), 400).await;
        assert_eq!(refused["error"], "this path takes no query parameters", "{asked}");
    }
    let refused = vault.expect(Method::PUT, "/v1/secrets/a?consistency=local", json!({}), 400).await;
    assert_eq!(refused["error"], "unknown query parameter; known are apply");
}

#[tokio::test]
async fn reads_are_as_current_as_the_setting_says_and_the_request_has_the_last_word() {
    let vault = Vault::start(&[("VAULT_READ_CONSISTENCY", "linearizable")]);
    let body = json!({"name": "a", "kind": "manual", "value": "v"});
    vault.expect(Method::POST, "/v1/secrets", body, 201).await;
    for path in ["/v1/secrets/a", "/v1/secrets/a?consistency=local"] {
        assert_eq!(expect(vault.request(Method::GET, path), 200).await["value"], "v");
    }
}

#[tokio::test]
async fn every_answer_has_the_index_that_it_shows() {
    let vault = Vault::start(&[]);
    let mut last = 0;
    for change in 1..=5 {
        let body = json!({"name": format!("s{change}"), "kind": "manual", "value": "v"});
        let answer = vault.admin(Method::POST, "/v1/secrets").json(&body).send().await.unwrap();
        let index = index_of(&answer);
        assert!(index > last, "{index} after {last}");
        last = index;
    }
    for (path, status) in [
        ("/v1/secrets/s1", 200),
        ("/v1/secrets/none", 404),
        ("/v1/tokens", 401),
        ("/nowhere", 404),
        ("/healthz", 200),
    ] {
        let answer = vault.request(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert!(index_of(&answer) >= last, "{path}");
    }
}

#[tokio::test]
async fn an_index_that_is_there_is_no_wait_and_one_that_does_not_come_is_412() {
    let (vault, _) = vault_and_reads().await;
    let read = || vault.request(Method::GET, "/v1/secrets/a");
    let index = index_of(&read().send().await.unwrap());
    expect(read().header(INDEX, index), 200).await;

    let begun = Instant::now();
    let refused = expect(read().header(INDEX, index + 1_000_000), 412).await;
    assert!(begun.elapsed() < ANSWER_MAX, "{:?}", begun.elapsed());
    let error = refused["error"].as_str().unwrap();
    assert!(error.starts_with("this node has applied the log up to "), "{error}");
    // A probe has nothing to wait for.
    let probe = vault.request(Method::GET, "/healthz").header(INDEX, index + 1_000_000).send().await.unwrap();
    assert_eq!(probe.status(), 200);
}

#[tokio::test]
async fn an_index_that_is_no_number_is_refused() {
    let (vault, _) = vault_and_reads().await;
    for index in ["", "-1", "+1", "1.5", "soon", "18446744073709551616", "1, 2"] {
        let refused = expect(vault.request(Method::GET, "/v1/secrets/a").header(INDEX, index), 400).await;
        assert_eq!(refused["error"], "X-Vault-Index must be one number, as an answer had it", "{index}");
    }
    let mut connection = Connection::open(vault.address()).await;
    let twice = connection.exchange("GET", "/v1/secrets/a", &[(INDEX, "1"), (INDEX, "1")], "").await;
    assert_eq!(twice.status, 400);
}
