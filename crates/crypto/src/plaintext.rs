//! Secret bytes in the clear.

use subtle::{Choice, ConstantTimeEq};
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// Secret bytes of any length. Wiped when dropped, spare capacity included.
#[derive(ZeroizeOnDrop)]
pub struct Plaintext(Zeroizing<Vec<u8>>);

impl Plaintext {
    /// The bytes themselves. Don't copy them into anything that isn't wiped.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Takes the buffer over; what it was copied from is the caller's to wipe.
impl From<Vec<u8>> for Plaintext {
    fn from(bytes: Vec<u8>) -> Plaintext {
        Plaintext(Zeroizing::new(bytes))
    }
}

/// Takes the buffer over; what it was copied from is the caller's to wipe.
impl From<String> for Plaintext {
    fn from(text: String) -> Plaintext {
        Plaintext::from(text.into_bytes())
    }
}

impl From<&[u8]> for Plaintext {
    fn from(bytes: &[u8]) -> Plaintext {
        Plaintext::from(bytes.to_vec())
    }
}

/// The time depends on the lengths, never on the bytes.
impl ConstantTimeEq for Plaintext {
    fn ct_eq(&self, other: &Plaintext) -> Choice {
        self.0.ct_eq(other.0.as_slice())
    }
}
