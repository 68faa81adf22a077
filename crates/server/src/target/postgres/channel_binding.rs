//! What binds a login by SCRAM to the TLS connection that it goes over: `tls-server-end-point` (RFC 5929, section 4).

use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_parser::oid_registry::{
    OID_PKCS1_SHA1WITHRSA, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
    OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512,
};
use x509_parser::parse_x509_certificate;

/// The hash of the server's certificate by the function of its signature, but SHA-256 for SHA-1. None for signatures
/// with a function of their own or none, such as RSA-PSS and Ed25519: there PostgreSQL isn't of one mind with itself.
pub(super) fn tls_server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let signature = &parsed.signature_algorithm.algorithm;
    if [OID_PKCS1_SHA1WITHRSA, OID_PKCS1_SHA256WITHRSA, OID_SIG_ECDSA_WITH_SHA256].contains(signature) {
        Some(Sha256::digest(certificate).to_vec())
    } else if [OID_PKCS1_SHA384WITHRSA, OID_SIG_ECDSA_WITH_SHA384].contains(signature) {
        Some(Sha384::digest(certificate).to_vec())
    } else if [OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA512].contains(signature) {
        Some(Sha512::digest(certificate).to_vec())
    } else {
        None
    }
}
