//! Rotation with a target: a real vault, a real PostgreSQL, and the password that both have.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::postgres_server::Server;
use crate::vault::{Vault, expect};

const SECRET: &str = "/v1/secrets/db/app";
const FIRST: &str = "the first password";
const PAUSE: &str = "HYPERION_VAULT_PAUSE_ROTATION_AT";

/// A server with a role `app` that may change its own password, and `rotator` that may change any.
fn server() -> Server {
    let server = Server::start();
    server.sql(&format!("CREATE ROLE app LOGIN PASSWORD '{FIRST}'"));
    server.sql("CREATE ROLE rotator LOGIN CREATEROLE PASSWORD 'of the rotator'");
    server
}

fn target(server: &Server) -> Value {
    json!({"type": "postgres", "hosts": [server.host()], "sslmode": "disable"})
}

fn secret(server: &Server, interval_secs: u64) -> Value {
    json!({"name": "db/app", "kind": "automatic", "username": "app", "password": FIRST, "grace_period_secs": 3600,
           "rotation_interval_secs": interval_secs, "target": target(server)})
}

/// Asks until it is as `done` says, for as long as a busy machine may take.
async fn until(vault: &Vault, what: &str, done: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..600 {
        let listed = vault.expect(Method::GET, "/v1/secrets?prefix=db/app", Value::Null, 200).await;
        if done(&listed[0]) {
            return listed[0].clone();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}

/// A vault that knows of targets: the first second of a cluster is spent at its first level.
async fn vault(settings: &[(&str, &str)]) -> Vault {
    let vault = Vault::start(settings);
    at_level(&vault).await;
    vault
}

async fn at_level(vault: &Vault) {
    for _ in 0..200 {
        let cluster = vault.expect(Method::GET, "/v1/admin/cluster", Value::Null, 200).await;
        if cluster["feature_level"].as_u64() >= Some(4) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the level was never raised");
}

async fn password(vault: &Vault) -> String {
    let read = vault.expect(Method::GET, SECRET, Value::Null, 200).await;
    read["password"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_rotation_on_request_answers_with_a_password_that_logs_in() {
    let (server, vault) = (server(), vault(&[]).await);
    vault.expect(Method::POST, "/v1/secrets", secret(&server, 86_400), 201).await;
    assert!(server.lets_in("app", FIRST));
    let rotated = vault.expect(Method::POST, &format!("{SECRET}/rotate"), Value::Null, 200).await;
    let new = rotated["password"].as_str().unwrap();
    assert_eq!((&rotated["version"], &rotated["username"]), (&json!(2), &json!("app")));
    assert!(server.lets_in("app", new) && !server.lets_in("app", FIRST));
    assert_eq!(password(&vault).await, new);
    for (value, version) in [(FIRST, 1), (new, 2)] {
        let verified =
            vault.expect(Method::POST, &format!("{SECRET}/verify"), json!({"value": value}), 200).await;
        assert_eq!(verified, json!({"valid": true, "version": version}));
    }
    let metadata = until(&vault, "done", |secret| secret["rotation"]["state"] == "scheduled").await;
    assert_eq!(metadata["rotation"]["failures"], 0);
    assert!(metadata["rotation"]["last_attempt_at"].is_string());
    assert!(!server.log().contains(new) && !vault.log().contains(new));
}

#[tokio::test]
async fn a_schedule_rotates_again_and_again() {
    let (server, vault) = (server(), vault(&[("VAULT_ROTATION_POLL_SECS", "1")]).await);
    vault.expect(Method::POST, "/v1/secrets", secret(&server, 1), 201).await;
    let metadata = until(&vault, "three rotations", |secret| secret["version"].as_u64() >= Some(4)).await;
    assert_eq!(metadata["rotation"]["failures"], 0);
    vault.expect(Method::PUT, SECRET, json!({"rotation_interval_secs": 86_400}), 200).await;
    until(&vault, "at rest", |secret| secret["rotation"]["state"] == "scheduled").await;
    assert!(server.lets_in("app", &password(&vault).await));
}

#[tokio::test]
async fn while_the_database_is_away_it_says_so_and_goes_on_by_itself_when_it_is_back() {
    let (mut server, vault) = (server(), vault(&[]).await);
    vault.expect(Method::POST, "/v1/secrets", secret(&server, 86_400), 201).await;
    server.kill();
    let refused = vault.expect(Method::POST, &format!("{SECRET}/rotate"), Value::Null, 503).await;
    assert!(refused["error"].as_str().unwrap().contains("no host of the target can be reached"), "{refused}");
    let failing =
        until(&vault, "three failures", |secret| secret["rotation"]["failures"].as_u64() >= Some(3)).await;
    assert_eq!(failing["rotation"]["state"], "failing");
    assert_eq!(failing["rotation"]["last_error"], "no host of the target can be reached");
    assert_eq!((&failing["version"], password(&vault).await.as_str()), (&json!(1), FIRST));
    let metrics = vault.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    let counted = r#"hyperion_vault_rotation_failures_total{target="postgres",fault="unreachable"} "#;
    assert!(metrics.contains(counted), "{metrics}");
    server.restart();
    let done = until(&vault, "rotated", |secret| secret["version"] == 2).await;
    assert_eq!(
        (&done["rotation"]["state"], &done["rotation"]["last_error"]),
        (&json!("scheduled"), &Value::Null)
    );
    assert!(server.lets_in("app", &password(&vault).await));
}

#[tokio::test]
async fn a_password_that_was_changed_by_hand_is_told_to_the_vault() {
    let (server, vault) = (server(), vault(&[]).await);
    vault.expect(Method::POST, "/v1/secrets", secret(&server, 86_400), 201).await;
    server.sql("ALTER ROLE app PASSWORD 'by hand'");
    let refused = vault.expect(Method::POST, &format!("{SECRET}/rotate"), Value::Null, 503).await;
    assert!(refused["error"].as_str().unwrap().contains("refuses the login"), "{refused}");
    let body = json!({"password": "by hand"});
    vault.expect(Method::PUT, SECRET, body.clone(), 409).await;
    vault.expect(Method::PUT, &format!("{SECRET}?apply=maybe"), body.clone(), 400).await;
    vault.expect(Method::PUT, &format!("{SECRET}?apply=false"), body, 200).await;
    vault.expect(Method::POST, &format!("{SECRET}/rotate"), Value::Null, 200).await;
    assert!(server.lets_in("app", &password(&vault).await));
}

#[tokio::test]
async fn two_roles_take_turns_and_the_one_in_use_goes_on_logging_in() {
    let (server, vault) = (server(), vault(&[]).await);
    server.sql("CREATE ROLE app_b LOGIN");
    let rotator =
        json!({"name": "db/rotator", "kind": "manual", "username": "rotator", "password": "of the rotator"});
    vault.expect(Method::POST, "/v1/secrets", rotator, 201).await;
    let mut body = secret(&server, 86_400);
    body["target"]["strategy"] = json!("alternating");
    body["target"]["roles"] = json!(["app", "app_b"]);
    body["target"]["login_secret"] = json!("db/rotator");
    vault.expect(Method::POST, "/v1/secrets", body, 201).await;
    let mut before = ("app".to_owned(), FIRST.to_owned());
    for turn in ["app_b", "app", "app_b"] {
        let rotated = vault.expect(Method::POST, &format!("{SECRET}/rotate"), Value::Null, 200).await;
        assert_eq!(rotated["username"], turn);
        let now = (turn.to_owned(), rotated["password"].as_str().unwrap().to_owned());
        assert!(server.lets_in(&now.0, &now.1) && server.lets_in(&before.0, &before.1));
        before = now;
    }
}

/// The moments between which a crash can fall, each with a process that is killed there and started again.
#[tokio::test]
async fn killed_at_any_step_it_ends_with_a_password_that_logs_in() {
    let server = server();
    let mut vault = vault(&[]).await;
    vault.expect(Method::POST, "/v1/secrets", secret(&server, 86_400), 201).await;
    for (version, step) in [(2, "prepared"), (3, "begun"), (4, "applied"), (5, "proved"), (6, "promoted")] {
        vault.kill();
        vault.set(PAUSE, step);
        vault.resume();
        let asked =
            vault.admin(Method::POST, &format!("{SECRET}/rotate")).timeout(Duration::from_secs(2)).send();
        // At the last step the answer has left already.
        let _ = asked.await;
        let paused = format!("rotation paused: {}{}", step[..1].to_uppercase(), &step[1..]);
        for _ in 0..200 {
            if vault.log().contains(&paused) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        assert!(step == "prepared" || vault.log().contains(&paused), "{}", vault.log());
        vault.kill();
        vault.unset(PAUSE);
        vault.resume();
        let done = until(&vault, step, |secret| {
            secret["version"] == version && secret["rotation"]["state"] == "scheduled"
        });
        done.await;
        assert!(server.lets_in("app", &password(&vault).await), "{step}");
    }
}

#[tokio::test]
async fn a_target_that_does_not_fit_is_refused_with_the_reason() {
    let vault = vault(&[]).await;
    let target = json!({"type": "postgres", "hosts": ["db1:5432"]});
    let whole = json!({"name": "db/app", "kind": "automatic", "username": "app", "password": "p",
                       "rotation_interval_secs": 60, "target": target});
    for (member, value, reason) in [
        ("kind", json!("manual"), "rotation_interval_secs is for automatic secrets only"),
        ("password", Value::Null, "username and password are required"),
        ("target", json!({"type": "mysql", "hosts": ["h"]}), "target.type must be one of"),
        ("target", json!({"type": "postgres", "hosts": []}), "target.hosts must name at least one"),
        (
            "target",
            json!({"type": "postgres", "hosts": ["h"], "strategy": "alternating", "roles": ["a", "b"]}),
            "username must be one of target.roles",
        ),
        ("generator", json!({"length": 8, "alphabet": "0123456789"}), "can be guessed"),
    ] {
        let mut body = whole.clone();
        body[member] = value;
        let refused = vault.expect(Method::POST, "/v1/secrets", body, 400).await;
        assert!(refused["error"].as_str().unwrap().contains(reason), "{refused}");
    }
    vault.expect(Method::POST, "/v1/secrets", whole, 201).await;
    let read = until(&vault, "there", |secret| secret["target"].is_object()).await;
    assert_eq!(
        read["target"],
        json!({"type": "postgres", "hosts": ["db1:5432"], "database": "postgres", "sslmode": "require"})
    );
    vault.expect(Method::PUT, SECRET, json!({"target": null}), 200).await;
    until(&vault, "gone", |secret| secret["target"].is_null()).await;
}

/// Who may change a secret but not read it would otherwise have the vault log in, with what it holds, at a host of his.
#[tokio::test]
async fn a_target_is_set_by_those_alone_who_may_read_what_logs_in_there() {
    let vault = vault(&[]).await;
    let changes = json!({"name": "changer", "permissions": [{"action": "create", "path": "db/*"},
                         {"action": "update", "path": "db/*"}, {"action": "read", "path": "db/app"}]});
    vault.expect(Method::POST, "/v1/roles", changes, 201).await;
    let issued = vault.expect(Method::POST, "/v1/tokens", json!({"name": "t", "role": "changer"}), 201).await;
    let token = issued["token"].as_str().unwrap();
    let put = async |target: Value, status: u16| {
        let asked = vault.request(Method::PUT, SECRET).bearer_auth(token).json(&json!({"target": target}));
        expect(asked, status).await
    };
    let body = json!({"name": "db/app", "kind": "automatic", "username": "app", "password": "p",
                      "rotation_interval_secs": 60});
    vault.expect(Method::POST, "/v1/secrets", body, 201).await;
    put(json!({"type": "postgres", "hosts": ["mine:1"], "login_secret": "db/admin"}), 403).await;
    put(json!({"type": "postgres", "hosts": ["mine:1"]}), 200).await;
}

#[tokio::test]
async fn material_is_generated_as_the_secret_says() {
    let vault = vault(&[]).await;
    let body = json!({"name": "db/app", "kind": "automatic", "username": "app", "rotation_interval_secs": 60,
                      "generator": {"length": 30, "alphabet": "abcdef0123456789"}});
    for made in [
        vault.expect(Method::POST, "/v1/secrets", body, 201).await,
        vault.expect(Method::POST, &format!("{SECRET}/rotate"), Value::Null, 200).await,
    ] {
        let password = made["password"].as_str().unwrap();
        assert!(
            password.len() == 30 && password.bytes().all(|byte| b"abcdef0123456789".contains(&byte)),
            "{password}"
        );
    }
}
