//! The key of one sealed version.

use zeroize::ZeroizeOnDrop;

use crate::key_bytes::{KEY_BYTES, KeyBytes};

/// A data key (DEK): 32 bytes that seal one version and nothing else. Wiped when dropped.
#[derive(ZeroizeOnDrop)]
pub struct DataKey(KeyBytes);

impl DataKey {
    /// Copies the key. The caller wipes the bytes it was made from.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; KEY_BYTES]) -> DataKey {
        DataKey::filled_by(|key| key.copy_from_slice(bytes))
    }

    /// A key that `fill` writes where it will stay, so that no other copy ever exists. `fill` must write all
    /// of it.
    #[must_use]
    pub fn filled_by(fill: impl FnOnce(&mut [u8; KEY_BYTES])) -> DataKey {
        DataKey(KeyBytes::filled_by(fill))
    }

    /// The key itself. Don't copy it into anything that isn't wiped.
    #[must_use]
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        self.0.expose()
    }
}
