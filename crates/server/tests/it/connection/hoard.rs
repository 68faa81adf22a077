//! Nobody can take the connections of all, neither by keeping them nor by their number.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyperion_vault_core::client_address::ProxyTrust;
use hyperion_vault_server::http::serve::{CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX, ConnectionLimits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::harness::{SOON, Served, get_request, get_until, read_to_close};

const IDLE_MAX: Duration = Duration::from_millis(400);

/// Connections may be idle for a short time only, and peers are asked often whether they live.
fn short_idleness() -> ConnectionLimits {
    ConnectionLimits {
        idle_max: IDLE_MAX,
        ping_interval: Duration::from_millis(50),
        ..ConnectionLimits::default()
    }
}

type Http2 = (SendRequest<Body>, JoinHandle<hyper::Result<()>>);

/// A peer that answers pings. The task ends with the connection.
async fn http2(served: &Served) -> Http2 {
    let stream = TokioIo::new(served.connect().await);
    let (sender, connection) = Builder::new(TokioExecutor::new()).handshake(stream).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn get(path: &str) -> Request<Body> {
    Request::get(format!("http://vault{path}")).body(Body::empty()).unwrap()
}

/// An idle HTTP/2 connection was kept for as long as its peer answered pings.
#[tokio::test]
async fn an_http2_connection_without_an_open_request_is_closed_after_its_time() {
    let served = Served::start(short_idleness(), None).await;
    for requests in [0, 2] {
        let (mut sender, connection) = http2(&served).await;
        let mut start = Instant::now();
        for _ in 0..requests {
            sleep(IDLE_MAX / 2).await;
            start = Instant::now();
            assert_eq!(sender.send_request(get("/peer")).await.unwrap().status(), StatusCode::OK);
        }
        let ended = timeout(SOON, connection).await.expect("the connection should be closed").unwrap();
        assert!(ended.is_ok(), "closed without a farewell: {ended:?}");
        assert!(start.elapsed() >= IDLE_MAX, "closed too early, after {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn an_open_request_keeps_its_http2_connection() {
    let served = Served::start(short_idleness(), None).await;
    let (mut sender, connection) = http2(&served).await;
    let answer = tokio::spawn(sender.send_request(get("/held")));
    served.held.notified().await;
    sleep(IDLE_MAX * 3).await;
    assert!(!connection.is_finished());

    served.release.notify_one();
    let answer = answer.await.unwrap().expect("the request should be answered");
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "released");
}

#[tokio::test]
async fn an_http2_peer_that_does_not_take_its_answer_is_cut() {
    let served = Served::start(short_idleness(), None).await;
    let (mut sender, connection) = http2(&served).await;
    // More than the window of a stream, and nobody reads it.
    let _unread = sender.send_request(get("/big")).await.unwrap();
    let start = Instant::now();
    let _ = timeout(SOON, connection).await.expect("the connection should be cut");
    assert!(start.elapsed() >= IDLE_MAX, "cut too early, after {:?}", start.elapsed());
}

/// A connection from this loopback address.
async fn connect_from(client: [u8; 4], served: &Served) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((client, 0))).unwrap();
    socket.connect(served.address).await.unwrap()
}

#[tokio::test]
async fn a_client_with_its_share_of_connections_gets_no_more_and_others_do() {
    let limits = ConnectionLimits { connections_per_address_max: 2, ..ConnectionLimits::default() };
    let served = Served::start(limits, None).await;
    let (greedy, other) = ([127, 0, 0, 1], [127, 0, 0, 2]);
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut stream = connect_from(greedy, &served).await;
        get_until(&mut stream, "/peer", "127.0.0.1").await;
        kept.push(stream);
    }
    let start = Instant::now();
    assert_eq!(read_to_close(&mut connect_from(greedy, &served).await).await, "");
    assert!(start.elapsed() < limits.headers_max, "closed late");
    get_until(&mut connect_from(other, &served).await, "/peer", "127.0.0.2").await;

    for stream in &mut kept {
        get_until(stream, "/peer", "127.0.0.1").await;
    }
    drop(kept);
    timeout(SOON, until_served(greedy, &served)).await.expect("the share should be free again");
}

/// Ends when a connection from this address is answered.
async fn until_served(client: [u8; 4], served: &Served) {
    loop {
        let mut stream = connect_from(client, served).await;
        let asked = stream.write_all(get_request("/peer").as_bytes()).await;
        if asked.is_ok() && stream.read_u8().await.is_ok() {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn behind_a_trusted_proxy_one_address_may_have_all_connections() {
    let share = |proxies| ConnectionLimits::behind(&proxies).connections_per_address_max;
    assert_eq!(share(ProxyTrust::Nobody), CONNECTIONS_PER_ADDRESS_MAX);
    assert_eq!(share(ProxyTrust::Peer), CONNECTIONS_MAX);
}
