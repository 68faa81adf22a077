//! What every answer has: JSON errors, the headers that go with them, a request id that the trail knows.

use std::collections::HashSet;

use serde_json::Value;

use crate::connection::{Answer, Connection};
use crate::trail::record_of;
use crate::vault::{ADMIN, Vault};

const JSON: (&str, &str) = ("content-type", "application/json");
const CREATE: &str = r#"{"name": "a", "kind": "manual", "value": "the-material"}"#;

struct Caller {
    connection: Connection,
    bearer: String,
}

impl Caller {
    async fn of(vault: &Vault) -> Caller {
        Caller { connection: Connection::open(vault.address()).await, bearer: format!("Bearer {ADMIN}") }
    }

    /// A request of the admin.
    async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut all = vec![("authorization", self.bearer.as_str())];
        all.extend(headers);
        self.connection.exchange(method, path, &all, body).await
    }
}

#[track_caller]
fn error_of(answer: &Answer) -> String {
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    body["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_method_that_a_path_has_not_is_refused_with_those_it_has() {
    let vault = Vault::start(&[]);
    let mut caller = Caller::of(&vault).await;
    for (method, path, allowed) in [
        ("PATCH", "/v1/secrets", "POST, GET"),
        ("POST", "/v1/secrets/a", "GET, PUT, DELETE"),
        ("PATCH", "/v1/secrets/a/rotate", "GET, PUT, DELETE, POST"),
        ("GET", "/v1/batch/secrets", "POST"),
        ("PUT", "/v1/roles/ops", "GET, DELETE"),
        ("GET", "/v1/roles/ops/permissions", "PUT"),
        ("GET", "/v1/tokens/t", "DELETE"),
        ("POST", "/v1/admin/audit", "GET"),
        ("DELETE", "/metrics", "GET"),
        ("POST", "/healthz", "GET"),
    ] {
        let answer = caller.ask(method, path, &[], "").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)), "{method} {path}");
        error_of(&answer);
    }
}

#[tokio::test]
async fn errors_are_json_and_say_nothing_of_what_was_sent() {
    let vault = Vault::start(&[]);
    let mut caller = Caller::of(&vault).await;
    assert_eq!(caller.ask("POST", "/v1/secrets", &[JSON], CREATE).await.status, 201);
    let canary = "canary-4711";
    let with_canary = format!(r#"{{"name": "b", "kind": "manual", "value": "{canary}""#);
    let unknown_field = format!(r#"{with_canary}, "{canary}": 1}}"#);
    let duplicate = format!(r#"{with_canary}, "value": "{canary}"}}"#);
    let text = ("content-type", "text/plain");
    let stale = ("if-match", "\"7\"");
    for (method, path, headers, body, status) in [
        ("GET", "/v1/canary-4711", &[][..], "", 404),
        ("GET", "/v1/secrets/canary-4711", &[], "", 404),
        ("GET", "/v1/secrets?canary-4711=1", &[], "", 400),
        ("GET", "/v1/secrets/canary-4711*", &[], "", 400),
        ("POST", "/v1/secrets", &[JSON], with_canary.as_str(), 400),
        ("POST", "/v1/secrets", &[JSON], &unknown_field, 400),
        ("POST", "/v1/secrets", &[JSON], &duplicate, 400),
        ("POST", "/v1/secrets", &[text], CREATE, 415),
        ("POST", "/v1/secrets", &[], CREATE, 415),
        ("POST", "/v1/secrets", &[JSON, JSON], CREATE, 415),
        ("POST", "/v1/secrets", &[JSON], CREATE, 409),
        ("PUT", "/v1/secrets/a", &[JSON, stale], r#"{"value": "canary-4711"}"#, 412),
        ("PUT", "/v1/secrets/a", &[JSON, ("if-match", "canary-4711")], r#"{"value": "x"}"#, 400),
        ("POST", "/v1/secrets/a/rotate", &[], "", 400),
    ] {
        let answer = caller.ask(method, path, headers, body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
        let error = error_of(&answer);
        assert!(!error.contains(canary), "{error}");
    }
}

#[tokio::test]
async fn a_charset_beside_the_content_type_is_fine_and_if_match_lets_the_right_version_through() {
    let vault = Vault::start(&[]);
    let mut caller = Caller::of(&vault).await;
    let with_charset = ("content-type", "Application/JSON; charset=utf-8");
    let created = caller.ask("POST", "/v1/secrets", &[with_charset], CREATE).await;
    assert_eq!((created.status, created.header("etag")), (201, Some("\"1\"")));
    let change = r#"{"value": "two"}"#;
    let changed = caller.ask("PUT", "/v1/secrets/a", &[JSON, ("if-match", "\"1\"")], change).await;
    assert_eq!((changed.status, changed.header("etag")), (200, Some("\"2\"")));
    let late = caller.ask("PUT", "/v1/secrets/a", &[JSON, ("if-match", "\"1\"")], change).await;
    assert_eq!(late.status, 412);
    let read = caller.ask("GET", "/v1/secrets/a", &[], "").await;
    assert_eq!(read.header("etag"), Some("\"2\""));
}

#[tokio::test]
async fn every_answer_has_a_request_id_of_its_own_and_may_not_be_stored() {
    let vault = Vault::start(&[("VAULT_ALLOWED_IPS", "")]);
    let mut caller = Caller::of(&vault).await;
    let mut ids = HashSet::new();
    for (method, path, body, status) in [
        ("POST", "/v1/secrets", CREATE, 201),
        ("GET", "/v1/secrets", "", 200),
        ("GET", "/v1/secrets/a", "", 403),
        ("GET", "/v1/nowhere", "", 404),
        ("PATCH", "/v1/secrets", "", 405),
        ("POST", "/v1/secrets", "{", 400),
        ("DELETE", "/v1/secrets/a", "", 204),
        ("GET", "/healthz", "", 200),
        ("GET", "/readyz", "", 200),
        ("GET", "/metrics", "", 200),
    ] {
        // A client's own id is not taken over: it could be somebody else's.
        let headers = [JSON, ("x-request-id", "mine")];
        let answer = caller.ask(method, path, &headers, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {path}");
        assert_eq!(answer.header("www-authenticate"), None, "{method} {path}");
        assert!(ids.insert(answer.request_id().to_owned()), "{answer:?}");
        if !path.ends_with('z') {
            assert_eq!(record_of(&vault, answer.request_id())["status"], status, "{method} {path}");
        }
        if path == "/metrics" {
            let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            assert_eq!(answer.header("content-type"), Some(open_metrics));
        }
    }
    let anonymous = caller.connection.exchange("GET", "/v1/roles", &[], "").await;
    assert_eq!((anonymous.status, anonymous.header("www-authenticate")), (401, Some("Bearer")));
}
