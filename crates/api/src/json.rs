//! JSON bodies, read strictly: no unknown field, no duplicate key, no mistyped value; and an error never
//! repeats what was submitted, which may be a secret.

use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

/// Why a body isn't what the endpoint takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid request body: {what} at line {line} column {column}")]
pub struct InvalidBody {
    what: String,
    line: usize,
    column: usize,
}

/// Reads a whole body.
///
/// # Errors
/// [`InvalidBody`] says where and what was expected. Nesting deeper than `serde_json`'s limit of 128 is one.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, InvalidBody> {
    serde_json::from_slice(body).map(|Object(value)| value).map_err(|error| InvalidBody {
        what: describe(&error),
        line: error.line(),
        column: error.column(),
    })
}

/// A value that is written as a JSON object and as nothing else. By itself, `serde` takes an array of a
/// struct's fields for the struct too.
#[derive(Debug, Clone)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        T::deserialize(ObjectOnly(deserializer)).map(Object)
    }
}

/// Asks for an object, whatever it is asked for.
struct ObjectOnly<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for ObjectOnly<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// What went wrong, made of the names that our own types declare and of nothing else.
///
/// The messages of `serde` put what was submitted first and what was expected last, behind `, expected `;
/// a missing or duplicate field is named by the type that declares it.
fn describe(error: &serde_json::Error) -> String {
    if !error.is_data() {
        return "malformed JSON".to_owned();
    }
    let text = error.to_string();
    for declared in ["missing field `", "duplicate field `"] {
        if let Some(rest) = text.strip_prefix(declared)
            && let Some((field, _)) = rest.split_once('`')
        {
            return format!("{declared}{field}`");
        }
    }
    let what = if text.starts_with("unknown field") { "unknown field" } else { "mistyped value" };
    match text.rsplit_once(", expected ") {
        Some((_, expected)) => format!("{what}, expected {}", without_position(expected)),
        None => what.to_owned(),
    }
}

fn without_position(text: &str) -> &str {
    text.rsplit_once(" at line ").map_or(text, |(before, _)| before)
}

#[cfg(test)]
#[path = "json_property_tests.rs"]
mod property_tests;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::roles::{CreateRoleRequest, SetPermissionsRequest};
    use crate::secrets::{CreateSecretRequest, VerifyRequest};
    use crate::tokens::IssueTokenRequest;

    fn refuse<T: DeserializeOwned>(body: &str) -> String {
        match parse::<T>(body.as_bytes()) {
            Ok(_) => panic_on(body),
            Err(error) => error.to_string(),
        }
    }

    #[allow(clippy::panic)]
    fn panic_on(body: &str) -> ! {
        panic!("accepted {body}")
    }

    #[test]
    fn an_error_names_the_field_and_the_place() {
        assert_eq!(
            refuse::<VerifyRequest>("{}"),
            "invalid request body: missing field `value` at line 1 column 2"
        );
        assert_eq!(
            refuse::<VerifyRequest>(r#"{"value":"a","value":"b"}"#),
            "invalid request body: duplicate field `value` at line 1 column 20"
        );
        assert!(
            refuse::<IssueTokenRequest>(r#"{"name":"n","role":"r","expires_in_secs":"x"}"#).contains("u64")
        );
    }

    #[test]
    fn an_error_never_repeats_what_was_submitted() {
        let canary = "CANARY, expected CANARY `CANARY`";
        for body in [
            format!(r#"{{"{canary}":1}}"#),
            format!(r#"{{"name":"n","kind":"{canary}"}}"#),
            format!(r#"{{"name":"n","kind":"manual","rotation_interval_secs":"{canary}"}}"#),
            format!(r#"{{"name":"n","kind":"manual","value":{{"{canary}":1}}}}"#),
            format!(r#"{{"name":["{canary}"]}}"#),
            format!(r#""{canary}""#),
            format!(r#"{{"name":"{canary}"#),
            format!(r#"{{"missing field `{canary}`":1}}"#),
        ] {
            let message = refuse::<CreateSecretRequest>(&body);
            assert!(!message.contains("CANARY"), "{message}");
        }
    }

    /// An array of a struct's fields, and a word written as an object, were taken for what they are not.
    #[test]
    fn nothing_but_an_object_is_an_object_and_nothing_but_a_string_is_a_word() {
        for body in [r#"["CANARY"]"#, r#""CANARY""#, "7", "null", "[]", ""] {
            refuse::<VerifyRequest>(body);
        }
        refuse::<SetPermissionsRequest>(r#"{"permissions":[["read","*"]]}"#);
        refuse::<CreateRoleRequest>(r#"{"name":"r","permissions":[["read","*"]]}"#);
        for kind in [r#"{"manual":null}"#, "0", "null", r#"["manual"]"#, r#""Manual""#] {
            let message =
                refuse::<CreateSecretRequest>(&format!(r#"{{"name":"n","kind":{kind},"value":"v"}}"#));
            assert!(message.contains("manual or automatic"), "{message}");
        }
    }

    #[test]
    fn depth_size_of_numbers_and_wrong_utf8_are_errors_and_no_panic() {
        let deep = "[".repeat(100_000);
        assert!(refuse::<VerifyRequest>(&deep).contains("mistyped value"));
        let deep = format!(r#"{{"value":{deep}"#);
        refuse::<VerifyRequest>(&deep);
        refuse::<CreateSecretRequest>(&format!(
            r#"{{"name":"n","kind":"manual","grace_period_secs":1{}}}"#,
            "0".repeat(400)
        ));
        refuse::<CreateSecretRequest>(r#"{"name":"n","kind":"manual","grace_period_secs":-1}"#);
        refuse::<CreateSecretRequest>(r#"{"name":"n","kind":"manual","grace_period_secs":1.5}"#);
        assert!(parse::<VerifyRequest>(b"{\"value\":\"\xff\"}").is_err());
        refuse::<VerifyRequest>(r#"{"value":"a"} x"#);
    }
}
