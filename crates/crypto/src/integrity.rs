//! The key that vouches for the rows which grant something.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use hyperion_vault_core::grant::GrantMac;
use sha2::Sha256;
use zeroize::ZeroizeOnDrop;

use crate::data_key::DataKey;
use crate::key_bytes::{KEY_BYTES, KeyBytes};

/// Keeps this use of the data key apart from every other.
const MAC_KEY_LABEL: &[u8] = b"hyperion-vault integrity key: grants, v1";

/// Makes and verifies the MACs of a cluster's roles and tokens: HMAC-SHA256 (RFC 2104) under a key that HKDF-SHA256
/// derives from a data key. Wiped when dropped.
#[derive(ZeroizeOnDrop)]
pub struct IntegrityKey(KeyBytes);

impl IntegrityKey {
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "HKDF-SHA256 refuses only more than 8,160 bytes, and these are 32"
    )]
    pub fn from_data_key(data_key: &DataKey) -> IntegrityKey {
        let hkdf = Hkdf::<Sha256>::new(None, data_key.expose());
        let fill = |key: &mut [u8; KEY_BYTES]| {
            hkdf.expand(MAC_KEY_LABEL, key).expect("fewer bytes than HKDF can give");
        };
        IntegrityKey(KeyBytes::filled_by(fill))
    }

    /// The MAC over what a row grants.
    #[must_use]
    pub fn mac(&self, granted: &[u8]) -> GrantMac {
        GrantMac::from_bytes(self.hmac(granted).finalize().into_bytes().into())
    }

    /// Whether `mac` is that of what a row grants. Takes the same time for every MAC.
    #[must_use]
    pub fn verify(&self, granted: &[u8], mac: &GrantMac) -> bool {
        self.hmac(granted).verify_slice(mac.as_bytes()).is_ok()
    }

    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    fn hmac(&self, granted: &[u8]) -> Hmac<Sha256> {
        let mut hmac = Hmac::<Sha256>::new_from_slice(self.0.expose()).expect("a key of any length");
        hmac.update(granted);
        hmac
    }
}
