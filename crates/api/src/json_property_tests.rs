//! Bodies of any kind, put together by proptest.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde::de::DeserializeOwned;

use super::parse;
use crate::roles::{CreateRoleRequest, SetPermissionsRequest};
use crate::secrets::{BatchReadRequest, CreateSecretRequest, UpdateSecretRequest, VerifyRequest};
use crate::tokens::IssueTokenRequest;

/// What every type of request has to say against a body.
fn messages(body: &[u8]) -> Vec<String> {
    fn message<T: DeserializeOwned>(body: &[u8]) -> Option<String> {
        parse::<T>(body).err().map(|error| error.to_string())
    }
    let all = [
        message::<CreateSecretRequest>,
        message::<UpdateSecretRequest>,
        message::<VerifyRequest>,
        message::<BatchReadRequest>,
        message::<CreateRoleRequest>,
        message::<SetPermissionsRequest>,
        message::<IssueTokenRequest>,
    ];
    all.iter().filter_map(|message| message(body)).collect()
}

const FIELDS: [&str; 16] = [
    "name",
    "kind",
    "value",
    "username",
    "password",
    "description",
    "rotation_interval_secs",
    "grace_period_secs",
    "names",
    "is_admin",
    "permissions",
    "action",
    "path",
    "role",
    "expires_in_secs",
    "allowed_ips",
];

/// A JSON string with the canary in it, and with what our own messages are put together from.
fn any_text() -> impl Strategy<Value = String> {
    any::<String>().prop_map(|text| {
        let text = format!("CANARY{text}, expected CANARY `CANARY` at line CANARY");
        serde_json::to_string(&text).unwrap()
    })
}

/// Any JSON there is, and some that is none.
fn any_json() -> impl Strategy<Value = String> {
    const WORDS: [&str; 6] = ["null", "true", "1e999", "-0", "01", r#""\ud800CANARY""#];
    let leaf = prop_oneof![
        any_text(),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:e}")),
        select(&WORDS[..]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let known = select(&FIELDS[..]).prop_map(|field| format!("{field:?}"));
        let key = prop_oneof![4 => known, 1 => any_text()];
        let member = (key, inner.clone()).prop_map(|(key, value)| format!("{key}:{value}"));
        prop_oneof![
            vec(inner, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_panic(body in vec(any::<u8>(), 0..256)) {
        messages(&body);
    }

    #[test]
    fn no_json_is_repeated(body in any_json()) {
        for message in messages(body.as_bytes()) {
            prop_assert!(!message.contains("CANARY"), "{message}");
        }
    }

    #[test]
    fn no_cut_or_changed_json_is_repeated(body in any_json(), place: usize, byte: u8) {
        let mut body = body.into_bytes();
        let place = place % body.len();
        body[place] = byte;
        for message in messages(&body).into_iter().chain(messages(&body[..place])) {
            prop_assert!(!message.contains("CANARY"), "{message}");
        }
    }

    #[test]
    fn any_text_comes_back_however_it_is_escaped(text: String) {
        let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        for written in [serde_json::to_string(&text).unwrap(), format!("\"{escaped}\"")] {
            let request: VerifyRequest = parse(format!(r#"{{"value":{written}}}"#).as_bytes()).unwrap();
            prop_assert_eq!(request.value.expose(), &text);
        }
    }
}
