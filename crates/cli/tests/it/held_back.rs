//! Requests whose bodies are held back: a caller is looked at again when the body is there. Before, a token
//! that was revoked meanwhile still issued another, and guesses that were let in together were all answered.

use reqwest::Method;
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::vault::Vault;

/// A request of which all but the last byte of the body is sent.
async fn hold_back(vault: &Vault, path: &str, token: &str, body: &str) -> Connection {
    let mut connection = Connection::open(vault.address()).await;
    let (bearer, length) = (format!("Bearer {token}"), body.len().to_string());
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("content-length", &length),
    ];
    connection.send("POST", path, &headers, &body[..body.len() - 1]).await;
    connection
}

#[tokio::test]
async fn a_token_revoked_while_its_request_is_under_way_does_nothing_more() {
    let vault = Vault::start(&[]);
    let issued =
        vault.expect(Method::POST, "/v1/tokens", json!({"name": "mallory", "role": "admin"}), 201).await;
    let body = r#"{"name":"heir","role":"admin"}"#;
    let mut held = hold_back(&vault, "/v1/tokens", issued["token"].as_str().unwrap(), body).await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    vault.expect(Method::DELETE, "/v1/tokens/mallory", Value::Null, 204).await;
    held.finish("}").await;
    assert_eq!(held.answer().await.status, 401);
    let tokens = vault.expect(Method::GET, "/v1/tokens", Value::Null, 200).await;
    assert!(!tokens.to_string().contains("heir"), "{tokens}");
}

#[tokio::test]
async fn guesses_that_are_let_in_together_are_not_answered_beyond_the_limit() {
    let vault = Vault::start(&[("VAULT_AUTH_MAX_FAILURES", "5")]);
    let secret = json!({"name": "pin", "kind": "manual", "value": "0077"});
    vault.expect(Method::POST, "/v1/secrets", secret, 201).await;
    let mut held = Vec::new();
    for guess in 0..40 {
        let body = format!(r#"{{"value":"{guess:04}"}}"#);
        held.push(hold_back(&vault, "/v1/secrets/pin/verify", "none", &body).await);
    }
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    for connection in &mut held {
        connection.finish("}").await;
    }
    let mut verdicts = 0;
    for connection in &mut held {
        let answer = connection.answer().await;
        assert!([200, 429].contains(&answer.status), "{answer:?}");
        verdicts += u32::from(answer.status == 200);
    }
    assert!(verdicts <= 5, "{verdicts} guesses were answered");
}
