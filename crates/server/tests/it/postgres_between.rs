//! Somebody between the vault and PostgreSQL, with a certificate of his own, who passes everything on.

use std::net::Ipv4Addr;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The name of the server.
const NAME: &str = "localhost";
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

pub(crate) struct Between {
    port: u16,
}

impl Between {
    /// Ends with the test's runtime.
    pub(crate) async fn start(server: u16, authority: CertificateDer<'static>) -> Between {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (acceptor, connector) = (acceptor(), connector(authority));
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(pass_on(client, server, acceptor.clone(), connector.clone()));
            }
        });
        Between { port }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

async fn pass_on(mut client: TcpStream, server: u16, acceptor: TlsAcceptor, connector: TlsConnector) {
    let mut request = [0; SSL_REQUEST.len()];
    client.read_exact(&mut request).await.unwrap();
    assert_eq!(request, SSL_REQUEST);
    client.write_all(b"S").await.unwrap();
    let mut client = acceptor.accept(client).await.unwrap();

    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await.unwrap();
    server.write_all(&SSL_REQUEST).await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'S');
    let name = ServerName::try_from(NAME).unwrap();
    let mut server = connector.connect(name, server).await.unwrap();
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

fn acceptor() -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![NAME.to_owned()]).unwrap().self_signed(&key).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn connector(authority: CertificateDer<'static>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}
