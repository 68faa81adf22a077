//! Data keys under a master key that this process holds, for key management without a service.

use std::fmt::Write as _;

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::cipher::{self, NONCE_BYTES, TAG_BYTES};
use crate::data_key::DataKey;
use crate::encryption_context::EncryptionContext;
use crate::key_bytes::{KEY_BYTES, KeyBytes};

/// The format of what [`wrap`] writes, and its first byte:
///
/// ```text
/// format u8 | nonce, 24 bytes | encrypted key, 32 bytes | tag, 16 bytes
/// ```
pub const WRAP_FORMAT: u8 = 1;

/// Length of a wrapped key, in bytes.
const WRAPPED_BYTES: usize = 1 + NONCE_BYTES + KEY_BYTES + TAG_BYTES;

/// Keeps this use of the AEAD apart from every other; ends in a byte that no label contains.
const DOMAIN: &[u8] = b"hyperion-vault wrapped data key\0";

/// HKDF labels. What is derived under one says nothing about what is derived under another.
const WRAPPING_KEY_LABEL: &[u8] = b"hyperion-vault master key: wrapping key, v1";
const KEY_ID_LABEL: &[u8] = b"hyperion-vault master key: id, v1";
const CLUSTER_SECRET_LABEL: &[u8] = b"hyperion-vault master key: cluster secret, v1";

/// Bytes of a master key's id, before they are written in hex.
const KEY_ID_BYTES: usize = 8;

/// What is derived from a local master key of 32 random bytes: the key that wraps data keys, the id to know it
/// by, and a secret for who shares the key. The master key itself is not kept.
#[derive(ZeroizeOnDrop)]
pub struct MasterKey {
    wrapping_key: KeyBytes,
    cluster_secret: KeyBytes,
    #[zeroize(skip)]
    id: String,
}

/// The cipher refused to wrap. It never does for a key's 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("data key can't be wrapped")]
pub struct WrapError;

/// Why a wrapped key doesn't unwrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnwrapError {
    /// Empty or not as long as a wrapped key is.
    #[error("wrapped data key has the wrong length")]
    Length,
    /// Written by a later release, or damaged.
    #[error("wrapped data key has the unknown format {0}")]
    UnknownFormat(u8),
    /// Another master key, another context or changed bytes. Compare [`MasterKey::key_id`] with the id stored
    /// beside the wrapped key to tell the first from the rest.
    #[error("wrapped data key was altered or belongs elsewhere")]
    Refused,
}

impl MasterKey {
    /// Derives from the master key. The caller wipes the bytes.
    #[must_use]
    pub fn from_bytes(master_key: &[u8; KEY_BYTES]) -> MasterKey {
        let hkdf = Hkdf::<Sha256>::new(None, master_key);
        let mut id_bytes = [0; KEY_ID_BYTES];
        expand(&hkdf, KEY_ID_LABEL, &mut id_bytes);
        MasterKey {
            wrapping_key: KeyBytes::filled_by(|key| expand(&hkdf, WRAPPING_KEY_LABEL, key)),
            cluster_secret: KeyBytes::filled_by(|key| expand(&hkdf, CLUSTER_SECRET_LABEL, key)),
            id: key_id(id_bytes),
        }
    }

    /// `local:` and 16 hexadecimal digits. Equal for equal master keys, and says nothing about them.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.id
    }

    /// What all nodes of a cluster have in common that hold this master key, and by which they know each other.
    /// It unwraps nothing, and says nothing about what does.
    #[must_use]
    pub fn cluster_secret(&self) -> &[u8; KEY_BYTES] {
        self.cluster_secret.expose()
    }
}

/// Wraps `data_key` for `context`. `nonce` is random.
///
/// # Errors
/// [`WrapError`], which is not met in practice.
pub fn wrap(
    master_key: &MasterKey,
    nonce: [u8; NONCE_BYTES],
    context: &EncryptionContext,
    data_key: &DataKey,
) -> Result<Vec<u8>, WrapError> {
    let bound_to = associated_data(WRAP_FORMAT, context);
    let encrypted = cipher::encrypt(master_key.wrapping_key.expose(), &nonce, &bound_to, data_key.expose())
        .map_err(|_| WrapError)?;
    let mut wrapped = Vec::with_capacity(WRAPPED_BYTES);
    wrapped.push(WRAP_FORMAT);
    wrapped.extend_from_slice(&nonce);
    wrapped.extend_from_slice(&encrypted);
    Ok(wrapped)
}

/// Unwraps what was wrapped under the same master key for the same context.
///
/// # Errors
/// [`UnwrapError`]. Never another key than the one that was wrapped.
pub fn unwrap(
    master_key: &MasterKey,
    wrapped: &[u8],
    context: &EncryptionContext,
) -> Result<DataKey, UnwrapError> {
    let (format, rest) = wrapped.split_first().ok_or(UnwrapError::Length)?;
    if *format != WRAP_FORMAT {
        return Err(UnwrapError::UnknownFormat(*format));
    }
    let (nonce, encrypted) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(UnwrapError::Length)?;
    if wrapped.len() != WRAPPED_BYTES {
        return Err(UnwrapError::Length);
    }
    let bound_to = associated_data(*format, context);
    let key = cipher::decrypt(master_key.wrapping_key.expose(), nonce, &bound_to, encrypted)
        .map(Zeroizing::new)
        .map_err(|_| UnwrapError::Refused)?;
    key.first_chunk().map(DataKey::from_bytes).ok_or(UnwrapError::Length)
}

fn associated_data(format: u8, context: &EncryptionContext) -> Vec<u8> {
    [DOMAIN, &[format], &context.encode()].concat()
}

fn key_id(bytes: [u8; KEY_ID_BYTES]) -> String {
    bytes.iter().fold(String::from("local:"), |mut id, byte| {
        // Writing to a string can't fail.
        let _ = write!(id, "{byte:02x}");
        id
    })
}

#[expect(
    clippy::expect_used,
    reason = "HKDF-SHA256 refuses only more than 8,160 bytes, and no caller asks so much"
)]
fn expand(hkdf: &Hkdf<Sha256>, label: &[u8], out: &mut [u8]) {
    hkdf.expand(label, out).expect("fewer bytes than HKDF can give");
}
