//! Headers that nobody's client sends by accident.

use reqwest::Method;
use serde_json::json;

use super::{ask, assert_unharmed, request, send};
use crate::vault::{ADMIN, Vault};

/// A list of the secrets, asked for with these headers and no others.
fn list_with(headers: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"GET /v1/secrets HTTP/1.1\r\nHost: vault\r\nConnection: close\r\n".to_vec();
    for header in headers {
        bytes.extend_from_slice(header);
        bytes.extend_from_slice(b"\r\n");
    }
    [&bytes, &b"\r\n"[..]].concat()
}

#[tokio::test]
async fn there_is_one_bearer_token_or_none() {
    let vault = Vault::start(&[]);
    let right = format!("Authorization: Bearer {ADMIN}");
    let right = right.as_bytes();
    assert_eq!(ask(&vault, &list_with(&[right])).await.status, 200);
    let joined = format!("Authorization: Bearer {ADMIN}, Bearer {ADMIN}");
    let more = format!("Authorization: Bearer {ADMIN} CANARY");
    let less = format!("Authorization: Bearer {}", &ADMIN[..ADMIN.len() - 1]);
    let other = format!("Authorization: Basic {ADMIN}");
    let bare = format!("Authorization: {ADMIN}");
    let long = format!("Authorization: Bearer {}", "CANARY".repeat(9_000));
    for headers in [
        &[][..],
        &[right, right],
        &[right, b"Authorization: Bearer CANARY"],
        &[b"Authorization: Bearer CANARY", right],
        &[joined.as_bytes()],
        &[more.as_bytes()],
        &[less.as_bytes()],
        &[other.as_bytes()],
        &[bare.as_bytes()],
        &[long.as_bytes()],
        &[b"Authorization:"],
        &[b"Authorization: Bearer"],
        &[b"Authorization: Bearer  "],
        &[b"Authorization: Bearer CANARY\xff\xfe"],
        &[b"Authorization: \xffBearer CANARY"],
        &[b"Proxy-Authorization: Bearer CANARY"],
    ] {
        let answer = ask(&vault, &list_with(headers)).await;
        answer.refused(
            401,
            &format!("{:?}", headers.iter().map(|h| String::from_utf8_lossy(h)).collect::<Vec<_>>()),
        );
        assert!(answer.head.to_lowercase().contains("www-authenticate: bearer"), "{answer:?}");
    }
    assert_unharmed(&vault).await;
}

#[tokio::test]
async fn headers_of_sixty_kibibytes_are_read_and_more_are_refused() {
    let vault = Vault::start(&[]);
    let right = format!("Authorization: Bearer {ADMIN}");
    let one = format!("X-Filler: {}", "CANARY".repeat(10_000));
    let many: Vec<String> =
        (0..60).map(|number| format!("X-Filler-{number}: {}", "CANARY".repeat(160))).collect();
    let many: Vec<&[u8]> = many.iter().map(String::as_bytes).chain([right.as_bytes()]).collect();
    for headers in [&[right.as_bytes(), one.as_bytes()][..], &many] {
        let answer = ask(&vault, &list_with(headers)).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "[]"));
    }
    let too_long = format!("X-Filler: {}", "CANARY".repeat(12_000));
    let too_many = vec![&b"X-Filler: CANARY"[..]; 1_000];
    for headers in [&[right.as_bytes(), too_long.as_bytes()][..], &too_many] {
        let answer = ask(&vault, &list_with(headers)).await;
        assert_eq!(answer.status, 431);
        answer.says_nothing("too much of headers");
    }
    assert_unharmed(&vault).await;
}

#[tokio::test]
async fn what_is_no_header_is_no_request() {
    let vault = Vault::start(&[]);
    for header in [
        &b"CANARY"[..],
        b"X CANARY: y",
        b"X-CANARY : y",
        b": CANARY",
        b"X: y\r\n folded CANARY",
        b"X: CANARY\x00",
        b"X: CANARY\x1b[2J",
        b"X\xff: CANARY",
    ] {
        let answer = ask(&vault, &list_with(&[header])).await;
        answer.says_nothing(&String::from_utf8_lossy(header));
        assert_eq!(answer.status, 400, "{:?}", String::from_utf8_lossy(header));
    }
    assert_unharmed(&vault).await;
}

#[tokio::test]
async fn if_match_is_one_version_in_quotes() {
    let vault = Vault::start(&[]);
    let create = json!({"name": "a", "kind": "manual", "value": "v"});
    vault.expect(Method::POST, "/v1/secrets", create, 201).await;
    let change = |headers: &[&str]| {
        let headers = [&["Content-Type: application/json"], headers].concat();
        request("PUT", b"/v1/secrets/a", &headers, br#"{"description": "d"}"#)
    };
    for form in [
        "1",
        "*",
        "W/\"1\"",
        "\"1",
        "1\"",
        "\"\"",
        "\"-1\"",
        "\"+1\"",
        "\"1 \"",
        "\"CANARY\"",
        "\"1\", \"2\"",
        "\"18446744073709551616\"",
        "",
        "'1'",
        "\"0x1\"",
        "\"1.0\"",
    ] {
        ask(&vault, &change(&[&format!("If-Match: {form}")])).await.refused(400, form);
    }
    ask(&vault, &change(&["If-Match: \"1\"", "If-Match: \"1\""])).await.refused(400, "twice");
    for other in ["\"0\"", "\"2\"", "\"18446744073709551615\""] {
        ask(&vault, &change(&[&format!("If-Match: {other}")])).await.refused(412, other);
    }
    let answer = ask(&vault, &change(&["If-Match:   \"1\"  "])).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("etag: \"1\""), "{answer:?}");
    assert_unharmed(&vault).await;
}

/// No name of a header and no value of one is any use for saying something to the log's reader.
#[tokio::test]
async fn a_header_does_not_reach_the_log() {
    let vault = Vault::start(&[("VAULT_LOG", "debug")]);
    let headers = [
        "User-Agent: CANARY",
        "X-Request-Id: CANARY",
        "X-Forwarded-For: CANARY",
        "Cookie: CANARY",
        "Referer: CANARY",
        "Traceparent: CANARY",
    ];
    let answer = send(&vault, &request("GET", b"/v1/secrets/none", &headers, b"")).await;
    assert!(!String::from_utf8_lossy(&answer).contains("CANARY"));
    assert_unharmed(&vault).await;
    assert!(!std::fs::read_to_string(vault.audit_path()).unwrap().contains("CANARY"));
}
