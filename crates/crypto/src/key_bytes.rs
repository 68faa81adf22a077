//! Where the bytes of a key live: on the heap, in one place, until they are wiped.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Length of every key of this crate, in bytes: XChaCha20-Poly1305 takes 256 bits.
pub const KEY_BYTES: usize = 32;

/// A key. Boxed, so that moving it moves a pointer and leaves no copy behind on the stack.
pub(crate) struct KeyBytes(Box<[u8; KEY_BYTES]>);

impl KeyBytes {
    /// A key that `fill` writes in place.
    pub(crate) fn filled_by(fill: impl FnOnce(&mut [u8; KEY_BYTES])) -> KeyBytes {
        let mut key = KeyBytes(Box::new([0; KEY_BYTES]));
        fill(&mut key.0);
        key
    }

    pub(crate) fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl Drop for KeyBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for KeyBytes {}
