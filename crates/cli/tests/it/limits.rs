//! The limits of secrets: what lies on them is taken, what lies one beyond is refused.

use reqwest::Method;
use serde_json::{Value, json};

use crate::vault::{Vault, expect};

const TEN_YEARS_SECS: u64 = 315_576_000;

async fn create(vault: &Vault, body: Value, status: u16) -> Value {
    vault.expect(Method::POST, "/v1/secrets", body, status).await
}

/// A manual secret with these members beside, or in place of, its own.
fn manual(more: Value) -> Value {
    with(json!({"name": "a", "kind": "manual", "value": "v"}), more)
}

fn with(mut body: Value, more: Value) -> Value {
    for (field, value) in more.as_object().unwrap() {
        body[field] = value.clone();
    }
    body
}

async fn delete(vault: &Vault, name: &str) {
    vault.expect(Method::DELETE, &format!("/v1/secrets/{name}"), Value::Null, 204).await;
}

#[tokio::test]
async fn a_name_has_1_to_255_characters_of_the_alphabet_in_whole_segments() {
    let vault = Vault::start(&[]);
    let long = "n".repeat(255);
    for name in ["a", "A-Z_a.z/0-9", "...", "a/..b/.c", "-", &long] {
        create(&vault, manual(json!({"name": name})), 201).await;
        let read = expect(vault.request(Method::GET, &format!("/v1/secrets/{name}")), 200).await;
        assert_eq!(read["name"], name);
        delete(&vault, name).await;
    }
    let too_long = "n".repeat(256);
    for name in [
        "", "/", "/a", "a/", "a//b", ".", "..", "a/..", "a/./b", "a b", "ä", "a\u{0}", "a%2Fb", "a*",
        &too_long,
    ] {
        create(&vault, manual(json!({"name": name})), 400).await;
    }
}

#[tokio::test]
async fn a_value_a_username_and_a_password_have_at_most_65_536_bytes_each() {
    let vault = Vault::start(&[]);
    // Bytes, not characters.
    for longest in ["x".repeat(65_536), "ä".repeat(32_768)] {
        let more = format!("{longest}x");
        create(&vault, manual(json!({"value": longest})), 201).await;
        let read = expect(vault.request(Method::GET, "/v1/secrets/a"), 200).await;
        assert!(read["value"] == longest, "the longest value came back otherwise");
        vault.expect(Method::PUT, "/v1/secrets/a", json!({"value": more}), 400).await;
        delete(&vault, "a").await;
        create(&vault, manual(json!({"value": more})), 400).await;
        let login = json!({"value": null, "username": longest, "password": longest});
        create(&vault, manual(login), 201).await;
        for field in ["username", "password"] {
            vault.expect(Method::PUT, "/v1/secrets/a", json!({field: more}), 400).await;
        }
        delete(&vault, "a").await;
    }
    let verify =
        vault.request(Method::POST, "/v1/secrets/a/verify").json(&json!({"value": "x".repeat(100_000)}));
    assert_eq!(expect(verify, 200).await["valid"], false);
}

#[tokio::test]
async fn a_value_may_be_empty_and_a_username_or_password_may_not() {
    let vault = Vault::start(&[]);
    let created = create(&vault, manual(json!({"value": ""})), 201).await;
    assert_eq!(created["value"], "");
    let verify = vault.request(Method::POST, "/v1/secrets/a/verify").json(&json!({"value": ""}));
    assert_eq!(expect(verify, 200).await, json!({"valid": true, "version": 1}));
    let login = json!({"name": "login", "kind": "manual", "username": "u", "password": "p"});
    for field in ["username", "password"] {
        create(&vault, with(login.clone(), json!({field: ""})), 400).await;
    }
    create(&vault, login, 201).await;
    for field in ["username", "password"] {
        vault.expect(Method::PUT, "/v1/secrets/login", json!({field: ""}), 400).await;
    }
}

#[tokio::test]
async fn a_description_has_at_most_1_024_characters() {
    let vault = Vault::start(&[]);
    let (longest, more) = ("\u{1f511}".repeat(1_024), "d".repeat(1_025));
    create(&vault, manual(json!({"description": more})), 400).await;
    create(&vault, manual(json!({"description": longest})), 201).await;
    vault.expect(Method::PUT, "/v1/secrets/a", json!({"description": more}), 400).await;
    let listed = vault.expect(Method::GET, "/v1/secrets", Value::Null, 200).await;
    assert_eq!(listed[0]["description"], longest);
    let role = json!({"name": "r", "description": more});
    vault.expect(Method::POST, "/v1/roles", role, 400).await;
}

#[tokio::test]
async fn an_interval_and_a_grace_period_have_at_most_ten_years() {
    let vault = Vault::start(&[]);
    let automatic = json!({"name": "a", "kind": "automatic", "rotation_interval_secs": TEN_YEARS_SECS,
        "grace_period_secs": TEN_YEARS_SECS});
    for over in [
        json!({"rotation_interval_secs": TEN_YEARS_SECS + 1}),
        json!({"rotation_interval_secs": u64::MAX}),
        json!({"rotation_interval_secs": 0}),
        json!({"grace_period_secs": TEN_YEARS_SECS + 1}),
        json!({"grace_period_secs": u64::MAX}),
    ] {
        create(&vault, with(automatic.clone(), over.clone()), 400).await;
        create(&vault, automatic.clone(), 201).await;
        vault.expect(Method::PUT, "/v1/secrets/a", over, 400).await;
        delete(&vault, "a").await;
    }
    create(&vault, with(automatic, json!({"rotation_interval_secs": null})), 400).await;
    create(&vault, manual(json!({"rotation_interval_secs": 60})), 400).await;
    create(&vault, manual(json!({"grace_period_secs": TEN_YEARS_SECS})), 201).await;
    vault.expect(Method::PUT, "/v1/secrets/a", json!({"rotation_interval_secs": 60}), 400).await;
    let token = |secs: u64| json!({"name": "t", "role": "admin", "expires_in_secs": secs});
    for secs in [0, TEN_YEARS_SECS + 1, u64::MAX] {
        vault.expect(Method::POST, "/v1/tokens", token(secs), 400).await;
    }
    vault.expect(Method::POST, "/v1/tokens", token(TEN_YEARS_SECS), 201).await;
}

#[tokio::test]
async fn a_batch_has_at_most_256_names() {
    let vault = Vault::start(&[]);
    for name in ["a", "b", "c"] {
        create(&vault, manual(json!({"name": name, "value": name})), 201).await;
    }
    let batch =
        |names: Vec<String>| vault.request(Method::POST, "/v1/batch/secrets").json(&json!({"names": names}));
    let names = |count: usize| {
        let missing = (3..count).map(|number| format!("missing-{number}"));
        ["c".to_owned(), "a".to_owned()]
            .into_iter()
            .chain(missing)
            .chain(["b".to_owned()])
            .collect::<Vec<_>>()
    };
    let read = expect(batch(names(256)), 200).await;
    let values: Vec<_> =
        read.as_array().unwrap().iter().map(|value| value["value"].as_str().unwrap()).collect();
    assert_eq!(values, ["c", "a", "b"], "in the order asked, missing ones left out");
    expect(batch(names(257)), 400).await;
    expect(batch(vec!["a/".to_owned()]), 400).await;
    assert_eq!(expect(batch(Vec::new()), 200).await, json!([]));
}

/// 64 of the largest values, each byte of which JSON writes in six: an answer of 24 MiB.
#[tokio::test]
async fn a_batch_of_the_largest_values_is_answered_whole() {
    let vault = Vault::start(&[]);
    let value = "\u{1}".repeat(65_536);
    create(&vault, manual(json!({"value": value})), 201).await;
    let batch = vault.request(Method::POST, "/v1/batch/secrets").json(&json!({"names": vec!["a"; 64]}));
    let read = expect(batch, 200).await;
    let read = read.as_array().unwrap();
    assert!(read.len() == 64 && read.iter().all(|secret| secret["value"] == value));
}
