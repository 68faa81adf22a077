//! HTTP/1 as it comes over the wire: in pieces, in a hurry, half closed, too slow, or saying two things at once.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::{Answer, BOUNDED, ask, assert_unharmed, request, send};
use crate::vault::{ADMIN, Vault, expect};

/// The status lines in what came over one connection.
fn statuses(bytes: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.split("HTTP/1.").skip(1).filter_map(|rest| rest.get(2..5)?.parse().ok());
    lines.collect()
}

fn create(name: &str) -> String {
    json!({"name": name, "kind": "manual", "value": "v"}).to_string()
}

/// Whether there is a secret of this name.
async fn exists(vault: &Vault, name: &str) -> bool {
    vault.request(Method::GET, &format!("/v1/secrets/{name}")).send().await.unwrap().status() == 200
}

#[tokio::test]
async fn http_1_0_is_answered() {
    let vault = Vault::start(&[]);
    let answer = ask(&vault, b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    let list = format!("GET /v1/secrets HTTP/1.0\r\nAuthorization: Bearer {ADMIN}\r\n\r\n");
    assert_eq!(ask(&vault, list.as_bytes()).await.body, "[]");
    let body = create("old-style");
    let post = format!(
        "POST /v1/secrets HTTP/1.0\r\nAuthorization: Bearer {ADMIN}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(ask(&vault, post.as_bytes()).await.status, 201);
    for line in ["GET /healthz HTTP/0.9", "GET /healthz HTTP/3.0", "GET /healthz", "HELLO"] {
        let answer = send(&vault, format!("{line}\r\nHost: vault\r\n\r\n").as_bytes()).await;
        assert!(matches!(statuses(&answer)[..], [] | [400..=505]), "{line}");
    }
    assert_unharmed(&vault).await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let vault = Vault::start(&[]);
    let body = create("a");
    let head = format!("Host: vault\r\nAuthorization: Bearer {ADMIN}\r\n");
    let post = format!(
        "POST /v1/secrets HTTP/1.1\r\n{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let read = format!("GET /v1/secrets/a HTTP/1.1\r\n{head}\r\n");
    let delete = format!("DELETE /v1/secrets/a HTTP/1.1\r\n{head}\r\n");
    let last = format!("GET /v1/secrets/a HTTP/1.1\r\n{head}Connection: close\r\n\r\n");
    let all = [read.as_str(), &post, &post, &read, &delete, &last].concat();
    assert_eq!(statuses(&send(&vault, all.as_bytes()).await), [404, 201, 409, 200, 204, 404]);
    assert_unharmed(&vault).await;
}

#[tokio::test]
async fn a_chunked_body_is_read_whatever_its_trailers_say() {
    let vault = Vault::start(&[]);
    let body = create("chunked");
    let (first, second) = body.split_at(7);
    let chunks = format!(
        "{:x};CANARY=1\r\n{first}\r\n{:X}\r\n{second}\r\n0\r\nAuthorization: Bearer CANARY\r\nX: CANARY\r\n\r\n",
        first.len(),
        second.len()
    );
    let headers = ["Transfer-Encoding: chunked", "Trailer: X", "Content-Type: application/json"];
    let mut bytes = request("POST", b"/v1/secrets", &headers, b"");
    bytes.extend_from_slice(chunks.as_bytes());
    assert_eq!(ask(&vault, &bytes).await.status, 201);

    for chunks in [
        "CANARY\r\n",
        "-1\r\n",
        "fffffffffffffffff\r\n",
        "5\r\nabc\r\n0\r\n\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "0x1\r\na\r\n",
    ] {
        let mut bytes = request("POST", b"/v1/secrets", &headers, b"");
        bytes.extend_from_slice(chunks.as_bytes());
        bytes.extend_from_slice(b"\r\n\r\n");
        ask(&vault, &bytes).await.refused(400, chunks);
    }
    let mut endless = request("POST", b"/v1/secrets", &headers, b"");
    endless.extend_from_slice("1;x=CANARY\r\n{\r\n".repeat(100_000).as_bytes());
    let answer = ask(&vault, &endless).await;
    assert!(matches!(answer.status, 400 | 413), "{answer:?}");
    answer.says_nothing("endless extensions of chunks");
    assert_unharmed(&vault).await;
}

#[tokio::test]
async fn a_client_that_waits_for_continue_is_told_to() {
    let vault = Vault::start(&[]);
    let body = create("continued");
    let expects = [
        "Expect: 100-continue",
        "Content-Type: application/json",
        &format!("Content-Length: {}", body.len()),
    ]
    .map(str::to_owned);
    let expects: Vec<&str> = expects.iter().map(String::as_str).collect();
    let mut stream = TcpStream::connect(vault.address()).await.unwrap();
    stream.write_all(&request("POST", b"/v1/secrets", &expects, b"")).await.unwrap();
    let mut go_on = [0; 25];
    timeout(BOUNDED, stream.read_exact(&mut go_on)).await.unwrap().unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(BOUNDED, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert_eq!(Answer::parse(&answer).status, 201);

    // Who would send too much is told before it sends anything.
    let mut stream = TcpStream::connect(vault.address()).await.unwrap();
    let too_much = ["Expect: 100-continue", "Content-Type: application/json", "Content-Length: 1048577"];
    stream.write_all(&request("POST", b"/v1/secrets", &too_much, b"")).await.unwrap();
    let mut answer = Vec::new();
    timeout(BOUNDED, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    Answer::parse(&answer).refused(413, "announced, not sent");
    assert_unharmed(&vault).await;
}

/// A request within the body of another: what a proxy and the vault could read differently. Wherever the vault
/// can't be sure of a body's length it serves at most one request of the connection, and never the hidden one.
#[tokio::test]
async fn a_request_hidden_in_another_s_body_is_not_served() {
    let vault = Vault::start(&[]);
    vault.expect(Method::POST, "/v1/secrets", serde_json::from_str(&create("kept")).unwrap(), 201).await;
    let hidden =
        format!("DELETE /v1/secrets/kept HTTP/1.1\r\nHost: vault\r\nAuthorization: Bearer {ADMIN}\r\n\r\n");
    let length = hidden.len();
    let own = format!("Content-Length: {length}");
    let forms: [(&str, Vec<&str>, String); 12] = [
        ("length, then chunked", vec![&own, "Transfer-Encoding: chunked"], format!("0\r\n\r\n{hidden}")),
        ("chunked, then length", vec!["Transfer-Encoding: chunked", &own], format!("0\r\n\r\n{hidden}")),
        (
            "no length, then chunked",
            vec!["Content-Length: 0", "Transfer-Encoding: chunked"],
            format!("0\r\n\r\n{hidden}"),
        ),
        ("two lengths", vec!["Content-Length: 0", &own], hidden.clone()),
        ("two lengths, turned", vec![&own, "Content-Length: 0"], hidden.clone()),
        ("a list of lengths", vec!["Content-Length: 0, 5"], hidden.clone()),
        ("a sign before a length", vec!["Content-Length: +0"], hidden.clone()),
        ("a length that is none", vec!["Content-Length: 0x0"], hidden.clone()),
        ("a space in a name", vec!["Content-Length : 0"], hidden.clone()),
        (
            "chunked, then something",
            vec!["Transfer-Encoding: chunked, identity"],
            format!("0\r\n\r\n{hidden}"),
        ),
        ("an unknown encoding", vec!["Transfer-Encoding: xchunked"], format!("0\r\n\r\n{hidden}")),
        ("a tab before chunked", vec!["Transfer-Encoding:\tchunked", &own], format!("0\r\n\r\n{hidden}")),
    ];
    for (what, headers, body) in forms {
        let mut head =
            format!("POST /v1/secrets HTTP/1.1\r\nHost: vault\r\nAuthorization: Bearer {ADMIN}\r\n");
        for header in headers.iter().chain(&["Content-Type: application/json"]) {
            head.push_str(header);
            head.push_str("\r\n");
        }
        let answer = send(&vault, format!("{head}\r\n{body}").as_bytes()).await;
        assert!(matches!(statuses(&answer)[..], [400]), "{what}: {}", String::from_utf8_lossy(&answer));
        assert!(exists(&vault, "kept").await, "{what}");
    }
    // HTTP/1.0 knows no chunks.
    let old = format!("POST /v1/secrets HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}");
    assert_eq!(statuses(&send(&vault, old.as_bytes()).await), [400]);
    assert!(exists(&vault, "kept").await);
    assert_unharmed(&vault).await;
}

#[tokio::test]
async fn a_client_that_closes_its_half_holds_nothing_up() {
    let vault = Vault::start(&[]);
    let whole = request("POST", b"/v1/secrets", &["Content-Type: application/json"], create("a").as_bytes());
    for bytes in [&whole[..], &whole[..whole.len() - 3], &whole[..60], b"GET", b""] {
        let mut stream = TcpStream::connect(vault.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let begun = Instant::now();
        let mut answer = Vec::new();
        let _ = timeout(BOUNDED, stream.read_to_end(&mut answer)).await.expect("it should be closed");
        assert!(begun.elapsed() < Duration::from_secs(5), "held for {:?}", begun.elapsed());
        assert!(matches!(statuses(&answer)[..], [] | [201] | [400]), "{answer:?}");
    }
    assert_unharmed(&vault).await;
}

/// A connection on which these bytes are sent at once, and then one of `drip` each second: how long it lived.
async fn lifetime(vault: &Vault, start: &str, drip: &'static [u8]) -> (Duration, Vec<u16>) {
    let begun = Instant::now();
    let stream = TcpStream::connect(vault.address()).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    writing.write_all(start.as_bytes()).await.unwrap();
    let dripping = async {
        for byte in drip.iter().cycle() {
            sleep(Duration::from_secs(1)).await;
            if writing.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    tokio::select! {
        _ = reading.read_to_end(&mut answer) => {}
        () = dripping => {}
        () = sleep(BOUNDED) => panic!("nobody cut {start:?}"),
    }
    (begun.elapsed(), statuses(&answer))
}

/// Nothing, half a line, half the headers, headers that never end, a body that doesn't come, one that stops.
/// All at once, while others are served: waits for the limits as they are shipped, some ten seconds.
#[tokio::test]
async fn who_is_slow_is_cut_and_keeps_nobody_waiting() {
    let vault = Vault::start(&[]);
    let head = format!(
        "POST /v1/secrets HTTP/1.1\r\nHost: vault\r\nAuthorization: Bearer {ADMIN}\r\nContent-Type: application/json\r\n"
    );
    let sized = format!("{head}Content-Length: 100\r\n\r\n");
    let half = format!("{sized}{{\"name\":");
    let chunk = format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\n{{\"na");
    let slow = futures_of(
        &vault,
        [
            ("", &b""[..], None),
            ("GET /v1/sec", b"", None),
            (&head, b"", None),
            (&head, b"X-Slow: y\r\n", None),
            (&sized, b"", Some(408)),
            (&half, b"", Some(408)),
            (&chunk, b"", Some(408)),
        ],
    );
    let served = async {
        for _ in 0..20 {
            let begun = Instant::now();
            expect(vault.admin(Method::GET, "/v1/secrets"), 200).await;
            assert!(begun.elapsed() < Duration::from_secs(5), "kept waiting for {:?}", begun.elapsed());
            sleep(Duration::from_millis(400)).await;
        }
    };
    tokio::join!(slow, served);
    assert_unharmed(&vault).await;
}

async fn futures_of(vault: &Vault, slow: [(&str, &'static [u8], Option<u16>); 7]) {
    let [a, b, c, d, e, f, g] = slow.map(|(start, drip, status)| async move {
        let (lived, statuses) = lifetime(vault, start, drip).await;
        assert!((9..20).contains(&lived.as_secs()), "{start:?} lived {lived:?}");
        assert_eq!(statuses, status.into_iter().collect::<Vec<_>>(), "{start:?}");
    });
    tokio::join!(a, b, c, d, e, f, g);
}

/// A body that trickles without end is cut too, after thirty seconds in all:
/// `cargo nextest run -p hyperion-vault --run-ignored all a_body_that_trickles`.
#[tokio::test]
#[ignore = "waits for half a minute"]
async fn a_body_that_trickles_is_cut() {
    let vault = Vault::start(&[]);
    let head = ["Content-Type: application/json", "Content-Length: 1000"];
    let start = String::from_utf8(request("POST", b"/v1/secrets", &head, b"")).unwrap();
    let (lived, statuses) = lifetime(&vault, &start, b" ").await;
    assert!((29..40).contains(&lived.as_secs()), "lived {lived:?}");
    assert_eq!(statuses, [408]);
    assert_unharmed(&vault).await;
}

/// Bytes that are no HTTP at all.
#[tokio::test]
async fn noise_is_answered_by_closing() {
    let vault = Vault::start(&[]);
    let noise: Vec<u8> = (0..=255).cycle().take(4_096).collect();
    for bytes in [
        &noise[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n\r\n\r\n",
        &[0; 4_096],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nCANARY CANARY CANARY CANARY",
    ] {
        let mut stream = TcpStream::connect(vault.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(BOUNDED, stream.read_to_end(&mut answer)).await.expect("it should be closed");
        assert!(!answer.windows(6).any(|window| window == b"CANARY"));
    }
    let list: Value = expect(vault.admin(Method::GET, "/v1/secrets"), 200).await;
    assert_eq!(list, json!([]));
    assert_unharmed(&vault).await;
}
