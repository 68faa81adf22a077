//! The audit trail: one record for each request, in the order in which a client saw the answers, and no
//! answer without one.

use std::collections::{HashMap, HashSet};

use hyperion_vault_api::endpoint::ROUTES;
use hyperion_vault_server::audit::verify;
use reqwest::Method;
use serde_json::{Value, json};

use crate::callers::{behind_proxy, token_granted};
use crate::connection::{Answer, Connection};
use crate::trail::{of_requests, record_of, records, unchained};
use crate::vault::{ADMIN, Vault};

const JSON: (&str, &str) = ("content-type", "application/json");

/// Who asks, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Admin,
    /// A token whose role grants nothing here.
    Ops,
    /// No token, from an address that may read.
    Reader,
    /// No token, from an address that may not.
    Stranger,
    /// An address that fails until it is locked out.
    Guesser,
    /// A proxy whose header can't be read.
    Garbled,
}

impl Who {
    fn forwarded_for(self) -> &'static str {
        match self {
            Who::Admin | Who::Ops => "192.0.2.1",
            Who::Reader => "10.0.0.1",
            Who::Stranger => "198.51.100.1",
            Who::Guesser => "2001:db8::6",
            Who::Garbled => "nonsense",
        }
    }

    fn client(self) -> &'static str {
        if self == Who::Garbled { "127.0.0.1" } else { self.forwarded_for() }
    }

    fn actor(self) -> &'static str {
        match self {
            Who::Admin => "bootstrap-admin",
            Who::Ops => "ops",
            _ => "anonymous",
        }
    }
}

/// A request, the status of its answer, and what the record says of it: action, name, version. The empty
/// name and version 0 stand for none.
type Step = (Who, &'static str, &'static str, u16, &'static str, &'static str, u64);

/// Every route's success; the other lines prepare it or clear up. A vault that is alone can't make all changes of its
/// members.
#[rustfmt::skip]
const SUCCESSES: [Step; 32] = [
    (Who::Admin, "POST /v1/secrets", r#"{"name": "db/a", "kind": "automatic", "rotation_interval_secs": 86400}"#, 201, "secret.create", "db/a", 1),
    (Who::Admin, "GET /v1/secrets", "", 200, "secret.list", "", 0),
    (Who::Reader, "GET /v1/secrets/db/a", "", 200, "secret.read", "db/a", 1),
    (Who::Reader, "POST /v1/secrets/db/a/verify", r#"{"value": "guess"}"#, 200, "secret.verify", "db/a", 0),
    (Who::Admin, "PUT /v1/secrets/db%2Fa", r#"{"value": "two"}"#, 200, "secret.update", "db/a", 2),
    (Who::Reader, "POST /v1/secrets/db/a/verify", r#"{"value": "two"}"#, 200, "secret.verify", "db/a", 2),
    (Who::Admin, "POST /v1/secrets/db/a/rotate", "", 200, "secret.rotate", "db/a", 3),
    (Who::Reader, "POST /v1/batch/secrets", r#"{"names": ["db/a"]}"#, 200, "secret.batch_read", "", 0),
    (Who::Admin, "GET /v1/versions/db/a", "", 200, "secret.versions", "db/a", 0),
    (Who::Admin, "DELETE /v1/secrets/db/a", "", 204, "secret.delete", "db/a", 3),
    (Who::Admin, "POST /v1/roles", r#"{"name": "r"}"#, 201, "role.create", "r", 0),
    (Who::Admin, "GET /v1/roles", "", 200, "role.list", "", 0),
    (Who::Admin, "GET /v1/roles/r", "", 200, "role.read", "r", 0),
    (Who::Admin, "PUT /v1/roles/r/permissions", r#"{"permissions": []}"#, 200, "role.set_permissions", "r", 0),
    (Who::Admin, "POST /v1/tokens", r#"{"name": "t", "role": "r"}"#, 201, "token.issue", "t", 0),
    (Who::Admin, "GET /v1/tokens", "", 200, "token.list", "", 0),
    (Who::Admin, "DELETE /v1/tokens/t", "", 204, "token.revoke", "t", 0),
    (Who::Admin, "DELETE /v1/roles/r", "", 204, "role.delete", "r", 0),
    (Who::Admin, "GET /v1/admin/audit", "", 200, "audit.read", "", 0),
    (Who::Guesser, "GET /v1/tokens", "", 401, "token.list", "", 0),
    (Who::Guesser, "GET /v1/tokens", "", 401, "token.list", "", 0),
    (Who::Guesser, "GET /v1/tokens", "", 401, "token.list", "", 0),
    (Who::Admin, "GET /v1/admin/lockouts", "", 200, "lockout.list", "", 0),
    (Who::Admin, "DELETE /v1/admin/lockouts/2001:db8::%2F64", "", 204, "lockout.lift", "2001:db8::/64", 0),
    (Who::Admin, "GET /v1/admin/cluster", "", 200, "cluster.read", "", 0),
    (Who::Admin, "POST /v1/admin/cluster/nodes", r#"{"id": 1, "address": "127.0.0.1:8300"}"#, 409, "cluster.add_node", "1", 0),
    (Who::Admin, "POST /v1/admin/cluster/nodes/1/promote", "", 200, "cluster.promote_node", "1", 0),
    (Who::Admin, "DELETE /v1/admin/cluster/nodes/9", "", 404, "cluster.remove_node", "9", 0),
    (Who::Admin, "POST /v1/admin/cluster/step-down", "", 409, "cluster.step_down", "", 0),
    (Who::Admin, "POST /v1/admin/kms/rewrap", "", 200, "kms.rewrap", "", 0),
    (Who::Admin, "GET /v1/admin/kms/rewrap/status", "", 200, "kms.rewrap_status", "", 0),
    (Who::Reader, "GET /metrics", "", 200, "metrics.read", "", 0),
];

/// Refusals of every kind, but for those that take a request of a peculiar form.
#[rustfmt::skip]
const REFUSALS: [Step; 23] = [
    (Who::Admin, "POST /v1/secrets", "{", 400, "secret.create", "", 0),
    (Who::Admin, "POST /v1/secrets", r#"{"name": "a*", "kind": "manual", "value": "v"}"#, 400, "secret.create", "a*", 0),
    (Who::Admin, "GET /v1/secrets?limit=x", "", 400, "secret.list", "", 0),
    (Who::Reader, "GET /v1/secrets/kept/", "", 400, "secret.read", "kept/", 0),
    (Who::Admin, "POST /v1/secrets/kept/rotate", "", 400, "secret.rotate", "kept", 0),
    (Who::Admin, "POST /v1/tokens", r#"{"name": "t", "role": "none"}"#, 400, "token.issue", "t", 0),
    (Who::Reader, "PUT /v1/secrets/kept", r#"{"value": "v"}"#, 401, "secret.update", "kept", 0),
    (Who::Stranger, "DELETE /v1/roles/admin", "", 401, "role.delete", "admin", 0),
    (Who::Stranger, "GET /v1/secrets/kept", "", 403, "secret.read", "kept", 0),
    (Who::Ops, "DELETE /v1/secrets/kept", "", 403, "secret.delete", "kept", 0),
    (Who::Ops, "GET /v1/versions/kept", "", 403, "secret.versions", "kept", 0),
    (Who::Garbled, "GET /v1/secrets/kept", "", 403, "secret.read", "kept", 0),
    (Who::Reader, "GET /v1/secrets/none", "", 404, "secret.read", "none", 0),
    (Who::Admin, "DELETE /v1/tokens/none", "", 404, "token.revoke", "none", 0),
    (Who::Reader, "GET /v1/nowhere", "", 404, "unknown", "", 0),
    (Who::Reader, "PATCH /v1/secrets", "", 405, "unknown", "", 0),
    (Who::Admin, "POST /v1/secrets", r#"{"name": "kept", "kind": "manual", "value": "v"}"#, 409, "secret.create", "kept", 0),
    (Who::Admin, "DELETE /v1/roles/admin", "", 409, "role.delete", "admin", 0),
    (Who::Guesser, "GET /v1/secrets/kept", "", 403, "secret.read", "kept", 0),
    (Who::Guesser, "DELETE /v1/secrets/kept", "", 401, "secret.delete", "kept", 0),
    (Who::Guesser, "DELETE /v1/secrets/kept", "", 401, "secret.delete", "kept", 0),
    (Who::Guesser, "GET /v1/secrets/kept", "", 429, "secret.read", "kept", 0),
    (Who::Guesser, "GET /v1/nowhere", "", 429, "unknown", "", 0),
];

fn outcome(status: u16) -> &'static str {
    match status {
        200..=299 => "ok",
        401 => "unauthenticated",
        403 => "denied",
        404 => "not_found",
        409 | 412 => "conflict",
        413 => "too_large",
        429 => "locked_out",
        _ => "invalid",
    }
}

/// What a record is expected to say.
fn said(step: &Step, request_id: &str) -> Value {
    let (who, _, _, status, action, name, version) = *step;
    json!({
        "request_id": request_id, "client": who.client(), "actor": who.actor(), "action": action,
        "name": (!name.is_empty()).then_some(name), "version": (version > 0).then_some(version),
        "status": status, "outcome": outcome(status),
    })
}

/// The same of a record.
fn says(record: &Value) -> Value {
    let members = ["request_id", "client", "actor", "action", "name", "version", "status", "outcome"];
    members.iter().map(|member| ((*member).to_owned(), record[*member].clone())).collect()
}

/// A vault with a secret `kept`, the token `ops` and a lockout after three failures; and its tokens.
async fn vault_with_callers() -> (Vault, HashMap<&'static str, String>) {
    let vault = Vault::start(&behind_proxy(&[("VAULT_AUTH_MAX_FAILURES", "3")]));
    let body = json!({"name": "kept", "kind": "manual", "value": "v"});
    vault.expect(Method::POST, "/v1/secrets", body, 201).await;
    let ops = token_granted(&vault, "ops", &[("*", "other/*")]).await;
    let bearers =
        HashMap::from([("bootstrap-admin", format!("Bearer {ADMIN}")), ("ops", format!("Bearer {ops}"))]);
    (vault, bearers)
}

async fn ask(
    connection: &mut Connection,
    bearers: &HashMap<&'static str, String>,
    step: &Step,
    headers: &[(&str, &str)],
) -> Answer {
    let (who, request, body, ..) = *step;
    let (method, path) = request.split_once(' ').unwrap();
    let mut all = vec![("x-forwarded-for", who.forwarded_for())];
    all.extend(bearers.get(who.actor()).map(|bearer| ("authorization", bearer.as_str())));
    all.extend(headers);
    connection.exchange(method, path, &all, body).await
}

#[tokio::test]
async fn every_success_and_every_refusal_leaves_one_record_in_the_order_of_the_answers() {
    let (vault, bearers) = vault_with_callers().await;
    let before = of_requests(records(&vault)).len();
    let mut connection = Connection::open(vault.address()).await;
    let mut expected = Vec::new();
    for step in SUCCESSES.iter().chain(&REFUSALS) {
        let answer = ask(&mut connection, &bearers, step, &[JSON]).await;
        assert_eq!(answer.status, step.3, "{step:?}: {answer:?}");
        expected.push(said(step, answer.request_id()));
        // A probe is no operation and leaves nothing.
        for probe in ["/healthz", "/readyz"] {
            assert_eq!(connection.exchange("GET", probe, &[], "").await.status, 200);
        }
    }
    let found: Vec<_> = of_requests(records(&vault)).iter().skip(before).map(says).collect();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn the_successes_are_those_of_every_route() {
    let actions: HashSet<_> = SUCCESSES.iter().map(|step| step.4).collect();
    assert_eq!(actions.len(), ROUTES.iter().filter(|route| !route.endpoint.is_probe()).count());
}

#[tokio::test]
async fn refusals_for_the_form_of_a_request_are_recorded_too() {
    let (vault, bearers) = vault_with_callers().await;
    let mut connection = Connection::open(vault.address()).await;
    let body = r#"{"value": "two"}"#;
    for (headers, status) in
        [(&[JSON, ("if-match", "\"9\"")][..], 412), (&[("content-type", "text/plain")], 415)]
    {
        let step = (Who::Admin, "PUT /v1/secrets/kept", body, status, "secret.update", "kept", 0);
        let answer = ask(&mut connection, &bearers, &step, headers).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(says(&record_of(&vault, answer.request_id())), said(&step, answer.request_id()));
    }
    let step = (Who::Admin, "PUT /v1/secrets/kept", "", 413, "secret.update", "kept", 0);
    let too_long = ("content-length", "1048577");
    let answer = ask(&mut connection, &bearers, &step, &[JSON, too_long]).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_eq!(says(&record_of(&vault, answer.request_id())), said(&step, answer.request_id()));
}

/// Ten seconds long: so long a body may pause.
#[tokio::test]
async fn a_body_that_stops_coming_is_cut_and_recorded() {
    let (vault, bearers) = vault_with_callers().await;
    let mut connection = Connection::open(vault.address()).await;
    let headers = [
        ("authorization", bearers["bootstrap-admin"].as_str()),
        ("x-forwarded-for", Who::Admin.forwarded_for()),
        JSON,
        ("content-length", "100"),
    ];
    connection.send("PUT", "/v1/secrets/kept", &headers, "{\"value\"").await;
    let answer = connection.answer().await;
    assert_eq!(answer.status, 408, "{answer:?}");
    let step = (Who::Admin, "", "", 408, "secret.update", "kept", 0);
    assert_eq!(says(&record_of(&vault, answer.request_id())), said(&step, answer.request_id()));
}

#[tokio::test]
async fn a_batch_is_recorded_with_every_name_and_found_by_each() {
    let vault = Vault::start(&[]);
    let names: Vec<_> = (0..256).map(|number| format!("{}/{number}", "n".repeat(250))).collect();
    let answer = vault.request(Method::POST, "/v1/batch/secrets").json(&json!({"names": names}));
    let answer = answer.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let request_id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let record = record_of(&vault, &request_id);
    let missing: Vec<_> = names.iter().map(|name| json!({"name": name, "version": null})).collect();
    assert_eq!(record["secrets"], json!(missing));
    for name in [&names[0], &names[255]] {
        let path = format!("/v1/admin/audit?name={name}");
        let page = vault.expect(Method::GET, &path, Value::Null, 200).await;
        assert_eq!(page["records"], json!([unchained(&record)]), "{name}");
    }
    let page = vault.expect(Method::GET, "/v1/admin/audit?name=n", Value::Null, 200).await;
    assert_eq!(page["records"], json!([]));
}

/// The `secrets` of the record of a batch read.
async fn recorded_batch(vault: &Vault, token: &str, names: &[&str], status: u16) -> Value {
    let batch = vault.request(Method::POST, "/v1/batch/secrets").bearer_auth(token);
    let answer = batch.json(&json!({"names": names})).send().await.unwrap();
    assert_eq!(answer.status(), status);
    record_of(vault, answer.headers()["x-request-id"].to_str().unwrap())["secrets"].clone()
}

#[tokio::test]
async fn the_record_of_a_batch_says_which_version_of_which_secret_left() {
    let vault = Vault::start(&[("VAULT_READ_AUTH", "token")]);
    for name in ["mine/once", "mine/twice", "other"] {
        let body = json!({"name": name, "kind": "manual", "value": "v"});
        vault.expect(Method::POST, "/v1/secrets", body, 201).await;
    }
    vault.expect(Method::PUT, "/v1/secrets/mine/twice", json!({"value": "w"}), 200).await;
    let token = token_granted(&vault, "reader", &[("read", "mine/*")]).await;

    let asked = ["mine/twice", "mine/missing", "mine/once", "mine/twice"];
    let left = json!([
        {"name": "mine/twice", "version": 2},
        {"name": "mine/missing", "version": null},
        {"name": "mine/once", "version": 1},
        {"name": "mine/twice", "version": 2},
    ]);
    assert_eq!(recorded_batch(&vault, &token, &asked, 200).await, left);

    let nothing = json!([{"name": "mine/once", "version": null}, {"name": "other", "version": null}]);
    assert_eq!(recorded_batch(&vault, &token, &["mine/once", "other"], 403).await, nothing);
}

/// 128 of the largest value, each byte of which JSON writes in six, are 48 MiB: too large an answer, which is
/// known only when all of them are open.
#[tokio::test]
async fn a_batch_that_is_refused_after_it_was_opened_is_recorded_as_revealing_nothing() {
    let vault = Vault::start(&[]);
    let body = json!({"name": "large", "kind": "manual", "value": "\u{1}".repeat(65_536)});
    vault.expect(Method::POST, "/v1/secrets", body, 201).await;
    let nothing = json!(vec![json!({"name": "large", "version": null}); 128]);
    assert_eq!(recorded_batch(&vault, ADMIN, &["large"; 128], 400).await, nothing);
}

/// What one connection asks for, over and over.
async fn ask_in_turn(address: String, connection_number: usize) -> Vec<String> {
    let bearer = format!("Bearer {ADMIN}");
    let mut connection = Connection::open(&address).await;
    let mut ids = Vec::new();
    for number in 0..12 {
        let create =
            format!(r#"{{"name": "s/{connection_number}/{number}", "kind": "manual", "value": "v"}}"#);
        let path = format!("/v1/secrets/s/{connection_number}/{number}");
        for (method, path, token, body, status) in [
            ("POST", "/v1/secrets", bearer.as_str(), create.as_str(), 201),
            ("GET", &path, "", "", 200),
            ("POST", "/v1/secrets", &bearer, &create, 409),
            ("GET", "/v1/roles", "Bearer hvt_wrong", "", 401),
            ("DELETE", &path, &bearer, "", 204),
            ("GET", &path, "", "", 404),
        ] {
            let mut headers = vec![JSON];
            headers.extend((!token.is_empty()).then_some(("authorization", token)));
            let answer = connection.exchange(method, path, &headers, body).await;
            assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
            ids.push(answer.request_id().to_owned());
        }
    }
    ids
}

#[tokio::test]
async fn many_connections_at_once_each_find_their_answers_in_order_and_the_chain_is_whole() {
    let mut vault = Vault::start(&[]);
    let before = of_requests(records(&vault)).len();
    let connections = (0..8).map(|number| tokio::spawn(ask_in_turn(vault.address().to_owned(), number)));
    let mut seen = Vec::new();
    for connection in connections.collect::<Vec<_>>() {
        seen.push(connection.await.unwrap());
    }
    let trail = of_requests(records(&vault));
    let places: HashMap<_, _> = trail
        .iter()
        .enumerate()
        .map(|(place, record)| (record["request_id"].as_str().unwrap(), place))
        .collect();
    assert_eq!(places.len(), trail.len(), "a request left two records");
    assert_eq!(trail.len() - before, 8 * 12 * 6);
    for ids in &seen {
        let order: Vec<_> = ids.iter().map(|id| places[id.as_str()]).collect();
        assert!(order.is_sorted(), "{order:?}");
    }
    vault.terminate();
    let summary = verify(&vault.audit_path(), None).unwrap();
    assert_eq!(summary.last_seq, records(&vault).len() as u64);
}

#[tokio::test]
async fn with_every_record_synced_before_its_answer_a_kill_loses_none() {
    let mut vault = Vault::start(&[("VAULT_AUDIT_SYNC", "always")]);
    let mut ids = Vec::new();
    for round in 0..2 {
        ids.extend(ask_in_turn(vault.address().to_owned(), round).await);
        vault.kill();
        let kept: HashSet<_> =
            records(&vault).iter().map(|record| record["request_id"].as_str().unwrap().to_owned()).collect();
        assert!(ids.iter().all(|id| kept.contains(id)));
        verify(&vault.audit_path(), None).unwrap();
        vault.resume();
    }
}
