//! What each endpoint on secrets, roles and tokens answers, member by member.

use reqwest::Method;
use serde_json::{Value, json};

use crate::vault::{Vault, expect};

async fn create(vault: &Vault, body: Value) -> Value {
    vault.expect(Method::POST, "/v1/secrets", body, 201).await
}

async fn change(vault: &Vault, name: &str, body: Value, status: u16) -> Value {
    vault.expect(Method::PUT, &format!("/v1/secrets/{name}"), body, status).await
}

async fn read(vault: &Vault, path: &str) -> Value {
    expect(vault.request(Method::GET, &format!("/v1/secrets/{path}")), 200).await
}

#[track_caller]
fn assert_members(object: &Value, members: &[&str]) {
    let mut own: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    let mut members = members.to_vec();
    own.sort_unstable();
    members.sort_unstable();
    assert_eq!(own, members, "{object}");
}

/// RFC 3339 in UTC.
#[track_caller]
fn assert_time(value: &Value) {
    let text = value.as_str().unwrap_or_else(|| panic!("no time: {value}"));
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z");
}

const VALUE: [&str; 6] = ["name", "kind", "format", "version", "value", "created_at"];
const LOGIN: [&str; 7] = ["name", "kind", "format", "version", "username", "password", "created_at"];
const METADATA: [&str; 13] = [
    "name",
    "kind",
    "format",
    "description",
    "version",
    "rotation_interval_secs",
    "grace_period_secs",
    "next_rotation_at",
    "created_at",
    "updated_at",
    "target",
    "generator",
    "rotation",
];

#[tokio::test]
async fn a_secret_is_answered_with_its_own_material_and_nothing_absent() {
    let vault = Vault::start(&[]);
    let opaque = create(&vault, json!({"name": "o", "kind": "manual", "value": "v"})).await;
    assert_members(&opaque, &VALUE);
    assert_eq!((&opaque["kind"], &opaque["format"]), (&json!("manual"), &json!("opaque")));
    assert_time(&opaque["created_at"]);
    let body = json!({"name": "u", "kind": "automatic", "username": "app", "rotation_interval_secs": 3600});
    let login = create(&vault, body).await;
    assert_members(&login, &LOGIN);
    assert_eq!((&login["kind"], &login["format"]), (&json!("automatic"), &json!("userpass")));
    for (name, created) in [("o", &opaque), ("u", &login)] {
        assert_eq!(&read(&vault, name).await, created);
        let batch = vault.request(Method::POST, "/v1/batch/secrets").json(&json!({"names": [name]}));
        assert_eq!(expect(batch, 200).await, json!([created]));
    }
    let rotated = vault.expect(Method::POST, "/v1/secrets/u/rotate", Value::Null, 200).await;
    assert_members(&rotated, &LOGIN);
}

#[tokio::test]
async fn metadata_has_every_member_and_null_for_what_is_absent() {
    let vault = Vault::start(&[]);
    create(&vault, json!({"name": "m", "kind": "manual", "value": "v"})).await;
    let body = json!({"name": "a", "kind": "automatic", "description": "d", "rotation_interval_secs": 3600,
        "grace_period_secs": 60});
    create(&vault, body).await;
    let listed = vault.expect(Method::GET, "/v1/secrets", Value::Null, 200).await;
    let [automatic, manual] = [&listed[0], &listed[1]];
    for metadata in [automatic, manual] {
        assert_members(metadata, &METADATA);
        assert_time(&metadata["created_at"]);
        assert_time(&metadata["updated_at"]);
    }
    for member in
        ["description", "rotation_interval_secs", "next_rotation_at", "target", "generator", "rotation"]
    {
        assert_eq!(manual[member], Value::Null, "{member}");
    }
    assert_eq!(manual["grace_period_secs"], 0);
    assert_time(&automatic["next_rotation_at"]);
    assert_eq!(
        automatic["rotation"],
        json!({"state": "scheduled", "last_attempt_at": null, "last_error": null, "failures": 0,
               "next_attempt_at": automatic["next_rotation_at"]})
    );
    assert_eq!(
        [&automatic["description"], &automatic["rotation_interval_secs"], &automatic["grace_period_secs"]],
        [&json!("d"), &json!(3600), &json!(60)]
    );
    assert_eq!(&change(&vault, "m", json!({"description": "now"}), 200).await["description"], "now");
}

#[tokio::test]
async fn versions_roles_and_tokens_are_answered_member_by_member() {
    let vault = Vault::start(&[]);
    create(&vault, json!({"name": "s", "kind": "manual", "value": "1", "grace_period_secs": 60})).await;
    change(&vault, "s", json!({"value": "2"}), 200).await;
    let versions = vault.expect(Method::GET, "/v1/versions/s", Value::Null, 200).await;
    for (index, current) in [(0, false), (1, true)] {
        let version = &versions[index];
        assert_members(version, &["version", "created_at", "expires_at", "current"]);
        assert_eq!((&version["version"], &version["current"]), (&json!(index + 1), &json!(current)));
    }
    assert_time(&versions[0]["expires_at"]);
    assert_eq!(versions[1]["expires_at"], Value::Null);

    let permissions = json!([{"action": "*", "path": "db/*"}]);
    let body = json!({"name": "r", "permissions": permissions});
    let role = vault.expect(Method::POST, "/v1/roles", body, 201).await;
    assert_members(&role, &["name", "description", "is_admin", "permissions", "created_at"]);
    assert_eq!(
        (&role["permissions"], &role["description"], &role["is_admin"]),
        (&permissions, &Value::Null, &json!(false))
    );
    assert_eq!(vault.expect(Method::GET, "/v1/roles/r", Value::Null, 200).await, role);

    let body = json!({"name": "t", "role": "r", "expires_in_secs": 60, "allowed_ips": ["10.0.0.0/8"]});
    let issued = vault.expect(Method::POST, "/v1/tokens", body, 201).await;
    assert_members(&issued, &["name", "role", "token"]);
    let token = issued["token"].as_str().unwrap();
    assert!(token.len() == 47 && token.starts_with("hvt_"), "the prefix and 32 bytes in base64url");
    let tokens = vault.expect(Method::GET, "/v1/tokens", Value::Null, 200).await;
    for token in tokens.as_array().unwrap() {
        let always =
            ["name", "role", "created_at", "last_used_at", "revoked_at", "expires_at", "allowed_ips"];
        assert_members(token, &always);
    }
    assert_eq!(tokens[0]["name"], "bootstrap-admin");
    assert_time(&tokens[1]["expires_at"]);
}

#[tokio::test]
async fn only_a_change_of_the_material_makes_a_version() {
    let vault = Vault::start(&[]);
    let body = json!({"name": "s", "kind": "automatic", "value": "v", "rotation_interval_secs": 3600});
    create(&vault, body).await;
    for metadata in
        [json!({"description": "d"}), json!({"grace_period_secs": 60}), json!({"rotation_interval_secs": 60})]
    {
        assert_eq!(change(&vault, "s", metadata, 200).await["version"], 1);
    }
    assert_eq!(change(&vault, "s", json!({"value": "w"}), 200).await["version"], 2);
    let both = change(&vault, "s", json!({"value": "w", "description": "e"}), 200).await;
    assert_eq!((&both["version"], &both["description"]), (&json!(3), &json!("e")));
    let rotated = vault.expect(Method::POST, "/v1/secrets/s/rotate", Value::Null, 200).await;
    assert_eq!((&rotated["version"], rotated["value"].as_str().unwrap().len()), (&json!(4), 43));
    for nothing in [json!({}), json!({"value": null}), json!({"description": null, "password": null})] {
        change(&vault, "s", nothing, 400).await;
    }
    assert_eq!(read(&vault, "s").await, rotated);
}

#[tokio::test]
async fn what_a_change_of_a_userpass_leaves_out_is_carried_over() {
    let vault = Vault::start(&[]);
    let body = json!({"name": "s", "kind": "automatic", "username": "u1", "password": "p1",
        "rotation_interval_secs": 3600});
    create(&vault, body).await;
    let halves = [
        (json!({"password": "p2"}), "u1", "p2"),
        (json!({"username": "u2"}), "u2", "p2"),
        (json!({"username": "u3", "password": "p3"}), "u3", "p3"),
    ];
    for (index, (half, username, password)) in halves.into_iter().enumerate() {
        assert_eq!(change(&vault, "s", half, 200).await["version"], index + 2);
        let read = read(&vault, "s").await;
        assert_eq!((&read["username"], &read["password"]), (&json!(username), &json!(password)));
    }
    let rotated = vault.expect(Method::POST, "/v1/secrets/s/rotate", Value::Null, 200).await;
    assert_eq!((&rotated["username"], &rotated["version"]), (&json!("u3"), &json!(5)));
    assert_eq!(rotated["password"].as_str().unwrap().len(), 43);
}

#[tokio::test]
async fn a_kind_and_a_format_take_what_is_theirs_and_keep_it() {
    let vault = Vault::start(&[]);
    let secret = |more: Value| {
        let mut body = json!({"name": "bad", "kind": "manual"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for more in [
        json!({}),
        json!({"username": "u"}),
        json!({"password": "p"}),
        json!({"value": "v", "username": "u"}),
        json!({"value": "v", "username": "u", "password": "p"}),
        json!({"kind": "automatic", "value": "v"}),
        json!({"kind": "automatic", "password": "p", "rotation_interval_secs": 60}),
    ] {
        vault.expect(Method::POST, "/v1/secrets", secret(more), 400).await;
    }
    create(&vault, json!({"name": "o", "kind": "manual", "value": "v"})).await;
    create(&vault, json!({"name": "u", "kind": "manual", "username": "u", "password": "p"})).await;
    change(&vault, "o", json!({"password": "p"}), 400).await;
    change(&vault, "u", json!({"value": "v"}), 400).await;
    for name in ["o", "u"] {
        vault.expect(Method::POST, &format!("/v1/secrets/{name}/rotate"), Value::Null, 400).await;
        assert_eq!(read(&vault, name).await["version"], 1);
    }
    for (method, path) in [(Method::PUT, "/v1/secrets/none"), (Method::DELETE, "/v1/secrets/none")] {
        vault.expect(method, path, json!({"value": "v"}), 404).await;
    }
    vault.expect(Method::POST, "/v1/secrets/none/rotate", Value::Null, 404).await;
}

#[tokio::test]
async fn a_secret_named_like_a_verb_is_reached() {
    let vault = Vault::start(&[]);
    for name in ["a", "a/rotate", "a/verify", "rotate", "a/permissions"] {
        let body = json!({"name": name, "kind": "automatic", "value": name, "rotation_interval_secs": 3600});
        create(&vault, body).await;
    }
    for (path, name) in
        [("a/rotate", "a/rotate"), ("a%2Frotate", "a/rotate"), ("a/verify", "a/verify"), ("rotate", "rotate")]
    {
        assert_eq!(read(&vault, path).await["value"], name);
        let verify =
            vault.request(Method::POST, &format!("/v1/secrets/{path}/verify")).json(&json!({"value": name}));
        assert_eq!(expect(verify, 200).await["valid"], true, "{path}");
        assert_eq!(change(&vault, path, json!({"description": "d"}), 200).await["name"], name);
    }
    let rotated = vault.expect(Method::POST, "/v1/secrets/a/rotate/rotate", Value::Null, 200).await;
    assert_eq!((&rotated["name"], &rotated["version"]), (&json!("a/rotate"), &json!(2)));
    assert_eq!(read(&vault, "a").await["version"], 1);
    vault.expect(Method::DELETE, "/v1/secrets/a/rotate", Value::Null, 204).await;
    assert_eq!(read(&vault, "a").await["value"], "a");
}

/// One page of the list: names, and where the next begins.
async fn page(vault: &Vault, query: &str) -> (Vec<String>, Option<String>) {
    let answer = vault.admin(Method::GET, &format!("/v1/secrets?{query}")).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{query}");
    let next = answer.headers().get("x-next-after").map(|name| name.to_str().unwrap().to_owned());
    let items: Value = answer.json().await.unwrap();
    let name = |item: &Value| item["name"].as_str().unwrap().to_owned();
    (items.as_array().unwrap().iter().map(name).collect(), next)
}

#[tokio::test]
async fn a_list_is_by_name_and_comes_in_pages() {
    let vault = Vault::start(&[]);
    let mut names: Vec<String> =
        ["a", "a-b", "a.b", "a/b", "a/b/c", "aa", "b", "Z", "0"].map(str::to_owned).to_vec();
    for name in &names {
        create(&vault, json!({"name": name, "kind": "manual", "value": "v"})).await;
    }
    names.sort();
    assert_eq!(page(&vault, "").await, (names.clone(), None));
    for limit in 1..=10 {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let (items, next) = page(&vault, &format!("limit={limit}&after={after}")).await;
            assert!(items.len() == limit || next.is_none(), "{limit}");
            all.extend(items);
            let Some(next) = next else { break };
            assert_eq!(Some(&next), all.last());
            after = next;
        }
        assert_eq!(all, names, "{limit}");
    }
    let of = |prefix: &str| names.iter().filter(|name| name.starts_with(prefix)).cloned().collect::<Vec<_>>();
    for prefix in ["a", "a/", "a/b", "b", "c", "Z"] {
        assert_eq!(page(&vault, &format!("prefix={prefix}")).await, (of(prefix), None), "{prefix}");
    }
    assert_eq!(
        page(&vault, "prefix=a&after=a%2Fb&limit=1").await,
        (vec!["a/b/c".to_owned()], Some("a/b/c".to_owned()))
    );
    assert_eq!(page(&vault, "prefix=a&after=a%2Fb%2Fc").await, (vec!["aa".to_owned()], None));
    assert_eq!(page(&vault, "prefix=a&after=b").await, (Vec::new(), None));
}

#[tokio::test]
async fn a_version_in_grace_is_read_and_verified_and_then_no_more() {
    let vault = Vault::start(&[]);
    create(&vault, json!({"name": "s", "kind": "manual", "value": "1", "grace_period_secs": 2})).await;
    change(&vault, "s", json!({"value": "2"}), 200).await;
    let verdict = async |value: &str| {
        let verify = vault.request(Method::POST, "/v1/secrets/s/verify").json(&json!({"value": value}));
        expect(verify, 200).await["version"].clone()
    };
    assert_eq!((verdict("1").await, verdict("2").await), (json!(1), json!(2)));
    assert_eq!(read(&vault, "s?version=1").await["value"], "1");
    tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
    assert_eq!((verdict("1").await, verdict("2").await), (Value::Null, json!(2)));
    expect(vault.request(Method::GET, "/v1/secrets/s?version=1"), 404).await;
    // Without a grace period the old value is worth nothing at once.
    change(&vault, "s", json!({"value": "3", "grace_period_secs": 0}), 200).await;
    assert_eq!((verdict("2").await, verdict("3").await), (Value::Null, json!(3)));
}
