//! Why a node has no identity on the wire.

use std::path::PathBuf;

use super::name::node_name;
use super::pem::PemError;

/// No TLS between nodes can be spoken so. Names files; never holds what is in them.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Too short to be a secret.
    #[error("the cluster secret is shorter than {bytes_min} bytes")]
    SecretTooShort {
        /// The shortest that is taken.
        bytes_min: usize,
    },
    /// A file can't be read as what it should be.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// The key isn't the certificate's, or of a kind that TLS 1.3 doesn't know.
    #[error("{} and {} don't make a TLS identity: {source}", certificate.display(), key.display())]
    BadIdentity {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What the TLS library said.
        source: rustls::Error,
    },
    /// The certificate isn't for this node.
    #[error(
        "the certificate in {} must carry the DNS name {} as a subject alternative name, and the name of no other node",
        certificate.display(),
        node_name(*node_id)
    )]
    WrongName {
        /// The certificate's file.
        certificate: PathBuf,
        /// The node it should be for.
        node_id: u64,
    },
    /// No other member would believe the certificate: it has expired, another authority made it, or it isn't
    /// for both ends of a connection.
    #[error(
        "the certificate in {} is not valid under {}: {source}",
        certificate.display(),
        authority.display()
    )]
    NotBelieved {
        /// The certificate's file.
        certificate: PathBuf,
        /// The authority's file.
        authority: PathBuf,
        /// What the TLS library said.
        source: rustls::Error,
    },
    /// A certificate of the file can't be an authority.
    #[error("{} can't be an authority: {source}", path.display())]
    BadAuthority {
        /// The authority's file.
        path: PathBuf,
        /// What the TLS library said.
        source: rustls::Error,
    },
    /// The clock shows a time that no certificate can carry.
    #[error("the clock shows a time that no certificate can carry")]
    Clock,
    /// The derived authority couldn't issue a certificate.
    #[error("a certificate can't be issued: {0}")]
    Issue(#[from] rcgen::Error),
    /// The TLS library lacks what is needed.
    #[error("the TLS library lacks what node-to-node connections need: {0}")]
    Library(#[source] rustls::Error),
}
