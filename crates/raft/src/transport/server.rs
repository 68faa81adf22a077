//! The port for the other members: accepts, shakes hands, and closes on whoever isn't one.
//!
//! What a stranger can do ends here, and costs a bounded number of places for a bounded time: it doesn't get past
//! the handshake. Where there is none ([`TransportSecurity::Plain`]), the network itself keeps strangers away;
//! the bounds on connections, calls and messages hold nevertheless.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::handshakes::{Handshakes, Handshaking};
use super::inbox::Inbox;
use super::limits::{
    CONNECTION_WINDOW_BYTES, CONNECTIONS_MAX, HANDSHAKE_TIME_MAX, HEADER_BYTES_MAX, IDLE_TIME_MAX,
    PING_INTERVAL, PONG_TIME_MAX, RESETS_PENDING_MAX, STREAM_WINDOW_BYTES, STREAMS_MAX,
};
use super::refusals::Refusals;
use super::service::{NodeService, Peer, PeerIdentity};
use super::tls::{TransportSecurity, peer_node_id};

/// Pause after an accept that failed for want of something, such as file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A bound port.
pub(crate) struct Listener {
    tcp: TcpListener,
}

impl Listener {
    /// # Errors
    /// When the operating system doesn't give the port.
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Listener> {
        Ok(Listener { tcp: TcpListener::bind(address).await? })
    }

    /// Where it listens; tells the port where 0 was asked for.
    #[cfg(test)]
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// Serves for ever. Dropping it closes the port, and cuts every connection and call.
pub(crate) async fn serve(
    listener: Listener,
    security: TransportSecurity,
    inbox: Arc<dyn Inbox>,
    node_id: u64,
) {
    let tasks = Tasks::default();
    let _cut_at_the_end = tasks.cut.clone().drop_guard();
    let tls = match security {
        TransportSecurity::Plain => None,
        TransportSecurity::Tls(tls) => Some(TlsAcceptor::from(tls.server_config())),
    };
    let (http, refusals) = (http_builder(tasks.clone()), Arc::<Refusals>::default());
    let shell = Arc::new(Shell { tls, http, inbox, node_id, refusals });
    let (places, handshakes) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), Handshakes::default());
    loop {
        // Without a free place it stops accepting: the rest waits in the kernel's queue.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Some((stream, address)) = accept(&listener.tcp).await else { continue };
        match handshakes.begin(address.ip()) {
            Some(handshaking) => {
                let shell = Arc::clone(&shell);
                tasks.execute(async move { shell.connection(stream, address, handshaking, place).await });
            }
            None => shell.refusals.note(address, &"its address has too many handshakes under way"),
        }
    }
}

async fn accept(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            if !concerns_one_connection(&error) {
                tracing::error!(%error, "can't accept connections of other members; trying again");
                sleep(ACCEPT_RETRY).await;
            }
            None
        }
    }
}

/// The peer was gone before its connection was accepted.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// The one place from which connections and calls are spawned, so that none outlives the listener.
#[derive(Clone, Default)]
struct Tasks {
    cut: CancellationToken,
}

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let cut = self.cut.clone();
        tokio::spawn(async move { cut.run_until_cancelled_owned(task).await });
    }
}

fn http_builder(tasks: Tasks) -> Builder<Tasks> {
    let mut builder = Builder::new(tasks);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PONG_TIME_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADER_BYTES_MAX);
    builder
}

/// What all connections share.
struct Shell {
    tls: Option<TlsAcceptor>,
    http: Builder<Tasks>,
    inbox: Arc<dyn Inbox>,
    node_id: u64,
    refusals: Arc<Refusals>,
}

/// Why a connection ended before a call could be made.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("TLS handshake: {0}")]
    Handshake(#[source] io::Error),
    #[error("TLS handshake took too long")]
    SlowHandshake,
    #[error("its certificate names no node")]
    Nameless,
    #[error("no HTTP/2: {0}")]
    NoHttp(#[source] hyper::Error),
}

impl Shell {
    /// Keeps its place until it is closed.
    async fn connection(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        handshaking: Handshaking,
        _place: OwnedSemaphorePermit,
    ) {
        // Answers are small and written whole; waiting for more would only delay them.
        let _ = stream.set_nodelay(true);
        let ended = match &self.tls {
            None => {
                drop(handshaking);
                self.calls(stream, Peer { address, identity: PeerIdentity::Unproven }).await
            }
            Some(tls) => match self.shake_hands(tls, stream).await {
                Ok((stream, identity)) => {
                    drop(handshaking);
                    self.calls(stream, Peer { address, identity }).await
                }
                Err(refused) => Err(refused),
            },
        };
        if let Err(refused) = ended {
            self.refusals.note(address, &refused);
        }
    }

    async fn shake_hands(
        &self,
        tls: &TlsAcceptor,
        stream: TcpStream,
    ) -> Result<(tokio_rustls::server::TlsStream<TcpStream>, PeerIdentity), Refused> {
        let shaken = timeout(HANDSHAKE_TIME_MAX, tls.accept(stream)).await;
        let stream = shaken.map_err(|_| Refused::SlowHandshake)?.map_err(Refused::Handshake)?;
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let node_id = peer_node_id(certificates).ok_or(Refused::Nameless)?;
        Ok((stream, PeerIdentity::Certified { node_id }))
    }

    /// Serves the calls of one connection until it is closed, or nothing was asked for a while.
    async fn calls<S>(&self, stream: S, peer: Peer) -> Result<(), Refused>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (inbox, refusals) = (Arc::clone(&self.inbox), Arc::clone(&self.refusals));
        let service = NodeService::new(inbox, self.node_id, peer, refusals);
        let answering = service.clone();
        let answer = service_fn(move |request: Request<Incoming>| {
            let service = answering.clone();
            async move { Ok::<_, std::convert::Infallible>(service.answer(request).await) }
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), answer));
        tokio::select! {
            ended = connection.as_mut() => {
                // Of a connection on which calls were made, the caller knows best why it ended.
                return if service.was_called() { Ok(()) } else { ended.map_err(Refused::NoHttp) };
            }
            () = service.idle(IDLE_TIME_MAX) => {}
        }
        connection.as_mut().graceful_shutdown();
        let _closed = timeout(PONG_TIME_MAX, connection).await;
        Ok(())
    }
}
