//! The credentials in use, as the TLS library asks for them.
//!
//! A configuration of the library is made once and holds these; what they answer follows each renewal.

use std::fmt;
use std::slice;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::credentials::Credentials;
use super::name::{node_name, peer_node_id};

/// [`Credentials`] that can be replaced under the connections that use them.
#[derive(Clone)]
pub(super) struct Live(Arc<ArcSwap<Credentials>>);

impl Live {
    pub(super) fn new(credentials: Credentials) -> Live {
        Live(Arc::new(ArcSwap::from_pointee(credentials)))
    }

    pub(super) fn current(&self) -> Arc<Credentials> {
        self.0.load_full()
    }

    pub(super) fn replace(&self, credentials: Credentials) {
        self.0.store(Arc::new(credentials));
    }
}

/// Shows no key.
impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Live")
    }
}

impl ResolvesServerCert for Live {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current().identity))
    }
}

impl ResolvesClientCert for Live {
    fn resolve(&self, _root_hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current().identity))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Judges the node that was dialled. Asks the library's verifier first, and then for the one name.
impl ServerCertVerifier for Live {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        dialled: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let called = &self.current().called;
        let verified = called.verify_server_cert(certificate, intermediates, dialled, ocsp_response, now)?;
        // The library would also take a wildcard, or a certificate with the names of two nodes.
        let name = peer_node_id(slice::from_ref(certificate)).map(node_name);
        if name.as_deref() == Some(&*dialled.to_str()) { Ok(verified) } else { Err(not_one_node()) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current().called.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current().called.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current().called.supported_verify_schemes()
    }
}

/// Judges the node that calls. Asks the library's verifier first, and then for one name of a node.
impl ClientCertVerifier for Live {
    /// None: a member has one certificate to show, and a stranger needn't know whose he would have to have.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.current().callers.verify_client_cert(certificate, intermediates, now)?;
        peer_node_id(slice::from_ref(certificate)).map(|_| verified).ok_or_else(not_one_node)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current().callers.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current().callers.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current().callers.supported_verify_schemes()
    }
}

fn not_one_node() -> Error {
    CertificateError::ApplicationVerificationFailure.into()
}
