//! The connection below a session: TCP, and TLS as `sslmode` asks for it, with the login watched.

use std::convert::Infallible;
use std::future::{self, Ready};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use hyperion_vault_core::target::{DatabaseHost, SslMode};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

use super::channel_binding::tls_server_end_point;
use super::fault::Fault;
use super::login_watch::{LoginWatch, Seen};
use super::tls::{TlsModes, verifies};

/// `SSLRequest`: its length, and 1234 and 5679 in the place of a version ("Message Formats").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const TLS_OFFERED: u8 = b'S';
const TLS_NOT_OFFERED: u8 = b'N';

/// A connection to a server, ready for the login.
pub(super) struct Channel {
    stream: Stream,
    watch: Arc<Mutex<LoginWatch>>,
    binding: Option<Vec<u8>>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// Tells what was seen of the login on a channel that is in somebody else's hands.
pub(super) struct LoginSeen(Arc<Mutex<LoginWatch>>);

impl LoginSeen {
    pub(super) fn get(&self) -> Seen {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).seen()
    }
}

impl Channel {
    /// # Errors
    /// [`Fault::Unreachable`], [`Fault::Tls`], [`Fault::NoAuthorities`], [`Fault::Protocol`].
    pub(super) async fn open(host: &DatabaseHost, mode: SslMode, tls: &TlsModes) -> Result<Channel, Fault> {
        let config = tls.of(mode)?;
        let unreachable = |_| Fault::Unreachable { host: host.clone() };
        let tcp = TcpStream::connect((host.host(), host.port())).await.map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        let stream = match config {
            None => Stream::Plain(tcp),
            Some(config) => negotiate(tcp, host, mode, config).await?,
        };
        let binding = stream.certificate().and_then(tls_server_end_point);
        let watch = Arc::new(Mutex::new(LoginWatch::new(verifies(mode))));
        Ok(Channel { stream, watch, binding })
    }

    pub(super) fn login_seen(&self) -> LoginSeen {
        LoginSeen(Arc::clone(&self.watch))
    }
}

/// Asks for TLS as PostgreSQL has it, before anything else is said.
async fn negotiate(
    mut tcp: TcpStream,
    host: &DatabaseHost,
    mode: SslMode,
    config: &Arc<ClientConfig>,
) -> Result<Stream, Fault> {
    let unreachable = |_| Fault::Unreachable { host: host.clone() };
    tcp.write_all(&SSL_REQUEST).await.map_err(unreachable)?;
    match (tcp.read_u8().await.map_err(unreachable)?, mode) {
        (TLS_OFFERED, _) => {}
        (TLS_NOT_OFFERED, SslMode::Prefer) => return Ok(Stream::Plain(tcp)),
        (TLS_NOT_OFFERED, _) => return Err(Fault::Tls { host: host.clone() }),
        _ => return Err(Fault::Protocol { host: host.clone() }),
    }
    let name = server_name(host, mode, &tcp).ok_or_else(|| Fault::Tls { host: host.clone() })?;
    let handshake = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await;
    handshake.map(|tls| Stream::Tls(Box::new(tls))).map_err(|error| Fault::of_io(host, &error))
}

/// The name that is asked for and, by `verify-full`, expected. One that no certificate can have, such as with `_` at
/// its end, doesn't matter to the other modes.
fn server_name(host: &DatabaseHost, mode: SslMode, tcp: &TcpStream) -> Option<ServerName<'static>> {
    match ServerName::try_from(host.host().to_owned()) {
        Ok(name) => Some(name),
        Err(_) if mode == SslMode::VerifyFull => None,
        Err(_) => Some(ServerName::from(tcp.peer_addr().ok()?.ip())),
    }
}

impl Stream {
    /// The server's own, in DER.
    fn certificate(&self) -> Option<&[u8]> {
        let Stream::Tls(tls) = self else { return None };
        tls.get_ref().1.peer_certificates()?.first().map(AsRef::as_ref)
    }
}

impl AsyncRead for Channel {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Channel { stream, watch, .. } = self.get_mut();
        let before = buf.filled().len();
        ready!(match stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        })?;
        let read = buf.filled().get(before..).unwrap_or_default();
        Poll::Ready(watch.lock().unwrap_or_else(PoisonError::into_inner).read(read))
    }
}

impl AsyncWrite for Channel {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

impl TlsStream for Channel {
    fn channel_binding(&self) -> ChannelBinding {
        self.binding.clone().map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

/// For the client library, which would negotiate TLS itself: it is told to start with it, and has it already.
pub(super) struct AlreadyOpen;

impl TlsConnect<Channel> for AlreadyOpen {
    type Stream = Channel;
    type Error = Infallible;
    type Future = Ready<Result<Channel, Infallible>>;

    fn connect(self, stream: Channel) -> Self::Future {
        future::ready(Ok(stream))
    }
}
