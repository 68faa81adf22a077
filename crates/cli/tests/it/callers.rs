//! Those who call a vault: tokens, roles, and client addresses that a proxy speaks for.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::vault::Vault;

/// The test's own connection is a trusted proxy: each request can come from an address of its choice.
pub(crate) const BEHIND_PROXY: [(&str, &str); 3] = [
    ("VAULT_TRUST_PROXY", "true"),
    ("VAULT_TRUSTED_PROXIES", "127.0.0.1"),
    // Readers are on 10.0.0.0/8, strangers anywhere else.
    ("VAULT_ALLOWED_IPS", "10.0.0.0/8"),
];

/// [`BEHIND_PROXY`] and more.
pub(crate) fn behind_proxy<'a>(settings: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    BEHIND_PROXY.iter().chain(settings).copied().collect()
}

/// The request as one that the trusted proxy forwards from `address`.
pub(crate) fn from_address(request: RequestBuilder, address: &str) -> RequestBuilder {
    request.header("x-forwarded-for", address)
}

/// Creates a role with these `(action, path)`.
pub(crate) async fn create_role(vault: &Vault, name: &str, permissions: &[(&str, &str)]) {
    let permissions: Vec<Value> =
        permissions.iter().map(|(action, path)| json!({"action": action, "path": path})).collect();
    vault.expect(Method::POST, "/v1/roles", json!({"name": name, "permissions": permissions}), 201).await;
}

/// Issues a token with this body, and answers with it.
pub(crate) async fn issue_token(vault: &Vault, body: Value) -> String {
    let issued = vault.expect(Method::POST, "/v1/tokens", body, 201).await;
    issued["token"].as_str().unwrap().to_owned()
}

/// A token of a role of the same name, which is created with these `(action, path)`.
pub(crate) async fn token_granted(vault: &Vault, name: &str, permissions: &[(&str, &str)]) -> String {
    create_role(vault, name, permissions).await;
    issue_token(vault, json!({"name": name, "role": name})).await
}

pub(crate) async fn revoke_token(vault: &Vault, name: &str) {
    vault.expect(Method::DELETE, &format!("/v1/tokens/{name}"), Value::Null, 204).await;
}
