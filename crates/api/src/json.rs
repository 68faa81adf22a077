//! JSON bodies, read strictly: no unknown field, no duplicate key, no mistyped value; and an error never
//! repeats what was submitted, which may be a secret.

use serde::de::DeserializeOwned;

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
    serde_json::from_slice(body).map_err(|error| InvalidBody {
        what: describe(&error),
        line: error.line(),
        column: error.column(),
    })
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
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
