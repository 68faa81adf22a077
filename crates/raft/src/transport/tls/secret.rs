//! The secret that makes the members of a cluster known to each other.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::error::TlsError;

/// The shortest text that is taken for a cluster secret, in bytes.
pub const CLUSTER_SECRET_BYTES_MIN: usize = 16;

/// Length of a secret and of what is derived from it, in bytes.
pub(super) const SECRET_BYTES: usize = 32;

/// HKDF labels. What is derived under one says nothing about what is derived under another.
const TEXT_LABEL: &[u8] = b"hyperion-vault cluster secret: text, v1";
const AUTHORITY_LABEL: &[u8] = b"hyperion-vault cluster secret: authority, Ed25519, v1";

/// A secret that all members of one cluster hold, and nobody else. Whoever has it can be any member. Boxed, so
/// that moving it leaves no copy behind; wiped when dropped.
pub struct ClusterSecret(Box<[u8; SECRET_BYTES]>);

impl ClusterSecret {
    /// From what an operator set, the same bytes on every node. It must be random, not a phrase: it is not
    /// stretched, and who has seen a certificate of the cluster can try guesses offline. The caller wipes `text`.
    ///
    /// # Errors
    /// [`TlsError::SecretTooShort`] under [`CLUSTER_SECRET_BYTES_MIN`].
    pub fn from_text(text: &[u8]) -> Result<ClusterSecret, TlsError> {
        if text.len() < CLUSTER_SECRET_BYTES_MIN {
            return Err(TlsError::SecretTooShort { bytes_min: CLUSTER_SECRET_BYTES_MIN });
        }
        Ok(ClusterSecret::filled_by(|secret| expand(text, TEXT_LABEL, secret)))
    }

    /// From bytes that were derived, under a label of their own, from a key that all members hold. The caller
    /// wipes `derived`.
    #[must_use]
    pub fn from_bytes(derived: &[u8; SECRET_BYTES]) -> ClusterSecret {
        ClusterSecret::filled_by(|secret| secret.copy_from_slice(derived))
    }

    /// Writes the seed of the authority's Ed25519 key (RFC 8032, section 5.1.5).
    pub(super) fn write_authority_seed(&self, seed: &mut [u8; SECRET_BYTES]) {
        expand(&*self.0, AUTHORITY_LABEL, seed);
    }

    fn filled_by(fill: impl FnOnce(&mut [u8; SECRET_BYTES])) -> ClusterSecret {
        let mut secret = ClusterSecret(Box::new([0; SECRET_BYTES]));
        fill(&mut secret.0);
        secret
    }
}

impl Drop for ClusterSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for ClusterSecret {}

#[expect(
    clippy::expect_used,
    reason = "HKDF-SHA256 refuses only more than 8,160 bytes, and this asks for 32"
)]
fn expand(secret: &[u8], label: &[u8], out: &mut [u8; SECRET_BYTES]) {
    Hkdf::<Sha256>::new(None, secret).expand(label, out).expect("fewer bytes than HKDF can give");
}
