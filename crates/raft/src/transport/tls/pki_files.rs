//! A node's identity in files, under the operator's own authority.

use std::path::PathBuf;

use hyperion_vault_core::time::Timestamp;
use rustls::RootCertStore;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::credentials::{Credentials, unix_time};
use super::error::TlsError;
use super::name::{peer_node_id, server_name};
use super::pem::{read_certificates, read_key};

/// PEM files. Replace each by renaming another over it; they need not change at the same moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PkiFiles {
    /// This node's certificate, then the intermediate ones up to the authority's, if any. For both ends of a
    /// connection (`serverAuth` and `clientAuth`, when it limits its use), and named
    /// [`node_name`](super::node_name).
    pub certificate: PathBuf,
    /// Its private key: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
    /// The authorities that vouch for the members. More than one while one gives way to another.
    pub authority: PathBuf,
}

impl PkiFiles {
    /// What the files say, if other members would believe it at `now`.
    pub(super) fn read(&self, node_id: u64, now: Timestamp) -> Result<Credentials, TlsError> {
        let roots = self.read_roots()?;
        let identity = self.read_identity()?;
        if peer_node_id(&identity.cert) != Some(node_id) {
            return Err(TlsError::WrongName { certificate: self.certificate.clone(), node_id });
        }
        let credentials = Credentials::new(identity, roots, now)?;
        match believed(&credentials, node_id, now) {
            Ok(()) => Ok(credentials),
            Err(source) => Err(TlsError::NotBelieved {
                certificate: self.certificate.clone(),
                authority: self.authority.clone(),
                source,
            }),
        }
    }

    pub(super) fn read_roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in read_certificates(&self.authority)? {
            let added = roots.add(certificate);
            added.map_err(|source| TlsError::BadAuthority { path: self.authority.clone(), source })?;
        }
        Ok(roots)
    }

    pub(super) fn read_identity(&self) -> Result<CertifiedKey, TlsError> {
        let chain = read_certificates(&self.certificate)?;
        let key = read_key(&self.key)?;
        identity(chain, &key).map_err(|source| TlsError::BadIdentity {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source,
        })
    }
}

fn identity(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'_>,
) -> Result<CertifiedKey, rustls::Error> {
    let identity = CertifiedKey::new(chain, any_supported_type(key)?);
    identity.keys_match()?;
    Ok(identity)
}

/// What the other members will do with the certificate, whichever end calls.
fn believed(credentials: &Credentials, node_id: u64, now: Timestamp) -> Result<(), rustls::Error> {
    let identity = &credentials.identity;
    let certificate = identity.end_entity_cert()?;
    let intermediates = identity.cert.get(1..).unwrap_or_default();
    let (name, now) = (server_name(node_id), unix_time(now));
    credentials.called.verify_server_cert(certificate, intermediates, &name, &[], now)?;
    credentials.callers.verify_client_cert(certificate, intermediates, now)?;
    Ok(())
}
