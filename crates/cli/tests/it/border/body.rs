//! Bodies that are not what an endpoint takes.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use super::{Answer, CANARY, ask, assert_unharmed, request};
use crate::vault::{ADMIN, Vault};

/// An endpoint that takes a body: its method, its path, and a body with every field it has, each as JSON.
struct Taker {
    method: &'static str,
    path: &'static str,
    fields: &'static [(&'static str, &'static str)],
    required: &'static [&'static str],
}

const TAKERS: [Taker; 8] = [
    Taker {
        method: "POST",
        path: "/v1/secrets",
        fields: &[
            ("name", r#""new""#),
            ("kind", r#""automatic""#),
            ("value", r#""v""#),
            ("description", r#""d""#),
            ("rotation_interval_secs", "3600"),
            ("grace_period_secs", "60"),
        ],
        required: &["name", "kind"],
    },
    Taker {
        method: "POST",
        path: "/v1/secrets",
        fields: &[
            ("name", r#""n""#),
            ("kind", r#""manual""#),
            ("username", r#""u""#),
            ("password", r#""p""#),
        ],
        required: &["name", "kind"],
    },
    Taker {
        method: "PUT",
        path: "/v1/secrets/auto",
        fields: &[
            ("value", r#""v""#),
            ("description", r#""d""#),
            ("rotation_interval_secs", "3600"),
            ("grace_period_secs", "60"),
        ],
        required: &[],
    },
    Taker {
        method: "PUT",
        path: "/v1/secrets/login",
        fields: &[("username", r#""u""#), ("password", r#""p""#)],
        required: &[],
    },
    Taker {
        method: "POST",
        path: "/v1/secrets/auto/verify",
        fields: &[("value", r#""v""#)],
        required: &["value"],
    },
    Taker {
        method: "POST",
        path: "/v1/batch/secrets",
        fields: &[("names", r#"["auto"]"#)],
        required: &["names"],
    },
    Taker {
        method: "POST",
        path: "/v1/tokens",
        fields: &[
            ("name", r#""t""#),
            ("role", r#""admin""#),
            ("expires_in_secs", "60"),
            ("allowed_ips", r#"["10.0.0.1"]"#),
        ],
        required: &["name", "role"],
    },
    Taker {
        method: "POST",
        path: "/v1/roles",
        fields: &[
            ("name", r#""r""#),
            ("description", r#""d""#),
            ("is_admin", "false"),
            ("permissions", r#"[{"action": "read", "path": "a"}]"#),
        ],
        required: &["name"],
    },
];

/// A role's rules are taken in two places; these stand in for any of their values.
const RULES: Taker = Taker {
    method: "PUT",
    path: "/v1/roles/ops/permissions",
    fields: &[("permissions", r#"[{"action": "read", "path": "a"}]"#)],
    required: &["permissions"],
};

fn takers() -> impl Iterator<Item = &'static Taker> {
    TAKERS.iter().chain([&RULES])
}

impl Taker {
    /// Its body, with this in place of the field's value.
    fn body_with(&self, field: &str, value: &str) -> String {
        let value_of =
            |name: &str, own: &'static str| if name == field { value.to_owned() } else { own.to_owned() };
        let members = self.fields.iter().map(|(name, own)| format!("{name:?}: {}", value_of(name, own)));
        format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
    }

    /// Its body, with more at the end.
    fn body_and(&self, more: &str) -> String {
        let body = self.body_with("", "");
        format!("{}, {more}}}", body.strip_suffix('}').unwrap())
    }

    async fn take(&self, vault: &Vault, body: &[u8]) -> Answer {
        self.take_as(vault, "Content-Type: application/json", body).await
    }

    async fn take_as(&self, vault: &Vault, content_type: &str, body: &[u8]) -> Answer {
        ask(vault, &request(self.method, self.path.as_bytes(), &[content_type], body)).await
    }
}

async fn vault() -> Vault {
    let vault = Vault::start(&[]);
    for body in [
        r#"{"name": "auto", "kind": "automatic", "value": "v", "rotation_interval_secs": 3600}"#,
        r#"{"name": "login", "kind": "manual", "username": "u", "password": "p"}"#,
    ] {
        let create = request("POST", b"/v1/secrets", &["Content-Type: application/json"], body.as_bytes());
        assert_eq!(ask(&vault, &create).await.status, 201);
    }
    let role = request("POST", b"/v1/roles", &["Content-Type: application/json"], br#"{"name": "ops"}"#);
    assert_eq!(ask(&vault, &role).await.status, 201);
    vault
}

/// What is no value of any field.
fn never_right() -> Vec<String> {
    let texts = [
        r#"{"CANARY x": "CANARY x"}"#,
        r#"["CANARY x", {"CANARY": 1}]"#,
        r#"[["CANARY x"]]"#,
        "1e999",
        "-1",
        "1.5",
        "1E2",
        "01",
        "123456789012345678901234567890",
        "NaN",
        "nul",
        "'CANARY'",
        "CANARY",
        r#""CANARY"#,
        r#""CANARY \ud800""#,
        r#""CANARY \ud800\u0041""#,
        r#""CANARY \udc00\ud800""#,
        r#""CANARY \x41""#,
        r#""CANARY \u00""#,
        "\"CANARY \u{1}\"",
        "\"CANARY \u{0}\"",
        "\"CANARY \n\"",
        "",
    ];
    let deep = |open: &str, close: &str| format!("{}\"{CANARY}\"{}", open.repeat(5_000), close.repeat(5_000));
    let mut all = texts.map(str::to_owned).to_vec();
    all.extend([deep("[", "]"), deep(r#"{"value":"#, "}"), "[".repeat(100_000)]);
    all
}

#[tokio::test]
async fn a_value_that_is_none_is_refused_in_every_field() {
    let vault = vault().await;
    for taker in takers() {
        for (field, _) in taker.fields {
            for value in never_right() {
                let answer = taker.take(&vault, taker.body_with(field, &value).as_bytes()).await;
                let start: String = value.chars().take(40).collect();
                answer.refused(400, &format!("{} {} {field}: {start}", taker.method, taker.path));
            }
        }
    }
    assert_unharmed(&vault).await;
}

/// Values that are right elsewhere, for a field whose own is this.
fn wrong_for(field: &str, own: &str) -> Vec<&'static str> {
    let (text, number) = (own.starts_with('"'), own.parse::<u64>().is_ok());
    let values = [("\"CANARY x\"", text), ("7", number), ("true", field == "is_admin"), ("{}", false)];
    values.into_iter().filter(|(_, right)| !right).map(|(value, _)| value).collect()
}

#[tokio::test]
async fn a_value_of_another_type_is_refused() {
    let vault = vault().await;
    for taker in takers() {
        for (field, own) in taker.fields {
            for other in wrong_for(field, own) {
                let answer = taker.take(&vault, taker.body_with(field, other).as_bytes()).await;
                answer.refused(400, &format!("{} {} {field}: {other}", taker.method, taker.path));
            }
            if taker.required.contains(field) {
                let answer = taker.take(&vault, taker.body_with(field, "null").as_bytes()).await;
                answer.refused(400, &format!("{} {} {field}: null", taker.method, taker.path));
            }
        }
    }
    for rule in [
        r#"["read", "a"]"#,
        r#"{"action": "read"}"#,
        r#"{"action": "CANARY", "path": "a"}"#,
        r#"{"action": "read", "path": "CANARY x"}"#,
        r#"{"action": "read", "action": "read", "path": "a"}"#,
        r#"{"action": "read", "path": "a", "CANARY": 1}"#,
        r#"{"action": {"read": null}, "path": "a"}"#,
    ] {
        let body = format!(r#"{{"permissions": [{rule}]}}"#);
        RULES.take(&vault, body.as_bytes()).await.refused(400, rule);
    }
    assert_unharmed(&vault).await;
}

#[tokio::test]
async fn a_body_has_each_known_field_once_and_all_that_are_required() {
    let vault = vault().await;
    for taker in takers() {
        let what = format!("{} {}", taker.method, taker.path);
        for more in [r#""CANARY x": "CANARY x""#, r#""": 1"#, r#""Name": "n""#, r#""__proto__": {}"#] {
            taker.take(&vault, taker.body_and(more).as_bytes()).await.refused(400, &what);
        }
        for (field, own) in taker.fields {
            let twice = taker.body_and(&format!("{field:?}: {own}"));
            taker.take(&vault, twice.as_bytes()).await.refused(400, &format!("{what}: {field} twice"));
            let null_first = taker.body_and(&format!("{field:?}: null"));
            taker
                .take(&vault, null_first.as_bytes())
                .await
                .refused(400, &format!("{what}: {field} and null"));
        }
        for missing in taker.required {
            let members = taker.fields.iter().filter(|(name, _)| name != missing);
            let members: Vec<_> = members.map(|(name, own)| format!("{name:?}: {own}")).collect();
            let body = format!("{{{}}}", members.join(", "));
            taker.take(&vault, body.as_bytes()).await.refused(400, &format!("{what} without {missing}"));
        }
    }
    assert_unharmed(&vault).await;
}

#[tokio::test]
async fn a_body_is_one_object_in_utf_8() {
    let vault = vault().await;
    for taker in takers() {
        let own = taker.body_with("", "");
        let values: Vec<_> = taker.fields.iter().map(|(_, own)| *own).collect();
        let wide: Vec<u8> = own.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let bodies: [Vec<u8>; 14] = [
            format!("[{}]", values.join(", ")).into(),
            format!("[{own}]").into(),
            format!("{own}{own}").into(),
            format!("{own} CANARY").into(),
            format!("\u{feff}{own}").into(),
            format!("{own}\0").into(),
            own.replace('"', "'").into(),
            own.replacen('}', ",}", 1).into(),
            format!("/* CANARY */ {own}").into(),
            own.strip_suffix('}').unwrap().into(),
            b"\"CANARY\"".to_vec(),
            b"null".to_vec(),
            b" ".to_vec(),
            wide,
        ];
        for body in bodies {
            let what = format!("{} {}: {}", taker.method, taker.path, String::from_utf8_lossy(&body));
            taker.take(&vault, &body).await.refused(400, &what);
        }
        for bytes in [&b"\xff"[..], b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"] {
            let (field, _) = taker.fields[0];
            let (before, after) = (format!("{{{field:?}: \"CANARY"), "\"}");
            let body = [before.as_bytes(), bytes, after.as_bytes()].concat();
            taker.take(&vault, &body).await.refused(400, &format!("{} {bytes:?}", taker.path));
        }
    }
    assert_unharmed(&vault).await;
}

#[tokio::test]
async fn a_body_says_that_it_is_json() {
    let vault = vault().await;
    for taker in takers() {
        let own = taker.body_with("", "");
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonCANARY",
            "json",
            "",
            "application/json, text/plain",
            "text/json; application/json",
        ] {
            let answer = taker.take_as(&vault, &format!("Content-Type: {kind}"), own.as_bytes()).await;
            answer.refused(415, &format!("{} {kind}", taker.path));
        }
        let twice = "Content-Type: application/json\r\nContent-Type: application/json";
        taker.take_as(&vault, twice, own.as_bytes()).await.refused(415, "two content types");
        taker.take_as(&vault, "X-Other: CANARY", own.as_bytes()).await.refused(415, "no content type");
    }
    assert_unharmed(&vault).await;
}

/// 1 MiB, made of the endpoint's own body and of what JSON allows around it.
fn body_of(taker: &Taker, bytes: usize) -> Vec<u8> {
    let mut body = taker.body_with("", "").into_bytes();
    body.resize(bytes, b' ');
    body
}

const BODY_BYTES_MAX: usize = 1 << 20;

#[tokio::test]
async fn a_body_of_one_mebibyte_is_taken_and_one_byte_more_is_not() {
    let vault = vault().await;
    for taker in takers() {
        let what = format!("{} {}", taker.method, taker.path);
        let fits = taker.take(&vault, &body_of(taker, BODY_BYTES_MAX)).await;
        assert!(matches!(fits.status, 200 | 201), "{what}: {fits:?}");
        taker.take(&vault, &body_of(taker, BODY_BYTES_MAX + 1)).await.refused(413, &what);
    }
    assert_unharmed(&vault).await;
}

/// A client of the usual kind, which sends its whole body before it looks for an answer, gets to read the 413.
#[tokio::test]
async fn a_client_that_sends_too_much_is_told_so() {
    let vault = vault().await;
    for bytes in [BODY_BYTES_MAX + 1, 2 * BODY_BYTES_MAX, 8 * BODY_BYTES_MAX] {
        for _ in 0..5 {
            let body = format!("{CANARY}{}", " ".repeat(bytes - CANARY.len()));
            let post = vault.request(Method::POST, "/v1/secrets").bearer_auth(ADMIN);
            let answer = post.header(CONTENT_TYPE, "application/json").body(body).send().await;
            let answer = answer.unwrap_or_else(|error| panic!("{bytes} bytes: no answer: {error:?}"));
            assert_eq!(answer.status(), 413);
            assert!(!answer.text().await.unwrap().contains(CANARY));
        }
    }
    assert_unharmed(&vault).await;
}
