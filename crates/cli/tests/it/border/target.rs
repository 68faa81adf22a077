//! Paths and query strings that somebody made up.

use super::{Answer, ask, assert_unharmed, request};
use crate::vault::Vault;

async fn get(vault: &Vault, target: &str) -> Answer {
    ask(vault, &request("GET", target.as_bytes(), &[], b"")).await
}

/// What may stand in no name, and what becomes of it in a path: 400 for what isn't a name, 404 for what isn't
/// even text.
const HOSTILE: [(&str, u16); 26] = [
    ("%00", 400),
    ("CANARY%00", 400),
    ("..", 400),
    ("%2e%2e", 400),
    ("%2E", 400),
    ("../CANARY", 400),
    ("a/../CANARY", 400),
    ("a/%2e%2e/CANARY", 400),
    ("%2e%2e%2fCANARY", 400),
    ("%252e%252e", 400),
    ("a%252FCANARY", 400),
    ("a//CANARY", 400),
    ("%2FCANARY", 400),
    ("CANARY%2F", 400),
    ("CANARY/", 400),
    ("CANARY%20x", 400),
    ("CANARY+x", 400),
    ("CANARY%0d%0aSet-Cookie:x", 400),
    ("CANARY%zz", 400),
    ("CANARY%", 400),
    ("CANARY;x=y", 400),
    ("CANARY%F0%9F%92%A9", 400),
    ("CANARY%E2%80%AE", 400),
    ("CANARY%ff", 404),
    ("CANARY%C0%AE%C0%AE", 404),
    ("CANARY%ED%A0%80", 404),
];

#[tokio::test]
async fn a_hostile_name_in_a_path_is_refused() {
    let vault = Vault::start(&[]);
    let long = [("x".repeat(256), 400), ("CANARY/".repeat(2_000), 400), ("%41".repeat(5_000), 400)];
    let hostile = HOSTILE.iter().map(|(name, status)| ((*name).to_owned(), *status)).chain(long);
    for (name, status) in hostile {
        for (method, path) in [
            ("GET", format!("/v1/secrets/{name}")),
            ("DELETE", format!("/v1/secrets/{name}")),
            ("POST", format!("/v1/secrets/{name}/rotate")),
            ("GET", format!("/v1/versions/{name}")),
        ] {
            let answer = ask(&vault, &request(method, path.as_bytes(), &[], b"")).await;
            answer.refused(status, &format!("{method} {path}"));
        }
        // Other names have no slash: a raw one makes another path.
        let status = if name.contains('/') { 404 } else { status };
        for (method, path) in [
            ("GET", format!("/v1/roles/{name}")),
            ("DELETE", format!("/v1/roles/{name}")),
            ("DELETE", format!("/v1/tokens/{name}")),
            ("DELETE", format!("/v1/admin/lockouts/{name}")),
        ] {
            let answer = ask(&vault, &request(method, path.as_bytes(), &[], b"")).await;
            answer.refused(status, &format!("{method} {path}"));
        }
    }
    assert_unharmed(&vault).await;
}

#[tokio::test]
async fn a_path_that_only_looks_like_one_is_none() {
    let vault = Vault::start(&[]);
    for target in [
        "/",
        "//v1/secrets",
        "/v1//secrets",
        "/v1/./secrets",
        "/v1/../v1/secrets",
        "/V1/secrets",
        "/v1/secrets/",
        "/v1/secrets%3Flimit=1",
        "/v1/secrets;CANARY",
        "/v1%2Fsecrets",
        "/%76%31/secrets",
        "/v1/secrets%00",
        "/healthz/",
        "/healthz/../v1/secrets",
        "/metrics/CANARY",
        "/v1/roles/",
        "/CANARY",
    ] {
        get(&vault, target).await.refused(404, target);
    }
    for (method, target, status) in [
        ("OPTIONS", "*", 404),
        ("CONNECT", "vault:443", 404),
        ("GETT", "/CANARY", 404),
        ("get", "/v1/secrets", 405),
        ("TRACE", "/v1/secrets", 405),
        ("PATCH", "/v1/secrets/CANARY", 405),
    ] {
        let answer = ask(&vault, &request(method, target.as_bytes(), &[], b"")).await;
        answer.refused(status, &format!("{method} {target}"));
    }
    // The absolute form (RFC 9112 §3.2.2) is for whom it names, and means the same path.
    assert_eq!(get(&vault, "http://elsewhere/v1/secrets").await.status, 200);
    assert_unharmed(&vault).await;
}

#[tokio::test]
async fn a_query_has_known_parameters_once_and_within_bounds() {
    let vault = Vault::start(&[]);
    let many = format!("/v1/secrets?{}", "prefix=CANARY&".repeat(500));
    for target in [
        "/v1/secrets?CANARY",
        "/v1/secrets?CANARY=1",
        "/v1/secrets?prefix=a&prefix=CANARY",
        "/v1/secrets?%70refix=a",
        "/v1/secrets?Prefix=a",
        "/v1/secrets?prefix=CANARY%ff",
        "/v1/secrets?prefix%00=a",
        "/v1/secrets?limit=0",
        "/v1/secrets?limit=-1",
        "/v1/secrets?limit=+1",
        "/v1/secrets?limit=1e3",
        "/v1/secrets?limit=10001",
        "/v1/secrets?limit=99999999999999999999",
        "/v1/secrets?limit=",
        "/v1/secrets?limit",
        "/v1/secrets?limit=1;prefix=CANARY",
        "/v1/secrets?=CANARY",
        "/v1/secrets?limit=%31%00",
        &many,
        "/v1/secrets/a?version=CANARY",
        "/v1/secrets/a?version=",
        "/v1/secrets/a?version=1&version=1",
        "/v1/secrets/a?version=0x1",
        "/v1/secrets/a?version=18446744073709551616",
        "/v1/secrets/a?CANARY=1",
        "/v1/versions/a?CANARY=1",
        "/v1/roles?CANARY=1",
        "/v1/tokens?CANARY",
        "/v1/admin/lockouts?CANARY",
        "/metrics?CANARY",
        "/v1/admin/audit?CANARY=1",
        "/v1/admin/audit?from=CANARY",
        "/v1/admin/audit?limit=0",
        "/v1/admin/audit?before=-1",
        "/v1/admin/audit?action=CANARY",
        "/v1/admin/audit?outcome=CANARY",
    ] {
        get(&vault, target).await.refused(400, target);
    }
    for target in [
        "/v1/secrets?",
        "/v1/secrets?&&&",
        "/v1/secrets?prefix",
        "/v1/secrets?prefix=%00",
        "/v1/secrets?after=%F4%8F%BF%BF",
        "/v1/secrets?prefix=a&after=zzz",
        "/v1/secrets?prefix=z&after=a",
        "/v1/secrets?prefix=%F4%8F%BF%BF&after=a",
        "/v1/secrets?limit=10000",
        "/v1/secrets?limit=0001",
    ] {
        let answer = get(&vault, target).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "[]"), "{target}: {answer:?}");
    }
    for target in ["/v1/secrets/a?version=0", "/v1/secrets/a?version=18446744073709551615"] {
        get(&vault, target).await.refused(404, target);
    }
    assert_unharmed(&vault).await;
}

/// What is no request line at all gets a bare answer from the connection, before there is a request.
#[tokio::test]
async fn a_request_line_that_is_none_ends_the_connection() {
    let vault = Vault::start(&[]);
    let long = format!("/v1/secrets/{}", "CANARY".repeat(20_000));
    for (target, statuses) in [
        (&b"/v1/secrets/\xff"[..], &[400, 404][..]),
        (b"/v1/secrets/\x00", &[400]),
        (b"/v1/secrets/a b", &[400]),
        (b"", &[400]),
        (b"CANARY", &[400, 404]),
        (long.as_bytes(), &[414, 431]),
    ] {
        let answer = ask(&vault, &request("GET", target, &[], b"")).await;
        answer.says_nothing(&format!("{target:?}"));
        assert!(statuses.contains(&answer.status), "{answer:?}");
    }
    assert_unharmed(&vault).await;
}
