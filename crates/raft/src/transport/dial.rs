//! The way to one peer: one HTTP/2 connection that all calls share, made when it is wanted and again when it broke.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::{BoxFuture, FutureExt, Shared};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tonic::body::Body;

use super::limits::{
    CONNECT_TIME_MAX, CONNECTION_WINDOW_BYTES, HANDSHAKE_TIME_MAX, HEADER_BYTES_MAX, PING_INTERVAL,
    PONG_TIME_MAX, REDIAL_PAUSE, STREAM_WINDOW_BYTES,
};
use super::tls::{NodeTls, TransportSecurity};

/// An open connection.
pub(super) type Link = SendRequest<Body>;

/// Where a peer is, and the connection to it.
pub(super) struct Dialler {
    peer: u64,
    address: String,
    security: TransportSecurity,
    /// The last, under way or over.
    attempt: Mutex<Option<Attempt>>,
}

/// Shared by all who want the connection, and carried out even if none of them waits so long.
type Attempt = Shared<BoxFuture<'static, Result<Link, DialFailure>>>;

/// No connection to the peer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub(super) struct DialFailure {
    reason: Arc<str>,
    at: Instant,
}

impl DialFailure {
    fn now(reason: &dyn fmt::Display) -> DialFailure {
        DialFailure { reason: reason.to_string().into(), at: Instant::now() }
    }
}

impl Dialler {
    pub(super) fn new(peer: u64, address: String, security: TransportSecurity) -> Dialler {
        Dialler { peer, address, security, attempt: Mutex::new(None) }
    }

    pub(super) fn peer(&self) -> u64 {
        self.peer
    }

    /// The open connection, or a new one. Fails at once where the last attempt failed a moment ago.
    pub(super) async fn link(&self) -> Result<Link, DialFailure> {
        let attempt = {
            let mut attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
            match attempt.as_ref().map(|last| (last, last.peek())) {
                Some((_, Some(Ok(link)))) if !link.is_closed() => return Ok(link.clone()),
                Some((_, Some(Err(failure)))) if failure.at.elapsed() < REDIAL_PAUSE => {
                    return Err(failure.clone());
                }
                Some((under_way, None)) => under_way.clone(),
                _ => attempt.insert(self.dial()).clone(),
            }
        };
        attempt.await
    }

    fn dial(&self) -> Attempt {
        let dialled = dial(self.peer, self.address.clone(), self.security.clone());
        let dialled = tokio::spawn(dialled.map(|link| link.map_err(|error| DialFailure::now(&error))));
        dialled.map(|ended| ended.unwrap_or_else(|error| Err(DialFailure::now(&error)))).boxed().shared()
    }
}

async fn dial(peer: u64, address: String, security: TransportSecurity) -> io::Result<Link> {
    let stream = within(CONNECT_TIME_MAX, TcpStream::connect(address)).await?;
    // Calls are small and written whole; waiting for more would only delay them.
    stream.set_nodelay(true)?;
    match security {
        TransportSecurity::Plain => open(stream).await,
        TransportSecurity::Tls(tls) => {
            let connector = TlsConnector::from(tls.client_config());
            let connected = connector.connect(NodeTls::server_name(peer), stream);
            open(within(HANDSHAKE_TIME_MAX, connected).await?).await
        }
    }
}

async fn within<T>(limit: std::time::Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Begins HTTP/2. The connection closes when nobody holds the link any longer, or the peer gives no sign of life.
async fn open<S>(stream: S) -> io::Result<Link>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PONG_TIME_MAX)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADER_BYTES_MAX);
    let handshake = builder.handshake::<_, Body>(TokioIo::new(stream));
    let handshake = async { handshake.await.map_err(io::Error::other) };
    let (link, connection) = within(HANDSHAKE_TIME_MAX, handshake).await?;
    tokio::spawn(connection.map(drop));
    Ok(link)
}

/// Sends one request and waits for the head of its answer.
pub(super) async fn send(
    mut link: Link,
    request: http::Request<Body>,
) -> Result<http::Response<Incoming>, hyper::Error> {
    link.send_request(request).await
}
