//! How the material of an automatic secret is generated, where its owner says so.

use minicbor::{Decode, Encode};

use crate::limits::{GENERATED_CHARS_MAX, GENERATED_CHARS_MIN, GENERATED_ENTROPY_BITS_MIN};

/// Characters drawn at random, each by itself, from an alphabet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generator {
    length: u32,
    alphabet: String,
}

/// Why a generator is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GeneratorError {
    #[error("generator.length must be from {GENERATED_CHARS_MIN} to {GENERATED_CHARS_MAX}")]
    Length,
    #[error("generator.alphabet must be at least two printable ASCII characters, without the space")]
    Alphabet,
    #[error("generator.alphabet must not name a character twice")]
    Repeated,
    #[error(
        "the generator makes values that can be guessed: length times log2 of the alphabet's size must be at least {GENERATED_ENTROPY_BITS_MIN}"
    )]
    Guessable,
}

impl Generator {
    /// `length` characters of `alphabet`, in which each stands once.
    ///
    /// # Errors
    /// [`GeneratorError`] says which rule is broken.
    pub fn new(length: u32, alphabet: &str) -> Result<Generator, GeneratorError> {
        if !(GENERATED_CHARS_MIN..=GENERATED_CHARS_MAX).contains(&length) {
            return Err(GeneratorError::Length);
        }
        if alphabet.len() < 2 || !alphabet.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(GeneratorError::Alphabet);
        }
        let mut seen = [false; 128];
        for byte in alphabet.bytes() {
            match seen.get_mut(usize::from(byte)) {
                Some(before) if !*before => *before = true,
                _ => return Err(GeneratorError::Repeated),
            }
        }
        if !has_entropy(alphabet.len() as u128, length) {
            return Err(GeneratorError::Guessable);
        }
        Ok(Generator { length, alphabet: alphabet.to_owned() })
    }

    /// How many characters a value has.
    #[must_use]
    pub fn length(&self) -> u32 {
        self.length
    }

    /// The characters that a value is made of: 2 to 94, each once.
    #[must_use]
    pub fn alphabet(&self) -> &str {
        &self.alphabet
    }
}

/// Whether `characters` to the power of `length` is at least 2 to the power of [`GENERATED_ENTROPY_BITS_MIN`].
fn has_entropy(characters: u128, length: u32) -> bool {
    let enough = 1_u128 << GENERATED_ENTROPY_BITS_MIN;
    characters.checked_pow(length).is_none_or(|values| values >= enough)
}

impl<C> Encode<C> for Generator {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(2)?.u32(self.length)?.str(&self.alphabet)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Generator {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Generator, minicbor::decode::Error> {
        if d.array()? != Some(2) {
            return Err(minicbor::decode::Error::message("a generator is a length and an alphabet"));
        }
        Generator::new(d.u32()?, d.str()?).map_err(minicbor::decode::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef";

    #[test]
    fn a_value_that_could_be_guessed_is_refused() {
        assert_eq!(Generator::new(16, "01234567"), Err(GeneratorError::Guessable));
        assert_eq!(Generator::new(15, HEX), Err(GeneratorError::Guessable));
        assert_eq!(Generator::new(16, HEX).unwrap().alphabet(), HEX);
        assert_eq!(Generator::new(64, "01").unwrap().length(), 64);
        assert_eq!(Generator::new(63, "01"), Err(GeneratorError::Guessable));
        assert!(Generator::new(GENERATED_CHARS_MAX, HEX).is_ok());
    }

    #[test]
    fn length_and_alphabet_have_limits() {
        for length in [0, GENERATED_CHARS_MIN - 1, GENERATED_CHARS_MAX + 1, u32::MAX] {
            assert_eq!(Generator::new(length, HEX), Err(GeneratorError::Length));
        }
        for alphabet in ["", "a", "abc def", "abc\u{7f}", "abcä"] {
            assert_eq!(Generator::new(100, alphabet), Err(GeneratorError::Alphabet));
        }
        assert_eq!(Generator::new(100, "abca"), Err(GeneratorError::Repeated));
    }

    #[test]
    fn what_is_read_back_was_checked_again() {
        let generator = Generator::new(20, HEX).unwrap();
        let bytes = minicbor::to_vec(&generator).unwrap();
        assert_eq!(minicbor::decode::<Generator>(&bytes).unwrap(), generator);
        let guessable = minicbor::to_vec((3_u32, "ab")).unwrap();
        assert!(minicbor::decode::<Generator>(&guessable).is_err());
    }
}
