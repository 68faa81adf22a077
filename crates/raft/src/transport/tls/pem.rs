//! Certificates and keys out of PEM files (RFC 7468).

use std::path::{Path, PathBuf};
use std::{fs, io};

use rustls::pki_types::pem::{Error, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

/// A file isn't what it should be. Names the file; never holds what is in it.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// Missing, or not for this process.
    #[error("can't read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Begins as PEM and doesn't end so.
    #[error("{} is not PEM: {source}", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Error,
    },
    /// Nothing in it is a certificate.
    #[error("{} holds no certificate", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// Nothing in it is a private key.
    #[error("{} holds no private key", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
}

/// All certificates of the file, in its order; at least one.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let pem = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(PemError::NoCertificate { path: path.to_owned() }),
        Ok(certificates) => Ok(certificates),
        Err(source) => Err(PemError::NotPem { path: path.to_owned(), source }),
    }
}

/// The first private key of the file, wiped when dropped.
pub(super) fn read_key(path: &Path) -> Result<Zeroizing<PrivateKeyDer<'static>>, PemError> {
    let key = PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|source| match source {
        Error::NoItemsFound => PemError::NoKey { path: path.to_owned() },
        source => PemError::NotPem { path: path.to_owned(), source },
    });
    key.map(Zeroizing::new)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, PemError> {
    let content = fs::read(path).map_err(|source| PemError::Unreadable { path: path.to_owned(), source });
    content.map(Zeroizing::new)
}
