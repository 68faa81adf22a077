//! Text of every kind: what may be stored comes back as it was, and what may not is refused without an echo.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use reqwest::Method;
use serde_json::{Value, json};

use super::{CANARY, assert_unharmed};
use crate::vault::{Vault, expect};

/// Texts of each kind that one test sends.
const TEXTS: usize = 60;

/// Characters that break what is not made for them: quotes and escapes of JSON and of terminals, NUL and other
/// controls, marks that turn the direction of writing, joiners, ends of lines, the last code points of planes.
const ODD: [char; 28] = [
    '\0',
    '\u{1}',
    '\u{7}',
    '\u{8}',
    '\t',
    '\n',
    '\r',
    '\u{1b}',
    '"',
    '\\',
    '/',
    '<',
    '\u{7f}',
    '\u{85}',
    '\u{a0}',
    '\u{ad}',
    '\u{301}',
    '\u{200d}',
    '\u{2028}',
    '\u{202e}',
    '\u{2066}',
    '\u{feff}',
    '\u{fffd}',
    '\u{ffff}',
    '\u{d7ff}',
    '\u{e000}',
    '\u{1f4a9}',
    '\u{10ffff}',
];

/// The same texts at every run.
fn texts() -> Vec<String> {
    let character = prop_oneof![2 => select(&ODD[..]), 1 => any::<char>(), 1 => select(&['a', 'Z', ' '][..])];
    let text = proptest::collection::vec(character, 1..40).prop_map(|text| text.into_iter().collect());
    let mut runner = TestRunner::deterministic();
    let alone = ODD.iter().map(char::to_string);
    let mixed = (0..TEXTS).map(|_| text.new_tree(&mut runner).unwrap().current());
    alone.chain(mixed).collect()
}

/// Every UTF-16 unit as `\uXXXX`.
fn escaped(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect()
}

#[tokio::test]
async fn any_text_comes_back_as_it_was() {
    let vault = Vault::start(&[]);
    let opaque = json!({"name": "opaque", "kind": "manual", "value": "v"});
    vault.expect(Method::POST, "/v1/secrets", opaque, 201).await;
    let login = json!({"name": "login", "kind": "manual", "username": "u", "password": "p"});
    vault.expect(Method::POST, "/v1/secrets", login, 201).await;
    for text in texts() {
        let change = json!({"value": text, "description": text});
        let changed = vault.expect(Method::PUT, "/v1/secrets/opaque", change, 200).await;
        assert_eq!(changed["description"], text);
        let read = expect(vault.request(Method::GET, "/v1/secrets/opaque"), 200).await;
        assert_eq!(read["value"], text);

        let body = format!(r#"{{"username": "{0}", "password": "{0}"}}"#, escaped(&text));
        let put = vault.admin(Method::PUT, "/v1/secrets/login").header("content-type", "application/json");
        expect(put.body(body), 200).await;
        let read = expect(vault.request(Method::GET, "/v1/secrets/login"), 200).await;
        assert_eq!((&read["username"], &read["password"]), (&json!(text), &json!(text)));
        let verify = vault.request(Method::POST, "/v1/secrets/login/verify").json(&json!({"value": text}));
        assert_eq!(expect(verify, 200).await["valid"], true, "{text:?}");
    }
    assert_unharmed(&vault).await;
}

/// Every field that is not free text: the path to ask, and the body around the text.
fn places(text: &str) -> [(Method, &'static str, Value); 11] {
    let rule = |action: &str, path: &str| json!([{"action": action, "path": path}]);
    [
        (Method::POST, "/v1/secrets", json!({"name": text, "kind": "manual", "value": "v"})),
        (Method::POST, "/v1/secrets", json!({"name": "n", "kind": text, "value": "v"})),
        (Method::POST, "/v1/secrets", json!({"name": "n", "kind": "manual", "value": "v", text: "v"})),
        (Method::POST, "/v1/batch/secrets", json!({"names": ["opaque", text]})),
        (Method::POST, "/v1/tokens", json!({"name": text, "role": "admin"})),
        (Method::POST, "/v1/tokens", json!({"name": "n", "role": text})),
        (Method::POST, "/v1/tokens", json!({"name": "n", "role": "admin", "allowed_ips": [text]})),
        (Method::POST, "/v1/roles", json!({"name": text})),
        (Method::POST, "/v1/roles", json!({"name": "n", "permissions": rule(text, "a")})),
        (Method::POST, "/v1/roles", json!({"name": "n", "permissions": rule("read", text)})),
        (Method::PUT, "/v1/roles/admin/permissions", json!({"permissions": rule(text, text)})),
    ]
}

#[tokio::test]
async fn a_text_that_is_no_name_is_refused_without_an_echo() {
    let vault = Vault::start(&[]);
    for text in texts() {
        // No odd text is a name, and with a space in it none of the others is either.
        let text = format!("{CANARY} {text}");
        for (method, path, body) in places(&text) {
            let answer = vault.admin(method, path).json(&body).send().await.unwrap();
            let (status, answer) = (answer.status(), answer.text().await.unwrap());
            assert_eq!(status, 400, "{path} {body}: {answer}");
            assert!(!answer.contains(CANARY), "{path} {body}: {answer}");
            let error: Value = serde_json::from_str(&answer).unwrap();
            assert!(error["error"].is_string(), "{answer}");
        }
    }
    assert_unharmed(&vault).await;
}
