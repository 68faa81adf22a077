//! What each `sslmode` asks of a server's certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs, io};

use hyperion_vault_core::target::SslMode;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::fault::Fault;

/// Why the file of authorities can't be used. Names the file; never holds what is in it.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    #[error("can't read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is not PEM: {source}", path.display())]
    NotPem { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("{} holds no certificate", path.display())]
    NoCertificate { path: PathBuf },
    #[error("{} holds a certificate that can't be an authority: {source}", path.display())]
    BadAuthority { path: PathBuf, source: Error },
    #[error("the TLS library lacks what the vault needs: {0}")]
    Library(#[source] Error),
}

/// A configuration of the TLS library for each of the modes.
pub(super) struct TlsModes {
    /// Takes any certificate.
    any: Arc<ClientConfig>,
    /// Absent without authorities.
    verified: Option<Verified>,
}

struct Verified {
    by_authority: Arc<ClientConfig>,
    by_authority_and_name: Arc<ClientConfig>,
}

impl TlsModes {
    /// Reads the file of authorities, once.
    pub(super) fn new(authorities: Option<&Path>) -> Result<TlsModes, AuthoritiesError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let any = config(&provider, Arc::new(AnyCertificate(Arc::clone(&provider))))?;
        let verified = authorities.map(|path| Verified::new(path, &provider)).transpose()?;
        Ok(TlsModes { any, verified })
    }

    /// None where there is to be no TLS.
    pub(super) fn of(&self, mode: SslMode) -> Result<Option<&Arc<ClientConfig>>, Fault> {
        let verified = || self.verified.as_ref().ok_or(Fault::NoAuthorities);
        Ok(match mode {
            SslMode::Disable => None,
            SslMode::Prefer | SslMode::Require => Some(&self.any),
            SslMode::VerifyCa => Some(&verified()?.by_authority),
            SslMode::VerifyFull => Some(&verified()?.by_authority_and_name),
        })
    }
}

impl Verified {
    fn new(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Verified, AuthoritiesError> {
        let roots = Arc::new(read_authorities(path)?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
            .build()
            .map_err(|_| AuthoritiesError::NoCertificate { path: path.to_owned() })?;
        Ok(Verified {
            by_authority: config(provider, Arc::new(AnyName(Arc::clone(&verifier))))?,
            by_authority_and_name: config(provider, verifier)?,
        })
    }
}

/// The mode says that the certificate was verified by an authority.
pub(super) fn verifies(mode: SslMode) -> bool {
    matches!(mode, SslMode::VerifyCa | SslMode::VerifyFull)
}

fn read_authorities(path: &Path) -> Result<RootCertStore, AuthoritiesError> {
    let of = || path.to_owned();
    let pem = fs::read(path).map_err(|source| AuthoritiesError::Unreadable { path: of(), source })?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|source| AuthoritiesError::NotPem { path: of(), source })?;
        roots.add(certificate).map_err(|source| AuthoritiesError::BadAuthority { path: of(), source })?;
    }
    if roots.is_empty() { Err(AuthoritiesError::NoCertificate { path: of() }) } else { Ok(roots) }
}

fn config(
    provider: &Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<Arc<ClientConfig>, AuthoritiesError> {
    let config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(AuthoritiesError::Library)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Takes any certificate whose key the server has.
struct AnyCertificate(Arc<CryptoProvider>);

/// Takes a certificate of the authorities for whatever name.
struct AnyName(Arc<WebPkiServerVerifier>);

impl fmt::Debug for AnyCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyCertificate")
    }
}

impl fmt::Debug for AnyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyName")
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for AnyName {
    /// The name is the last that the library looks at: whatever else is wrong, it says so first.
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.0.verify_server_cert(certificate, intermediates, name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
