//! TLS and client certificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use hyperion_vault_server::config::TlsFiles;
use hyperion_vault_server::http::serve::{ConnectionLimits, Drained};
use hyperion_vault_server::http::tls::server_config;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::harness::{Served, get_request, read_to_close, read_until, short_limits};

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// A certificate with its key, as a client holds it.
type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

fn authority() -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issue(authority: &Issuer, name: &str) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.signed_by(&key, authority).unwrap(), key)
}

fn identity(authority: &Issuer) -> Identity {
    let (certificate, key) = issue(authority, "client");
    (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

/// The PEM files of a server for `localhost`, and their directory.
fn files(authority: &Issuer, client_ca: Option<&Issuer>) -> (TlsFiles, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = issue(authority, "localhost");
    let client_ca = client_ca.map(|issuer| write(dir.path(), "clients.pem", &issuer.pem()));
    let certificate = write(dir.path(), "server.pem", &certificate.pem());
    let key = write(dir.path(), "server.key", &key.serialize_pem());
    (TlsFiles { certificate, key, client_ca }, dir)
}

fn write(dir: &Path, name: &str, content: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, content).unwrap();
    path
}

async fn served(authority: &Issuer, client_ca: Option<&Issuer>) -> Served {
    let (files, _dir) = files(authority, client_ca);
    Served::start(short_limits(), Some(server_config(&files).unwrap())).await
}

/// A client that trusts `authority` and speaks this version alone.
async fn connect(
    served: &Served,
    authority: &Issuer,
    version: &'static SupportedProtocolVersion,
    identity: Option<Identity>,
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        Some((certificate, key)) => config.with_client_auth_cert(vec![certificate], key).unwrap(),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, served.connect().await).await
}

/// Whether a request gets its answer. A client of TLS 1.3 learns only then that its certificate was refused.
async fn is_answered(stream: io::Result<TlsStream<TcpStream>>) -> bool {
    let Ok(mut stream) = stream else { return false };
    if stream.write_all(get_request("/peer").as_bytes()).await.is_err() {
        return false;
    }
    read_to_close(&mut stream).await.starts_with("HTTP/1.1 200 ")
}

#[tokio::test]
async fn tls_1_3_and_1_2_are_spoken() {
    let authority = authority();
    let served = served(&authority, None).await;
    for version in [&TLS13, &TLS12] {
        let mut stream = connect(&served, &authority, version, None).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        stream.write_all(get_request("/peer").as_bytes()).await.unwrap();
        read_until(&mut stream, "127.0.0.1").await;
    }
}

#[tokio::test]
async fn http2_is_preferred_where_the_client_has_it() {
    let (files, _dir) = files(&authority(), None);
    assert_eq!(server_config(&files).unwrap().alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
}

#[tokio::test]
async fn with_a_client_authority_only_its_clients_get_in() {
    let (own, clients, strangers) = (authority(), authority(), authority());
    let served = served(&own, Some(&clients)).await;
    for version in [&TLS13, &TLS12] {
        assert!(is_answered(connect(&served, &own, version, Some(identity(&clients))).await).await);
        assert!(!is_answered(connect(&served, &own, version, Some(identity(&strangers))).await).await);
        assert!(!is_answered(connect(&served, &own, version, None).await).await);
    }
}

#[tokio::test]
async fn plain_http_and_silence_get_no_further_than_the_handshake() {
    let authority = authority();
    let served = served(&authority, None).await;
    let mut plain = served.connect().await;
    plain.write_all(get_request("/peer").as_bytes()).await.unwrap();
    assert!(!read_to_close(&mut plain).await.contains("200"));

    let start = Instant::now();
    let mut silent = served.connect().await;
    assert_eq!(read_to_close(&mut silent).await, "");
    assert!(start.elapsed() >= Duration::from_millis(290), "cut too early");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_handshake() {
    let (files, _dir) = files(&authority(), None);
    let limits = ConnectionLimits { handshake_max: Duration::from_secs(600), ..short_limits() };
    let served = Served::start(limits, Some(server_config(&files).unwrap())).await;
    let mut silent = served.connect().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    served.stop.cancel();
    assert_eq!(read_to_close(&mut silent).await, "");
    assert_eq!(served.ended().await, Drained::Complete);
}

#[test]
fn files_that_make_no_tls_are_named_with_the_reason() {
    let authority = authority();
    let (good, dir) = files(&authority, Some(&authority));
    let (other, _other_dir) = files(&authority, None);
    let empty = write(dir.path(), "empty.pem", "");
    let torn = write(dir.path(), "torn.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    let missing = dir.path().join("missing.pem");

    let refusal = |files: TlsFiles| server_config(&files).unwrap_err().to_string();
    for (files, named, reason) in [
        (TlsFiles { certificate: missing.clone(), ..good.clone() }, "missing.pem", "can't read"),
        (TlsFiles { certificate: empty.clone(), ..good.clone() }, "empty.pem", "holds no certificate"),
        (TlsFiles { certificate: torn, ..good.clone() }, "torn.pem", "is not PEM"),
        (TlsFiles { key: empty.clone(), ..good.clone() }, "empty.pem", "holds no private key"),
        (TlsFiles { key: other.key, ..good.clone() }, "server.key", "don't make a TLS identity"),
        (TlsFiles { client_ca: Some(empty), ..good.clone() }, "empty.pem", "holds no certificate"),
        (TlsFiles { client_ca: Some(missing), ..good }, "missing.pem", "can't read"),
    ] {
        let refusal = refusal(files);
        assert!(refusal.contains(named) && refusal.contains(reason), "{refusal}");
    }
}
