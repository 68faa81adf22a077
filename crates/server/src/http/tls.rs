//! TLS of the API: certificates and keys out of PEM files into a `rustls` configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use zeroize::Zeroizing;

use crate::config::TlsFiles;

/// Protocols offered by ALPN (RFC 7301), the preferred one first.
const ALPN_PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why no TLS can be spoken with these files. Names the file; never holds what is in it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("can't read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is not PEM: {source}", path.display())]
    NotPem { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("{} holds no certificate", path.display())]
    NoCertificate { path: PathBuf },
    #[error("{} holds no private key", path.display())]
    NoKey { path: PathBuf },
    #[error("{} and {} don't make a TLS identity: {source}", certificate.display(), key.display())]
    BadIdentity { certificate: PathBuf, key: PathBuf, source: rustls::Error },
    #[error("{} holds a certificate that can't be an authority: {source}", path.display())]
    BadAuthority { path: PathBuf, source: rustls::Error },
    #[error("{} can't be used to verify clients: {source}", path.display())]
    BadAuthorities { path: PathBuf, source: VerifierBuilderError },
    #[error("the TLS library lacks what the vault needs: {0}")]
    Library(#[source] rustls::Error),
}

/// TLS 1.3 and 1.2 with HTTP/2 and HTTP/1.1. With `client_ca`, no client gets in without a certificate of one
/// of those authorities.
///
/// # Errors
/// [`TlsError`] names the file that is missing, malformed or doesn't fit the others.
pub fn server_config(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = client_verifier(files.client_ca.as_deref(), &provider)?;
    let chain = read_certificates(&files.certificate)?;
    let key = read_key(&files.key)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(TlsError::Library)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|source| TlsError::BadIdentity {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            source,
        })?;
    config.alpn_protocols = ALPN_PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(Arc::new(config))
}

fn client_verifier(
    authorities: Option<&Path>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let Some(path) = authorities else { return Ok(Arc::new(NoClientAuth)) };
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        roots.add(certificate).map_err(|source| TlsError::BadAuthority { path: path.to_owned(), source })?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    match verifier {
        Ok(verifier) => Ok(verifier),
        Err(source) => Err(TlsError::BadAuthorities { path: path.to_owned(), source }),
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read_pem(path)?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(TlsError::NoCertificate { path: path.to_owned() }),
        Ok(certificates) => Ok(certificates),
        Err(source) => Err(TlsError::NotPem { path: path.to_owned(), source }),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    use rustls::pki_types::pem::Error;
    PrivateKeyDer::from_pem_slice(&read_pem(path)?).map_err(|source| match source {
        Error::NoItemsFound => TlsError::NoKey { path: path.to_owned() },
        source => TlsError::NotPem { path: path.to_owned(), source },
    })
}

fn read_pem(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let content = fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source });
    content.map(Zeroizing::new)
}
