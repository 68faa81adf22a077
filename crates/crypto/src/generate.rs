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

/// A new value of `length` characters, each drawn from `alphabet` by itself and as likely as any other. `fill` gives
/// bytes of the operating system's generator; those that would favour some characters are thrown away.
///
/// `alphabet` is 2 to 256 characters of ASCII, each once.
#[must_use]
pub fn generated_from(alphabet: &[u8], length: usize, mut fill: impl FnMut(&mut [u8])) -> Plaintext {
    // So many of the 256 values of a byte are a whole number of alphabets.
    let fair = 256 - 256 % alphabet.len().max(1);
    let mut value = Zeroizing::new(Vec::with_capacity(length));
    let mut random = Zeroizing::new([0; GENERATED_RANDOM_BYTES]);
    while value.len() < length && !alphabet.is_empty() {
        fill(random.as_mut_slice());
        let drawn = random.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < fair);
        let drawn = drawn.filter_map(|byte| alphabet.get(byte % alphabet.len()));
        let missing = length - value.len();
        value.extend(drawn.take(missing));
    }
    Plaintext::from(value.as_slice())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Every value of a byte once, over and over.
    fn counting() -> impl FnMut(&mut [u8]) {
        let mut next = 0_u8;
        move |bytes| {
            for byte in bytes {
                *byte = next;
                next = next.wrapping_add(1);
            }
        }
    }

    #[test]
    fn each_character_of_an_alphabet_is_as_likely_as_any_other() {
        for size in [2_u8, 10, 62, 94] {
            let alphabet: Vec<u8> = (b'!'..b'!' + size).collect();
            let fair = 256 - 256 % usize::from(size);
            // As many characters as come of three rounds of all bytes.
            let value = generated_from(&alphabet, 3 * fair, counting());
            let mut counts = BTreeMap::new();
            for character in value.expose() {
                *counts.entry(*character).or_insert(0) += 1;
            }
            assert_eq!(counts.len(), usize::from(size));
            assert!(counts.values().all(|count| *count == 3 * fair / usize::from(size)), "{counts:?}");
        }
    }

    #[test]
    fn it_is_as_long_as_asked_for() {
        for length in [1, 31, 32, 33, 1_024] {
            assert_eq!(generated_from(b"abc", length, counting()).len(), length);
        }
    }

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
