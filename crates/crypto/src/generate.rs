//! Material that the vault makes itself.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::plaintext::Plaintext;

/// Random bytes in a generated value.
pub const GENERATED_RANDOM_BYTES: usize = 32;

/// A new value or password: `random` in base64url without padding (RFC 4648 §5), 43 characters. `random` comes
/// from the operating system's generator.
#[must_use]
pub fn generated_value(random: &Zeroizing<[u8; GENERATED_RANDOM_BYTES]>) -> Plaintext {
    Plaintext::from(URL_SAFE_NO_PAD.encode(random.as_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generated(random: [u8; 32]) -> Vec<u8> {
        generated_value(&Zeroizing::new(random)).expose().to_vec()
    }

    #[test]
    fn it_is_43_characters_of_the_url_safe_alphabet() {
        assert_eq!(generated([0; 32]), b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(generated([0xfb; 32]), b"-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s");
        assert_eq!(generated([0xff; 32]).len(), 43);
    }
}
