//! Dials the port that is for other nodes, as anybody might.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame};
use hyper::client::conn::http2;
use hyper::header::{CONTENT_TYPE, TE};
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyperion_vault_core::ports::Clock;
use hyperion_vault_raft::tls::{ClusterSecret, NodeTls};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::frames::Call;

/// Not the members' address, which is 127.0.0.1.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 66, 0, 1);
/// No stranger waits longer for an answer, or for the end of his connection.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);

/// Whoever dials: with a certificate or without, and content with whoever answers.
#[derive(Clone)]
pub(super) struct Dialler(Arc<ClientConfig>);

impl Dialler {
    pub(super) fn without_certificate() -> Dialler {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]).unwrap();
        let trusting = builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustsAnybody));
        let mut config = trusting.with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Dialler(Arc::new(config))
    }

    /// With the certificate that node `id` of the cluster of this secret has at this time.
    pub(super) fn with_certificate(secret: &ClusterSecret, id: u64, clock: Arc<dyn Clock>) -> Dialler {
        let own = NodeTls::derived(secret, id, clock).unwrap().client_config();
        let mut config = (*Dialler::without_certificate().0).clone();
        config.client_auth_cert_resolver = Arc::clone(&own.client_auth_cert_resolver);
        Dialler(Arc::new(config))
    }

    /// A TLS connection, as far as the client can tell: what is thought of its certificate it hears later.
    pub(super) async fn connect(&self, to: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        self.connect_over(reach(to).await?).await
    }

    /// The same over a stream that is already there.
    pub(super) async fn connect_over<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from("anybody.invalid").unwrap();
        let connecting = TlsConnector::from(Arc::clone(&self.0)).connect(name, stream);
        timeout(PATIENCE, connecting).await.expect("a handshake ends in time")
    }

    /// Makes one call, on a connection of its own.
    pub(super) async fn call(&self, to: SocketAddr, call: &Call) -> Result<Bytes, NoAnswer> {
        call_over(self.connect(to).await.map_err(no_answer)?, call).await
    }
}

/// A TCP connection from the stranger's address.
pub(super) async fn reach(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((STRANGER, 0).into())?;
    timeout(PATIENCE, socket.connect(to)).await.expect("the kernel answers")
}

/// Why there is no answer.
pub(super) type NoAnswer = String;

fn no_answer(why: impl fmt::Debug) -> NoAnswer {
    format!("{why:?}")
}

/// Makes one call on a new connection.
pub(super) async fn call_over<S>(stream: S, call: &Call) -> Result<Bytes, NoAnswer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    exchange(stream, call.name, Full::new(call.body.clone())).await
}

/// Begins a call of which nothing ever comes.
pub(super) async fn call_that_never_begins<S>(stream: S, name: &str) -> Result<Bytes, NoAnswer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let nothing_yet = futures::stream::pending::<Result<Frame<Bytes>, Infallible>>();
    exchange(stream, name, StreamBody::new(Box::pin(nothing_yet))).await
}

/// Waiting in vain for an answer is a failure of the node.
async fn exchange<S, B>(stream: S, name: &str, body: B) -> Result<Bytes, NoAnswer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Unpin + Send + 'static,
{
    let exchange = async {
        let io = TokioIo::new(stream);
        let (mut link, connection) = http2::handshake(TokioExecutor::new(), io).await.map_err(no_answer)?;
        let request = Request::post(format!("http://node.invalid/hyperion.vault.Node/{name}"))
            .version(Version::HTTP_2)
            .header(TE, "trailers")
            .header(CONTENT_TYPE, "application/grpc")
            .body(body)
            .unwrap();
        let answer = async {
            let answer = link.send_request(request).await.map_err(no_answer)?;
            Ok(answer.into_body().collect().await.map_err(no_answer)?.to_bytes())
        };
        // A request that is sent just as the connection ends is never told of it.
        tokio::select! {
            biased;
            answer = answer => answer,
            ended = connection => Err(no_answer(ended)),
        }
    };
    timeout(PATIENCE, exchange).await.unwrap_or_else(|_| panic!("{name} waits in vain"))
}

/// So that it is the node that refuses, and not the stranger.
#[derive(Debug)]
struct TrustsAnybody;

impl ServerCertVerifier for TrustsAnybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
