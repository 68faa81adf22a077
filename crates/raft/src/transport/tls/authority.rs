//! The cluster's own authority: the same on every node, because it is derived from what they share.

use std::time::Duration;

use hyperion_vault_core::time::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ED25519, SanType, SerialNumber, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::credentials::Credentials;
use super::error::TlsError;
use super::name::node_name;
use super::secret::{ClusterSecret, SECRET_BYTES};

/// A certificate is valid from this long before it was made: a member's clock may be hours behind.
const LEAF_VALID_BEFORE: Duration = Duration::from_secs(12 * 60 * 60);
/// ... to this long after, which leaves two thirds for clocks that are ahead and renewals that fail.
const LEAF_VALID_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// A certificate is replaced at this age.
pub(super) const LEAF_RENEWED_AFTER: Duration = Duration::from_secs(8 * 60 * 60);

/// The authority's certificate must be the same bytes on every node and in every release: nothing in it is
/// random or the time of its making. It ends with its secret, not by date.
const AUTHORITY_NAME: &str = "hyperion-vault cluster authority";
const AUTHORITY_SERIAL: [u8; 1] = [1];
const AUTHORITY_VALID_YEARS: (i32, i32) = (2020, 2120);

/// What stands before the seed in the PKCS#8 encoding of an Ed25519 key (RFC 8410, section 7).
const PKCS8_ED25519_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
const PKCS8_ED25519_BYTES: usize = PKCS8_ED25519_PREFIX.len() + SECRET_BYTES;

/// Makes certificates that every node of the cluster believes.
pub(super) struct Authority {
    pub(super) key: Zeroizing<KeyPair>,
    params: CertificateParams,
    pub(super) certificate: CertificateDer<'static>,
}

impl Authority {
    pub(super) fn derived(secret: &ClusterSecret) -> Result<Authority, TlsError> {
        let key = authority_key(secret)?;
        let params = authority_params();
        // Ed25519 signs without randomness (RFC 8032): equal keys and contents give equal bytes.
        let certificate = params.self_signed(&*key)?.into();
        Ok(Authority { key, params, certificate })
    }

    /// A new key for node `node_id` and a certificate for it, made `now`.
    pub(super) fn issue(&self, node_id: u64, now: Timestamp) -> Result<Credentials, TlsError> {
        // The key comes from aws-lc-rs's own generator, as do the ephemeral keys of each handshake: `rcgen` and
        // `rustls` offer no port for it. Nothing replicated or stored depends on it.
        let key = Zeroizing::new(KeyPair::generate_for(&PKCS_ED25519)?);
        let issuer = Issuer::from_params(&self.params, &*self.key);
        let certificate = leaf_params(node_id, now)?.signed_by(&*key, &issuer)?;
        let pkcs8 = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialized_der()));
        let signing_key = any_supported_type(&pkcs8).map_err(TlsError::Library)?;
        let identity = CertifiedKey::new(vec![certificate.into()], signing_key);
        Credentials::new(identity, self.roots()?, now)
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).map_err(TlsError::Library)?;
        Ok(roots)
    }
}

fn authority_key(secret: &ClusterSecret) -> Result<Zeroizing<KeyPair>, TlsError> {
    let mut seed = Zeroizing::new([0; SECRET_BYTES]);
    secret.write_authority_seed(&mut seed);
    let mut pkcs8 = Zeroizing::new([0; PKCS8_ED25519_BYTES]);
    let (prefix, rest) = pkcs8.split_at_mut(PKCS8_ED25519_PREFIX.len());
    prefix.copy_from_slice(&PKCS8_ED25519_PREFIX);
    rest.copy_from_slice(&*seed);
    let der = PrivatePkcs8KeyDer::from(pkcs8.as_slice());
    Ok(Zeroizing::new(KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519)?))
}

fn authority_params() -> CertificateParams {
    let (from, to) = AUTHORITY_VALID_YEARS;
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&AUTHORITY_SERIAL));
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    params.distinguished_name = common_name(AUTHORITY_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn leaf_params(node_id: u64, now: Timestamp) -> Result<CertificateParams, TlsError> {
    let name = node_name(node_id);
    let mut params = CertificateParams::default();
    set_validity(&mut params, now).ok_or(TlsError::Clock)?;
    params.distinguished_name = common_name(&name);
    params.subject_alt_names = vec![SanType::DnsName(name.try_into()?)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// `None` when that is past every date of X.509.
fn set_validity(params: &mut CertificateParams, made: Timestamp) -> Option<()> {
    let made = Duration::from_millis(made.as_unix_ms());
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch.checked_add(made.saturating_sub(LEAF_VALID_BEFORE).try_into().ok()?)?;
    params.not_after = epoch.checked_add(made.saturating_add(LEAF_VALID_AFTER).try_into().ok()?)?;
    Some(())
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}
