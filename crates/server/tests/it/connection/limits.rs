//! Slow, big and many.

use std::time::Duration;

use axum::body::Body;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyperion_vault_server::http::body::REQUEST_BODY_BYTES_MAX;
use hyperion_vault_server::http::serve::{ConnectionLimits, HEADER_BYTES_MAX};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep, timeout};

use super::harness::{SOON, Served, get_request, get_until, read_to_close, read_until, short_limits};

#[tokio::test]
async fn headers_that_do_not_come_are_cut() {
    let served = Served::start(short_limits(), None).await;
    // Nothing at all, half an HTTP/2 preface, half a line, half the headers.
    for beginning in ["", "PRI * HTTP/2.0\r\n", "GET /peer", "GET /peer HTTP/1.1\r\nHost: vault\r\nX-Slow: "]
    {
        let mut stream = served.connect().await;
        let start = Instant::now();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        assert_eq!(read_to_close(&mut stream).await, "", "{beginning:?}");
        assert!(start.elapsed() >= Duration::from_millis(290), "{beginning:?} was cut too early");
    }
}

#[tokio::test]
async fn dribbled_headers_are_cut_as_well() {
    let served = Served::start(short_limits(), None).await;
    let (mut reading, mut writing) = served.connect().await.into_split();
    let dribble = tokio::spawn(async move {
        writing.write_all(b"GET /peer HTTP/1.1\r\nHost: vault\r\n").await.unwrap();
        while writing.write_all(b"X: y\r\n").await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    });
    read_to_close(&mut reading).await;
    timeout(SOON, dribble).await.expect("the dribble should be refused").unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time() {
    let served = Served::start(short_limits(), None).await;
    let mut stream = served.connect().await;
    get_until(&mut stream, "/peer", "127.0.0.1").await;
    assert_eq!(read_to_close(&mut stream).await, "");
}

#[tokio::test]
async fn headers_over_their_limit_are_refused() {
    let served = Served::start(ConnectionLimits::default(), None).await;
    let mut stream = served.connect().await;
    let filler = "x".repeat(HEADER_BYTES_MAX);
    let request = format!("GET /peer HTTP/1.1\r\nHost: vault\r\nX-Filler: {filler}\r\n\r\n");
    let _ = stream.write_all(request.as_bytes()).await;
    assert!(read_to_close(&mut stream).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn a_body_may_have_one_mebibyte_and_no_byte_more() {
    let served = Served::start(ConnectionLimits::default(), None).await;
    for (bytes, status) in [(REQUEST_BODY_BYTES_MAX, "200"), (REQUEST_BODY_BYTES_MAX + 1, "413")] {
        let body = "x".repeat(bytes);
        let sized = format!("Content-Length: {bytes}\r\n\r\n{body}");
        let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{bytes:x}\r\n{body}\r\n0\r\n\r\n");
        for rest in [sized, chunked] {
            let (mut reading, mut writing) = served.connect().await.into_split();
            let request = format!("POST /body HTTP/1.1\r\nHost: vault\r\n{rest}");
            // A client that closed its half would be taken for gone, so the half is handed back.
            let sending = tokio::spawn(async move {
                let _ = writing.write_all(request.as_bytes()).await;
                writing
            });
            read_until(&mut reading, &format!("HTTP/1.1 {status} ")).await;
            sending.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_body_that_stops_coming_is_cut() {
    let served = Served::start(ConnectionLimits::default(), None).await;
    let mut stream = served.connect().await;
    let request = b"POST /impatient HTTP/1.1\r\nHost: vault\r\nContent-Length: 100\r\n\r\nhalf";
    stream.write_all(request).await.unwrap();
    assert!(read_to_close(&mut stream).await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test]
async fn a_peer_that_does_not_read_its_answer_is_cut() {
    let limits = ConnectionLimits {
        connections_max: 1,
        write_stall_max: Duration::from_millis(300),
        ..ConnectionLimits::default()
    };
    let served = Served::start(limits, None).await;
    let mut deaf = served.connect().await;
    deaf.write_all(get_request("/big").as_bytes()).await.unwrap();
    // The only place is free again once the shell has given up on the first.
    let mut next = served.connect().await;
    get_until(&mut next, "/peer", "127.0.0.1").await;
}

#[tokio::test]
async fn past_the_limit_connections_wait_for_a_place() {
    let limits = ConnectionLimits { connections_max: 1, ..ConnectionLimits::default() };
    let served = Served::start(limits, None).await;
    let mut first = served.connect().await;
    get_until(&mut first, "/peer", "127.0.0.1").await;

    let mut second = served.connect().await;
    second.write_all(get_request("/peer").as_bytes()).await.unwrap();
    let early = timeout(Duration::from_millis(200), second.readable()).await;
    assert!(early.is_err(), "answered beyond the limit");

    drop(first);
    read_until(&mut second, "127.0.0.1").await;
}

#[tokio::test]
async fn handlers_see_who_the_peer_is() {
    let served = Served::start(ConnectionLimits::default(), None).await;
    let mut stream = served.connect().await;
    let own = stream.local_addr().unwrap().to_string();
    get_until(&mut stream, "/peer", &own).await;
}

#[tokio::test]
async fn http2_is_spoken_without_tls_too() {
    let served = Served::start(ConnectionLimits::default(), None).await;
    let stream = TokioIo::new(served.connect().await);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("http://vault/peer").body(Body::empty()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!((answer.version(), answer.status().as_u16()), (http::Version::HTTP_2, 200));
}
