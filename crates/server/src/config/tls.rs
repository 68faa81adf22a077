//! The files of the API's TLS.

use std::path::PathBuf;

use super::environment::Environment;
use super::table::{TLS_CERT, TLS_CLIENT_CA, TLS_KEY};

/// Where the PEM files lie. Nothing has been read of them yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// When given, every client must show a certificate of one of these authorities.
    pub client_ca: Option<PathBuf>,
}

impl TlsFiles {
    /// A part of a TLS setup without the rest is an error, never plain HTTP.
    pub(super) fn read(env: &mut Environment) -> Option<TlsFiles> {
        let (certificate, key, client_ca) =
            (env.path(&TLS_CERT), env.path(&TLS_KEY), env.path(&TLS_CLIENT_CA));
        let (has_certificate, has_key) = (env.is_given(&TLS_CERT), env.is_given(&TLS_KEY));
        if has_certificate && !has_key {
            env.refuse(&TLS_KEY, format!("not set, though {} is", TLS_CERT.name));
        }
        if has_key && !has_certificate {
            env.refuse(&TLS_CERT, format!("not set, though {} is", TLS_KEY.name));
        }
        if env.is_given(&TLS_CLIENT_CA) && !has_certificate && !has_key {
            env.refuse(&TLS_CLIENT_CA, format!("needs {} and {}", TLS_CERT.name, TLS_KEY.name));
        }
        Some(TlsFiles { certificate: certificate?, key: key?, client_ca })
    }
}
