//! No secret leaves the vault but in the answer that it was asked for in: not into a file, a log line, an error,
//! a metric or an argument list, as it is or encoded. The environment, from which the vault gets its own secrets,
//! is left out by nature.

use std::time::Duration;

use base64::engine::Engine;
use base64::engine::general_purpose::STANDARD;
use hyperion_vault_api::endpoint::{Endpoint, ROUTES};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::callers::{BEHIND_PROXY, from_address};
use crate::leak::{Canaries, canary, files_under};
use crate::stopped::open_node;
use crate::vault::Vault;

/// Its readers are on 10.0.0.0/8; it is locked out of, and asked without leave, from elsewhere.
const READER: &str = "10.0.0.1";
const STRANGER: &str = "192.0.2.1";

/// A vault, the secrets that it was told or has told, and all that it said beside them.
struct Run {
    vault: Vault,
    http: Client,
    admin: String,
    canaries: Canaries,
    /// Answers that may hold no secret, and what they answered.
    said: Vec<(String, String)>,
}

impl Run {
    fn start() -> Run {
        let mut canaries = Canaries::default();
        let admin = format!("hvt_{}", canary("bootstrap token"));
        let master_key = STANDARD.encode(Sha256::digest("master key"));
        canaries.add("bootstrap token", &admin);
        canaries.add("master key", &master_key);
        let settings = [
            ("VAULT_BOOTSTRAP_TOKEN", admin.as_str()),
            ("VAULT_LOCAL_MASTER_KEY", master_key.as_str()),
            ("VAULT_LOG", "trace"),
            ("VAULT_AUTH_MAX_FAILURES", "20"),
            ("VAULT_AUDIT_SEGMENT_BYTES", "65536"),
            // Data keys are unwrapped again and again.
            ("VAULT_DEK_CACHE_TTL_SECS", "1"),
        ];
        let settings = [&BEHIND_PROXY[..], &settings[..]].concat();
        let vault = Vault::start(&settings);
        Run { http: vault.http.clone(), vault, admin, canaries, said: Vec::new() }
    }

    /// A secret that this run gives to the vault.
    fn secret(&mut self, label: &str) -> String {
        let secret = canary(label);
        self.canaries.add(label, &secret);
        secret
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.vault.address());
        from_address(self.http.request(method, url), READER)
    }

    fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(&self.admin)
    }

    /// Sends what is answered without any secret.
    async fn silent(&mut self, request: RequestBuilder, status: u16) -> Value {
        let response = request.send().await.unwrap();
        let (what, headers) = describe(&response, status);
        let body = response.text().await.unwrap();
        let answer = serde_json::from_str(&body).unwrap_or(Value::Null);
        self.said.push((what, headers + &body));
        answer
    }

    /// Sends what is answered with a secret; what it tells is a secret from now on.
    async fn telling(&mut self, label: &str, request: RequestBuilder, status: u16) -> Value {
        let response = request.send().await.unwrap();
        let (what, headers) = describe(&response, status);
        let answer: Value = response.json().await.unwrap();
        self.said.push((what, headers));
        for field in ["value", "username", "password", "token"] {
            if let Some(secret) = answer[field].as_str() {
                self.canaries.add(&format!("{label}: {field}"), secret);
            }
        }
        answer
    }

    /// Looks through everything that was said and everything that lies on the disk.
    fn expect_no_leak(&self) {
        let searcher = self.canaries.searcher();
        for (what, text) in &self.said {
            searcher.expect_none(what, text.as_bytes());
        }
        searcher.expect_none_under(self.vault.home());
    }

    fn expect_no_leak_in_arguments(&self) {
        let arguments = std::fs::read(format!("/proc/{}/cmdline", self.vault.pid())).unwrap();
        assert!(String::from_utf8_lossy(&arguments).contains("server"));
        self.canaries.searcher().expect_none("the argument list", &arguments);
    }
}

#[track_caller]
fn describe(response: &Response, status: u16) -> (String, String) {
    let url = response.url().path().to_owned();
    assert_eq!(response.status().as_u16(), status, "{url}");
    (format!("answer {status} of {url}"), format!("{:?}\n", response.headers()))
}

#[tokio::test]
async fn no_secret_is_in_a_file_a_log_an_error_a_metric_or_an_argument_list() {
    let mut run = Run::start();
    tour(&mut run, "http1").await;
    run.expect_no_leak_in_arguments();
    assert_eq!(run.vault.terminate().code(), Some(0));
    assert!(run.vault.log().contains("DEBUG"), "the log says all it can");
    run.expect_no_leak();

    // The other protocol, and an end without a stop.
    run.vault.resume();
    run.http = Client::builder().http2_prior_knowledge().build().unwrap();
    tour(&mut run, "http2").await;
    every_endpoint_was_called(&mut run).await;
    run.expect_no_leak_in_arguments();
    run.vault.kill();
    assert!(run.vault.log().contains("TRACE"), "the log says all it can, HTTP/2's frames included");
    run.expect_no_leak();

    take_snapshot(&run.vault).await;
    run.expect_no_leak();
    what_may_be_there_is_found(&run);
}

/// Everything that can be done with a vault, done right and done wrong, under names of its own.
async fn tour(run: &mut Run, name: &str) {
    manual_secrets(run, name).await;
    generated_secrets(run, name).await;
    roles_and_tokens(run, name).await;
    malformed_requests(run, name).await;
    refusals(run, name).await;
    let metrics = run.request(Method::GET, "/metrics");
    let metrics = metrics.bearer_auth(&run.admin);
    run.silent(metrics, 200).await;
    let audit = run.admin(Method::GET, "/v1/admin/audit?limit=1000");
    assert!(!run.silent(audit, 200).await["records"].as_array().unwrap().is_empty());
}

async fn manual_secrets(run: &mut Run, tour: &str) {
    let opaque = format!("/v1/secrets/{tour}/opaque");
    let value = run.secret(&format!("{tour} value"));
    let body =
        json!({"name": format!("{tour}/opaque"), "kind": "manual", "value": value, "grace_period_secs": 60});
    run.telling("created", run.admin(Method::POST, "/v1/secrets").json(&body), 201).await;
    run.silent(run.admin(Method::POST, "/v1/secrets").json(&body), 409).await;
    let next = run.secret(&format!("{tour} next value"));
    let change = json!({"value": next});
    let put = run.admin(Method::PUT, &opaque).json(&change);
    run.silent(put.header("if-match", "\"1\""), 200).await;
    let stale = run.admin(Method::PUT, &opaque).json(&change);
    run.silent(stale.header("if-match", "\"1\""), 412).await;
    for (value, valid) in [(&value, true), (&next, true), (&run.secret("a guess"), false)] {
        let verify = run.request(Method::POST, &format!("{opaque}/verify")).json(&json!({"value": value}));
        assert_eq!(run.silent(verify, 200).await["valid"], valid);
    }
    assert_eq!(run.telling("read", run.request(Method::GET, &opaque), 200).await["value"], next);
    run.telling("read", run.request(Method::GET, &format!("{opaque}?version=1")), 200).await;
    run.silent(run.admin(Method::GET, &format!("/v1/versions/{tour}/opaque")), 200).await;
    run.silent(run.admin(Method::POST, &format!("{opaque}/rotate")), 400).await;

    let (username, password) = (run.secret(&format!("{tour} user")), run.secret(&format!("{tour} password")));
    let pair = format!("{tour}/pair");
    let body = json!({"name": pair, "kind": "manual", "username": username, "password": password});
    run.telling("created", run.admin(Method::POST, "/v1/secrets").json(&body), 201).await;
    let change = json!({"password": run.secret(&format!("{tour} next password"))});
    run.silent(run.admin(Method::PUT, &format!("/v1/secrets/{pair}")).json(&change), 200).await;
    let mixed = json!({"value": password});
    run.silent(run.admin(Method::PUT, &format!("/v1/secrets/{pair}")).json(&mixed), 400).await;
    let batch = json!({"names": [&pair, format!("{tour}/opaque"), "no/such"]});
    let batch = run.request(Method::POST, "/v1/batch/secrets").json(&batch);
    run.telling("batch", batch, 200).await;
    run.silent(run.admin(Method::GET, &format!("/v1/secrets?prefix={tour}")), 200).await;
    run.silent(run.admin(Method::DELETE, &opaque), 204).await;
    run.silent(run.request(Method::GET, &opaque), 404).await;
}

/// Generated, rotated on demand and on schedule, expired.
async fn generated_secrets(run: &mut Run, tour: &str) {
    let (slow, fast) = (format!("{tour}/slow"), format!("{tour}/fast"));
    let username = run.secret(&format!("{tour} automatic user"));
    let body =
        json!({"name": slow, "kind": "automatic", "username": username, "rotation_interval_secs": 3_600});
    run.telling("created", run.admin(Method::POST, "/v1/secrets").json(&body), 201).await;
    run.telling("rotated", run.admin(Method::POST, &format!("/v1/secrets/{slow}/rotate")), 200).await;
    let body =
        json!({"name": fast, "kind": "automatic", "rotation_interval_secs": 1, "grace_period_secs": 1});
    run.telling("created", run.admin(Method::POST, "/v1/secrets").json(&body), 201).await;
    let begun = Instant::now();
    loop {
        let read = run.request(Method::GET, &format!("/v1/secrets/{fast}"));
        let version = run.telling("scheduled", read, 200).await["version"].as_u64().unwrap();
        let versions = run.admin(Method::GET, &format!("/v1/versions/{fast}"));
        let oldest = run.silent(versions, 200).await[0]["version"].as_u64().unwrap();
        if version >= 3 && oldest >= 2 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "at version {version}, {oldest} still there");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    run.silent(run.request(Method::GET, &format!("/v1/secrets/{fast}?version=1")), 404).await;
    run.silent(run.admin(Method::DELETE, &format!("/v1/secrets/{fast}")), 204).await;
}

async fn roles_and_tokens(run: &mut Run, tour: &str) {
    let role = json!({"name": tour, "permissions": [{"action": "read", "path": "a/*"}]});
    run.silent(run.admin(Method::POST, "/v1/roles").json(&role), 201).await;
    run.silent(run.admin(Method::GET, "/v1/roles"), 200).await;
    run.silent(run.admin(Method::GET, &format!("/v1/roles/{tour}")), 200).await;
    let permissions = json!({"permissions": [{"action": "update", "path": "*"}]});
    let put = run.admin(Method::PUT, &format!("/v1/roles/{tour}/permissions"));
    run.silent(put.json(&permissions), 200).await;
    let body = json!({"name": tour, "role": tour, "expires_in_secs": 3_600, "allowed_ips": ["10.0.0.0/8"]});
    let issued = run.telling("issued", run.admin(Method::POST, "/v1/tokens").json(&body), 201).await;
    let token = issued["token"].as_str().unwrap().to_owned();
    run.silent(run.admin(Method::POST, "/v1/tokens").json(&body), 409).await;
    run.silent(run.admin(Method::GET, "/v1/tokens"), 200).await;

    let used = |run: &Run, path: &str| run.request(Method::GET, path).bearer_auth(&token);
    run.silent(used(run, "/v1/secrets"), 200).await;
    run.silent(used(run, "/v1/roles"), 403).await;
    let elsewhere = run.http.get(format!("http://{}/v1/secrets", run.vault.address()));
    run.silent(from_address(elsewhere, "192.0.2.7").bearer_auth(&token), 401).await;
    run.silent(run.admin(Method::DELETE, &format!("/v1/tokens/{tour}")), 204).await;
    run.silent(used(run, "/v1/secrets"), 401).await;
    run.silent(run.admin(Method::DELETE, &format!("/v1/roles/{tour}")), 204).await;
}

/// Secrets where they don't belong: the refusal doesn't repeat them, and nobody writes them down.
async fn malformed_requests(run: &mut Run, tour: &str) {
    let stray = run.secret(&format!("{tour} stray"));
    let long = stray.repeat(70_000 / stray.len());
    let bodies = [
        format!(r#"{{"name":"a","kind":"manual","value":"{stray}""#),
        format!(r#"{{"name":"a","kind":"manual","value":"{stray}","value":"{stray}"}}"#),
        format!(r#"{{"name":"a","kind":"manual","value":["{stray}"]}}"#),
        format!(r#"{{"name":"a","kind":"{stray}","value":"x"}}"#),
        format!(r#"{{"name":"a","kind":"manual","{stray}":"x"}}"#),
        format!(r#"{{"name":"a","kind":"manual","value":"x","grace_period_secs":"{stray}"}}"#),
        format!(r#"{{"name":"a","kind":"manual","value":"{stray}","rotation_interval_secs":1}}"#),
        format!(r#"{{"name":"a","kind":"manual","value":"{stray}","username":"{stray}"}}"#),
        format!(r#"{{"name":"a","kind":"manual","username":"{stray}","password":""}}"#),
        format!(r#"{{"name":"a","kind":"manual","value":"{long}"}}"#),
        format!(r#""{stray}""#),
        stray.clone(),
    ];
    for body in bodies {
        let request = run.admin(Method::POST, "/v1/secrets").header("content-type", "application/json");
        run.silent(request.body(body), 400).await;
    }
    let form = run.admin(Method::POST, "/v1/secrets").header("content-type", "text/plain");
    run.silent(form.body(stray.clone()), 415).await;
    let huge = run.admin(Method::POST, "/v1/secrets").header("content-type", "application/json");
    run.silent(huge.body(stray.repeat((1 << 20) / stray.len() + 1)), 413).await;
    for query in ["limit", "after", "prefix", &stray] {
        let status = if matches!(query, "after" | "prefix") { 200 } else { 400 };
        run.silent(run.admin(Method::GET, &format!("/v1/secrets?{query}={stray}")), status).await;
    }
    for query in ["from", "to", "action", "outcome", "before"] {
        run.silent(run.admin(Method::GET, &format!("/v1/admin/audit?{query}={stray}")), 400).await;
    }
    let verify = run.request(Method::POST, "/v1/secrets/a/verify");
    run.silent(verify.json(&json!({"value": [stray]})), 400).await;
    let put = run.admin(Method::PUT, "/v1/secrets/a").json(&json!({"value": stray}));
    run.silent(put.header("if-match", &stray), 400).await;
    let token = json!({"name": "a", "role": "a", "allowed_ips": [stray]});
    run.silent(run.admin(Method::POST, "/v1/tokens").json(&token), 400).await;
    let role = json!({"name": "a", "permissions": [{"action": stray, "path": "*"}]});
    run.silent(run.admin(Method::POST, "/v1/roles").json(&role), 400).await;
}

/// Tokens that are none, clients that may not, and a lockout that is listed and lifted.
async fn refusals(run: &mut Run, tour: &str) {
    let wrong = run.secret(&format!("{tour} wrong token"));
    let list = format!("http://{}/v1/secrets", run.vault.address());
    let guess = |run: &Run| from_address(run.http.get(&list), STRANGER).bearer_auth(&wrong);
    for _ in 0..20 {
        run.silent(guess(run), 401).await;
    }
    run.silent(guess(run), 429).await;
    let locked = run.silent(run.admin(Method::GET, "/v1/admin/lockouts"), 200).await;
    assert_eq!(locked.as_array().unwrap().len(), 1, "{locked}");
    run.silent(run.admin(Method::DELETE, &format!("/v1/admin/lockouts/{STRANGER}")), 204).await;
    let read = format!("http://{}/v1/secrets/{tour}/pair", run.vault.address());
    run.silent(from_address(run.http.get(&read), STRANGER), 403).await;
    run.silent(run.admin(Method::DELETE, &format!("/v1/admin/lockouts/{STRANGER}")), 404).await;
    let basic = from_address(run.http.get(&list), "192.0.2.8");
    run.silent(basic.header("authorization", format!("Basic {wrong}")), 401).await;
    run.silent(run.http.get(&read).header("x-forwarded-for", &wrong), 403).await;
    let elsewhere = from_address(run.http.get(&read), "192.0.2.9");
    run.silent(elsewhere.query(&[("version", &wrong)]), 403).await;
}

/// What is changed of a cluster, as far as a vault can that is alone.
async fn cluster(run: &mut Run) {
    let nodes = "/v1/admin/cluster/nodes";
    run.silent(run.admin(Method::GET, "/v1/admin/cluster"), 200).await;
    run.silent(run.admin(Method::POST, nodes).json(&json!({"id": 1, "address": "127.0.0.1:8300"})), 409)
        .await;
    run.silent(run.admin(Method::POST, &format!("{nodes}/1/promote")), 200).await;
    run.silent(run.admin(Method::DELETE, &format!("{nodes}/9")), 404).await;
    run.silent(run.admin(Method::POST, "/v1/admin/cluster/step-down"), 409).await;
}

/// Every data key is looked at, and those of the master key before are wrapped anew.
async fn rewrap(run: &mut Run) {
    run.silent(run.admin(Method::POST, "/v1/admin/kms/rewrap"), 200).await;
    run.silent(run.admin(Method::GET, "/v1/admin/kms/rewrap/status"), 200).await;
}

/// A route that is added and not walked here fails.
async fn every_endpoint_was_called(run: &mut Run) {
    cluster(run).await;
    rewrap(run).await;
    for probe in ["/healthz", "/readyz"] {
        run.silent(run.request(Method::GET, probe), 200).await;
    }
    let metrics = run.admin(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    for route in &ROUTES {
        let status = match route.endpoint {
            Endpoint::AddNode | Endpoint::StepDown => 409,
            Endpoint::RemoveNode => 404,
            _ => route.success,
        };
        let count = format!("endpoint=\"{}\",status=\"{status}\"", route.endpoint.as_str());
        assert!(metrics.contains(&count), "{route:?} was not called");
    }
}

/// The snapshot that the vault takes after some thousand changes, taken now.
async fn take_snapshot(vault: &Vault) {
    let node = open_node(vault).await;
    node.request_snapshot().await.unwrap();
    let begun = Instant::now();
    while node.stats().snapshots.get() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "no snapshot comes");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    node.shutdown().await.unwrap();
}

/// The search itself works on these files: names of secrets are in them, and the files are all there.
fn what_may_be_there_is_found(run: &Run) {
    let mut names = Canaries::default();
    names.add("a name", "http1/opaque");
    let searcher = names.searcher();
    let files = files_under(run.vault.home());
    let with_name = |part: &str| {
        let holds = |path: &&std::path::PathBuf| searcher.find(&std::fs::read(path).unwrap()).is_some();
        let of_part = files.iter().filter(|path| path.to_string_lossy().contains(part));
        of_part.filter(holds).count()
    };
    assert!(with_name("audit.jsonl") > 0, "{files:?}");
    assert!(with_name("vault.raft.redb") > 0, "{files:?}");
    assert!(files.iter().any(|path| path.to_string_lossy().contains("snapshots/")), "{files:?}");
    assert!(files.iter().filter(|path| path.to_string_lossy().contains("audit.jsonl")).count() > 2);
}
