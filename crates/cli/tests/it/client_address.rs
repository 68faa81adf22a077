//! Whose address a request counts for.

use reqwest::Method;
use serde_json::{Value, json};

use crate::trail::{of_requests, records};
use crate::vault::{ADMIN, Vault, expect};

/// A vault with one secret, `a`.
async fn vault(settings: &[(&str, &str)]) -> Vault {
    let vault = Vault::start(settings);
    let body = json!({"name": "a", "kind": "manual", "value": "v"});
    vault.expect(Method::POST, "/v1/secrets", body, 201).await;
    vault
}

/// Reads `a` with these `X-Forwarded-For` headers: the status, and the client as the audit trail has it.
async fn read(vault: &Vault, headers: &[&str]) -> (u16, String) {
    let request = vault.request(Method::GET, "/v1/secrets/a");
    let request = headers.iter().fold(request, |request, header| request.header("x-forwarded-for", *header));
    let status = request.send().await.unwrap().status().as_u16();
    let last = of_requests(records(vault)).pop().unwrap();
    assert_eq!(last["status"], status);
    (status, last["client"].as_str().unwrap().to_owned())
}

fn seen(status: u16, client: &str) -> (u16, String) {
    (status, client.to_owned())
}

#[tokio::test]
async fn without_trust_the_header_counts_for_nothing() {
    let vault = vault(&[("VAULT_ALLOWED_IPS", "10.0.0.1")]).await;
    assert_eq!(read(&vault, &["10.0.0.1"]).await, seen(403, "127.0.0.1"));
    assert_eq!(read(&vault, &["nonsense"]).await, seen(403, "127.0.0.1"));
}

#[tokio::test]
async fn a_peer_that_is_no_trusted_proxy_speaks_for_itself() {
    let settings = [
        ("VAULT_ALLOWED_IPS", "10.0.0.1"),
        ("VAULT_TRUST_PROXY", "true"),
        ("VAULT_TRUSTED_PROXIES", "192.0.2.0/24"),
    ];
    let mut vault = vault(&settings).await;
    assert_eq!(read(&vault, &["10.0.0.1"]).await, seen(403, "127.0.0.1"));
    assert_eq!(read(&vault, &["nonsense"]).await, seen(403, "127.0.0.1"));
    vault.terminate();
    vault.set("VAULT_TRUSTED_PROXIES", "192.0.2.0/24,127.0.0.1");
    vault.resume();
    assert_eq!(read(&vault, &["10.0.0.1"]).await, seen(200, "10.0.0.1"));
}

#[tokio::test]
async fn the_client_is_the_first_hop_from_the_right_that_is_no_proxy() {
    let settings = [
        ("VAULT_ALLOWED_IPS", "10.0.0.1,2001:db8::/32"),
        ("VAULT_TRUST_PROXY", "true"),
        ("VAULT_TRUSTED_PROXIES", "127.0.0.1,192.0.2.0/24"),
    ];
    let vault = vault(&settings).await;
    for (headers, status, client) in [
        (&["10.0.0.1"][..], 200, "10.0.0.1"),
        (&["10.0.0.1, 192.0.2.9"], 200, "10.0.0.1"),
        (&["10.0.0.1", "192.0.2.9, 192.0.2.8"], 200, "10.0.0.1"),
        // Whatever stands further left was written by who wants to be somebody else.
        (&["10.0.0.1, 198.51.100.1"], 403, "198.51.100.1"),
        (&["10.0.0.1, 198.51.100.1, 192.0.2.9"], 403, "198.51.100.1"),
        (&["10.0.0.1", "198.51.100.1"], 403, "198.51.100.1"),
        (&["::ffff:10.0.0.1"], 200, "10.0.0.1"),
        (&["[2001:db8::1]:443"], 200, "2001:db8::1"),
        (&["192.0.2.7"], 403, "192.0.2.7"),
        (&[], 403, "127.0.0.1"),
    ] {
        assert_eq!(read(&vault, headers).await, seen(status, client), "{headers:?}");
    }
}

#[tokio::test]
async fn without_a_list_of_proxies_the_rightmost_hop_counts() {
    let vault = vault(&[("VAULT_ALLOWED_IPS", "10.0.0.1"), ("VAULT_TRUST_PROXY", "true")]).await;
    assert_eq!(read(&vault, &["10.0.0.1"]).await, seen(200, "10.0.0.1"));
    assert_eq!(read(&vault, &["10.0.0.1, 192.0.2.9"]).await, seen(403, "192.0.2.9"));
}

#[tokio::test]
async fn a_header_of_a_trusted_proxy_that_can_not_be_read_denies_everything() {
    let settings = [("VAULT_TRUST_PROXY", "true"), ("VAULT_TRUSTED_PROXIES", "127.0.0.1")];
    let vault = vault(&settings).await;
    let too_many = ["10.0.0.1"; 65].join(",");
    for header in
        ["", "unknown", "10.0.0.1,", "10.0.0.1, nonsense", "nonsense, 10.0.0.1", "10.0.0.256", &too_many]
    {
        assert_eq!(read(&vault, &[header]).await, seen(403, "127.0.0.1"), "{header:?}");
        let as_admin = vault.admin(Method::GET, "/v1/secrets").header("x-forwarded-for", header);
        expect(as_admin, 403).await;
    }
}

/// The one socket that serves both families shows an IPv4 client as `::ffff:a.b.c.d`.
#[tokio::test]
async fn an_ipv4_client_on_an_ipv6_socket_is_judged_as_ipv4() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("SKIPPED: this machine has no IPv6; the mapped peer address was not tested");
        return;
    }
    let vault = Vault::start(&[("VAULT_API_LISTEN", "[::]:0"), ("VAULT_ALLOWED_IPS", "127.0.0.1")]);
    let port = vault.address().rsplit_once(':').unwrap().1;
    let at = |host: &str, path: &str| format!("http://{host}:{port}{path}");
    let body = json!({"name": "a", "kind": "manual", "value": "v"});
    let create = vault.http.post(at("127.0.0.1", "/v1/secrets")).bearer_auth(ADMIN).json(&body);
    expect(create, 201).await;
    for (host, status, client) in [("127.0.0.1", 200, "127.0.0.1"), ("[::1]", 403, "::1")] {
        expect(vault.http.get(at(host, "/v1/secrets/a")), status).await;
        let last = of_requests(records(&vault)).pop().unwrap();
        assert_eq!((&last["client"], &last["status"]), (&Value::from(client), &Value::from(status)));
    }
}
