//! The envelope: one version's plaintext, sealed under a data key of its own.

use hyperion_vault_core::secret::SealedVersion;

use crate::associated_data::AssociatedData;
use crate::cipher::{self, NONCE_BYTES};
use crate::data_key::DataKey;
use crate::plaintext::Plaintext;

/// The format of what [`seal`] writes: XChaCha20-Poly1305, tag at the end, associated data as in
/// [`AssociatedData`], plaintext as in [`Material`](crate::Material).
pub const ENVELOPE_FORMAT: u8 = 1;

/// A sealed plaintext, without the wrapped key that opening it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub format: u8,
    pub nonce: [u8; NONCE_BYTES],
    /// As long as the plaintext, and 16 bytes of tag.
    pub ciphertext: Vec<u8>,
}

/// The plaintext is longer than the cipher can take (256 GiB).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("plaintext is too long to be sealed")]
pub struct SealError;

/// Why a sealed version doesn't open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Written by a later release, or damaged.
    #[error("envelope format {0} is not known")]
    UnknownFormat(u8),
    /// Another key, another place or changed bytes. Which of them can't be told.
    #[error("sealed version was altered or belongs elsewhere")]
    Refused,
}

/// Seals `plaintext` for the place that `associated_data` names. The key is used up: each seals once. `nonce`
/// is random.
///
/// # Errors
/// [`SealError`], which no plaintext within the vault's limits meets.
pub fn seal(
    key: DataKey,
    nonce: [u8; NONCE_BYTES],
    associated_data: &AssociatedData<'_>,
    plaintext: &Plaintext,
) -> Result<Sealed, SealError> {
    let bound_to = associated_data.encode(ENVELOPE_FORMAT);
    let ciphertext =
        cipher::encrypt(key.expose(), &nonce, &bound_to, plaintext.expose()).map_err(|_| SealError)?;
    Ok(Sealed { format: ENVELOPE_FORMAT, nonce, ciphertext })
}

/// Opens what was sealed under `key` for the place that `associated_data` names.
///
/// # Errors
/// [`OpenError`]. Never another plaintext than the one that was sealed.
pub fn open(
    key: &DataKey,
    sealed: &SealedVersion,
    associated_data: &AssociatedData<'_>,
) -> Result<Plaintext, OpenError> {
    if sealed.envelope_format != ENVELOPE_FORMAT {
        return Err(OpenError::UnknownFormat(sealed.envelope_format));
    }
    let bound_to = associated_data.encode(sealed.envelope_format);
    cipher::decrypt(key.expose(), &sealed.nonce, &bound_to, &sealed.ciphertext)
        .map(Plaintext::from)
        .map_err(|_| OpenError::Refused)
}

impl Sealed {
    /// The record to store: with the data key, as `kms_key_id` wrapped it.
    #[must_use]
    pub fn with_wrapped_key(self, kms_key_id: String, wrapped_data_key: Vec<u8>) -> SealedVersion {
        SealedVersion {
            envelope_format: self.format,
            kms_key_id,
            wrapped_data_key,
            nonce: self.nonce,
            ciphertext: self.ciphertext,
            wrapped_rotation_at: None,
        }
    }
}
