//! By what a data key is wrapped.

use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256};

use crate::time::Timestamp;

/// Ends in a byte that no label contains.
const LABEL: &[u8] = b"hyperion-vault wrap epoch\0";

/// A master key, between two of its rotations: what one material of it wrapped.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct WrapEpoch {
    /// The master key, in the KMS's own words.
    #[n(0)]
    pub kms_key_id: String,
    /// The newest of its rotations that is known to be no later than the wrap; absent when none is known.
    #[n(1)]
    pub rotation_at: Option<Timestamp>,
}

/// Stands for an epoch in the keys of rows: 16 bytes, and no two epochs with the same.
pub type WrapEpochId = [u8; 16];

impl WrapEpoch {
    /// The first half of a SHA-256.
    #[must_use]
    pub fn id(&self) -> WrapEpochId {
        let at = self.rotation_at.map(|at| at.as_unix_ms().to_be_bytes());
        let digest = Sha256::new()
            .chain_update(LABEL)
            .chain_update([u8::from(at.is_some())])
            .chain_update(at.unwrap_or_default())
            .chain_update(self.kms_key_id.as_bytes())
            .finalize();
        let mut id = WrapEpochId::default();
        id.iter_mut().zip(digest).for_each(|(byte, digest)| *byte = digest);
        id
    }
}

/// SHA-256 of a wrapped data key: tells it from every other.
#[must_use]
pub fn wrapped_fingerprint(wrapped: &[u8]) -> [u8; 32] {
    Sha256::digest(wrapped).into()
}
