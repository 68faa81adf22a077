//! A router behind the shell on a port of its own, and plain clients to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Extension;
use axum::http::StatusCode;
use axum::routing::{get, post};
use hyperion_vault_server::config::{HostPort, Listen};
use hyperion_vault_server::http::body::{BodyError, BodyLimits, read_body};
use hyperion_vault_server::http::listen::bind;
use hyperion_vault_server::http::serve::{ConnectionLimits, Drained, Peer, serve};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long a test waits for what must happen at once.
pub(super) const SOON: Duration = Duration::from_secs(5);

/// Limits so short that a test can wait for them, and so long that a busy machine keeps them.
pub(super) fn short_limits() -> ConnectionLimits {
    ConnectionLimits {
        handshake_max: Duration::from_millis(300),
        headers_max: Duration::from_millis(300),
        drain_max: SOON,
        ..ConnectionLimits::default()
    }
}

/// A running shell.
pub(super) struct Served {
    pub(super) address: SocketAddr,
    pub(super) stop: CancellationToken,
    /// Lets the requests to `/held` end.
    pub(super) release: Arc<Notify>,
    /// Tells of each request to `/held` that has begun.
    pub(super) held: Arc<Notify>,
    /// Tells of each request to `/held` that has ended.
    pub(super) carried_out: Arc<Notify>,
    serving: JoinHandle<Drained>,
}

impl Served {
    pub(super) async fn start(limits: ConnectionLimits, tls: Option<Arc<ServerConfig>>) -> Served {
        let listen = Listen::Address(HostPort { host: "127.0.0.1".into(), port: 0 });
        let listener = bind(&listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let [release, held, carried_out] = [(); 3].map(|()| Arc::new(Notify::new()));
        let router = router(Arc::clone(&release), Arc::clone(&held), Arc::clone(&carried_out));
        let serving = tokio::spawn(serve(listener, tls, router, limits, stop.clone()));
        Served { address, stop, release, held, carried_out, serving }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Waits for serving to end after a stop.
    pub(super) async fn ended(self) -> Drained {
        timeout(SOON, self.serving).await.expect("serving should end").unwrap()
    }
}

fn router(release: Arc<Notify>, held: Arc<Notify>, carried_out: Arc<Notify>) -> Router {
    let hold = move || async move {
        held.notify_one();
        release.notified().await;
        carried_out.notify_one();
        "released"
    };
    let slow = BodyLimits { idle_max: Duration::from_millis(200), ..BodyLimits::default() };
    Router::new()
        .route("/peer", get(|Extension(Peer(peer)): Extension<Peer>| async move { peer.to_string() }))
        .route("/body", post(|body: Body| accept_body(body, BodyLimits::default())))
        .route("/impatient", post(move |body: Body| accept_body(body, slow)))
        .route("/big", get(|| async { vec![b'x'; 64 << 20] }))
        .route("/held", get(hold))
}

async fn accept_body(body: Body, limits: BodyLimits) -> (StatusCode, String) {
    match read_body(body, limits).await {
        Ok(bytes) => (StatusCode::OK, bytes.len().to_string()),
        Err(BodyError::TooLarge { .. }) => (StatusCode::PAYLOAD_TOO_LARGE, String::new()),
        Err(BodyError::TooSlow) => (StatusCode::REQUEST_TIMEOUT, String::new()),
        Err(BodyError::Broken) => (StatusCode::BAD_REQUEST, String::new()),
    }
}

/// The head of a `GET`, its last line included.
pub(super) fn get_request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: vault\r\n\r\n")
}

/// Sends a `GET` and reads the answer up to and with this text.
pub(super) async fn get_until(stream: &mut TcpStream, path: &str, text: &str) {
    stream.write_all(get_request(path).as_bytes()).await.unwrap();
    read_until(stream, text).await;
}

/// Reads until what was read holds `text`.
pub(super) async fn read_until(stream: &mut (impl AsyncRead + Unpin), text: &str) -> String {
    let mut read = Vec::new();
    let mut chunk = [0; 4_096];
    loop {
        let count = timeout(SOON, stream.read(&mut chunk)).await.expect("an answer should come").unwrap();
        assert!(count > 0, "closed after {:?}, without {text:?}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&chunk[..count]);
        let so_far = String::from_utf8_lossy(&read);
        if so_far.contains(text) {
            return so_far.into_owned();
        }
    }
}

/// Everything up to the end of the stream, whether it is closed or reset.
pub(super) async fn read_to_close(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut read = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut read)).await.expect("the connection should be closed");
    String::from_utf8_lossy(&read).into_owned()
}
