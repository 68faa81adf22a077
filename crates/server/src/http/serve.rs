//! The connection shell: accepts, limits, times and drains connections, and hands their requests to a router.
//!
//! Everything a stranger can do before a handler runs ends here: opening connections without end, dragging out
//! a handshake, dribbling headers, not reading answers, holding connections for nothing. At the limit of
//! connections the shell stops accepting and leaves the rest to the kernel's queue; those of a client that has
//! its share are closed at once, so that no client can take all.
//!
//! A request that has begun is carried out whether or not its client waits for the answer: no handler is
//! dropped half way because somebody hung up. It keeps its connection's place until it is done.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures::FutureExt;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyperion_vault_core::client_address::ProxyTrust;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::idle::Activity;
use super::patience::Patience;
use super::places::{Place, Places};

/// Connections at once. Each costs a file descriptor, so the process's own limit should lie above it.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Connections at once of one IPv4 address or one IPv6 network of 64 bits.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 256;
/// All headers of a request together, in bytes.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Requests at once on one HTTP/2 connection.
pub const HTTP2_STREAMS_MAX: u32 = 128;

/// Streams that an HTTP/2 peer may have reset before they were accepted (CVE-2023-44487, "rapid reset").
const HTTP2_RESETS_PENDING_MAX: usize = 20;
/// Pause after an accept that failed for want of something, such as file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The peer of a connection, in the extensions of each of its requests. An IPv4-mapped IPv6 address shows as
/// IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// How much, and how much time, connections get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    pub connections_max: usize,
    /// Of one IPv4 address, or of one IPv6 network of 64 bits; further ones are closed at once.
    pub connections_per_address_max: usize,
    /// For the TLS handshake.
    pub handshake_max: Duration,
    /// For the headers of a request; an idle HTTP/1 connection is closed after it too.
    pub headers_max: Duration,
    /// Without an open request, after which a connection is closed gracefully. One that is still there after
    /// the same time again, because its peer doesn't take an answer, is cut.
    pub idle_max: Duration,
    /// For a peer to take anything of what is written to it.
    pub write_stall_max: Duration,
    /// Between two pings of an HTTP/2 peer, and for its answer.
    pub ping_interval: Duration,
    pub pong_max: Duration,
    /// For the first request of a connection, once stopping has begun: it may be on its way, or lie in the
    /// kernel's buffers already. A connection that was used before closes at once.
    pub first_request_max: Duration,
    /// For requests in flight, once stopping has begun.
    pub drain_max: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> ConnectionLimits {
        ConnectionLimits {
            connections_max: CONNECTIONS_MAX,
            connections_per_address_max: CONNECTIONS_PER_ADDRESS_MAX,
            handshake_max: Duration::from_secs(10),
            headers_max: Duration::from_secs(10),
            idle_max: Duration::from_secs(60),
            write_stall_max: Duration::from_secs(30),
            ping_interval: Duration::from_secs(20),
            pong_max: Duration::from_secs(10),
            first_request_max: Duration::from_millis(250),
            drain_max: Duration::from_secs(10),
        }
    }
}

impl ConnectionLimits {
    /// The default, without a limit for each address where a proxy stands between the clients and the vault:
    /// all their connections come from its address.
    pub fn behind(proxies: &ProxyTrust) -> ConnectionLimits {
        let limits = ConnectionLimits::default();
        match proxies {
            ProxyTrust::Nobody => limits,
            ProxyTrust::Peer | ProxyTrust::Proxies(_) => {
                ConnectionLimits { connections_per_address_max: limits.connections_max, ..limits }
            }
        }
    }
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every request in flight was answered.
    Complete,
    /// So many requests were still in flight when time was up, and were cut.
    Cut { requests: usize },
}

/// Serves `router` until `stop` is cancelled, then drains: what connected before is still accepted and has
/// [`ConnectionLimits::first_request_max`] to say what it wants, nothing connects after that, idle connections
/// close at once, and requests in flight have [`ConnectionLimits::drain_max`] to end.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    limits: ConnectionLimits,
    stop: CancellationToken,
) -> Drained {
    let tasks = Tasks::default();
    let shell = Arc::new(Shell {
        tls: tls.map(TlsAcceptor::from),
        http: http_builder(&limits, tasks.clone()),
        tasks: tasks.clone(),
        router,
        limits,
        stop,
    });
    accept_until_stopped(&listener, &shell).await;
    drop(listener);
    drain(&tasks, limits.drain_max).await
}

/// What all connections share.
struct Shell {
    tls: Option<TlsAcceptor>,
    http: auto::Builder<Tasks>,
    tasks: Tasks,
    router: Router,
    limits: ConnectionLimits,
    stop: CancellationToken,
}

/// The one place from which connections and requests are spawned, so that none outlives the server.
#[derive(Clone, Default)]
struct Tasks {
    connections: TaskTracker,
    requests: TaskTracker,
    cut: CancellationToken,
}

impl Tasks {
    /// Runs a request on its own, so that it goes on when its connection doesn't.
    async fn answer(
        &self,
        request: impl Future<Output = Response<Body>> + Send + 'static,
    ) -> Result<Response<Body>, Unanswered> {
        let cut = self.cut.clone();
        let running = self.requests.spawn(async move { cut.run_until_cancelled_owned(request).await });
        match running.await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(Unanswered::Cut),
            Err(error) => {
                // Without what it panicked with: that could hold a value.
                tracing::error!(panicked = error.is_panic(), "a request handler did not end");
                Err(Unanswered::Failed)
            }
        }
    }

    async fn ended(&self) {
        self.connections.close();
        self.requests.close();
        self.connections.wait().await;
        self.requests.wait().await;
    }
}

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let cut = self.cut.clone();
        self.connections.spawn(async move { cut.run_until_cancelled_owned(task).await });
    }
}

/// A request that has no answer; its connection is closed.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("the request was cut by the stop of the server")]
    Cut,
    #[error("the request's handler failed")]
    Failed,
}

fn http_builder(limits: &ConnectionLimits, tasks: Tasks) -> auto::Builder<Tasks> {
    let mut builder = auto::Builder::new(tasks);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers_max)
        .max_buf_size(HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.pong_max)
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_pending_accept_reset_streams(HTTP2_RESETS_PENDING_MAX)
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX));
    builder
}

async fn accept_until_stopped(listener: &TcpListener, shell: &Arc<Shell>) {
    let limits = &shell.limits;
    let places = Places::new(limits.connections_max, limits.connections_per_address_max);
    while let Some(accepted) = shell.stop.run_until_cancelled(accept(listener, &places)).await {
        spawn_connection(shell, accepted);
    }
    // Whoever the kernel has let in takes himself for connected: closing the listener would reset him.
    for _ in 0..limits.connections_max {
        let Some(accepted) = accept(listener, &places).now_or_never() else { return };
        spawn_connection(shell, accepted);
    }
}

fn spawn_connection(shell: &Arc<Shell>, (stream, peer, place): Accepted) {
    let (tasks, shell) = (&shell.tasks, Arc::clone(shell));
    tasks.execute(async move {
        if let Err(error) = shell.connection(stream, peer, place).await {
            // A peer's own doing, and for nobody's attention: whoever can connect could fill the log.
            tracing::debug!(%peer, %error, "connection ended");
        }
    });
}

type Accepted = (TcpStream, SocketAddr, Arc<Place>);

/// The next connection of a client that may have one more, and its place. The place is free again once the
/// connection and its requests are done.
async fn accept(listener: &TcpListener, places: &Places) -> Accepted {
    loop {
        let free = places.next().await;
        match listener.accept().await {
            Ok((stream, peer)) => {
                let peer = canonical(peer);
                if let Some(place) = free.take(peer.ip()) {
                    return (stream, peer, Arc::new(place));
                }
                tracing::debug!(%peer, "connection refused: its address has as many as it may");
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "can't accept connections; trying again");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// The peer was gone before its connection was accepted.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

/// Why a connection ended before its time.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error("TLS handshake: {0}")]
    Handshake(#[source] io::Error),
    #[error("TLS handshake took too long")]
    SlowHandshake,
    #[error("the peer asked for nothing and didn't let the connection close")]
    Idle,
    #[error("{0}")]
    Http(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Shell {
    async fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        place: Arc<Place>,
    ) -> Result<(), ConnectionError> {
        // Answers are small and written whole: nothing is gained by waiting for more. Without it they are
        // only slower.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return self.requests(stream, peer, place).await };
        let handshake = timeout(self.limits.handshake_max, tls.accept(stream));
        // Stopping doesn't wait for a handshake: no request has come yet.
        let Some(shaken) = self.stop.run_until_cancelled(handshake).await else { return Ok(()) };
        let stream =
            shaken.map_err(|_| ConnectionError::SlowHandshake)?.map_err(ConnectionError::Handshake)?;
        self.requests(stream, peer, place).await
    }

    async fn requests<S>(&self, stream: S, peer: SocketAddr, place: Arc<Place>) -> Result<(), ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (router, tasks) = (self.router.clone(), self.tasks.clone());
        let activity = Activity::start();
        let opened = activity.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer));
            let (router, tasks) = (router.clone(), tasks.clone());
            let kept = (Arc::clone(&place), opened.open());
            async move {
                let answered = async move {
                    let _kept = kept;
                    let Ok(answer) = router.oneshot(request).await;
                    answer
                };
                tasks.answer(answered).await
            }
        });
        let stream = Patience::new(stream, self.limits.headers_max, self.limits.write_stall_max);
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            () = activity.idle_for(self.limits.idle_max) => {}
            ended = connection.as_mut() => return ended.map_err(ConnectionError::Http),
        }
        // Graceful is only what comes after the first request: before it, the connection would just be closed.
        tokio::select! {
            biased;
            ended = connection.as_mut() => return ended.map_err(ConnectionError::Http),
            _ = timeout(self.limits.first_request_max, activity.begun()) => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            ended = connection.as_mut() => ended.map_err(ConnectionError::Http),
            () = activity.idle_for(self.limits.idle_max) => Err(ConnectionError::Idle),
        }
    }
}

async fn drain(tasks: &Tasks, drain_max: Duration) -> Drained {
    if timeout(drain_max, tasks.ended()).await.is_ok() {
        return Drained::Complete;
    }
    let requests = tasks.requests.len();
    tasks.cut.cancel();
    tasks.ended().await;
    Drained::Cut { requests }
}
