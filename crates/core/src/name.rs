//! Names, parsed once at the border. Behind it nothing checks them again.

use std::fmt;

use crate::limits::{GRANT_NAME_BYTES_MAX, SECRET_NAME_BYTES_MAX};

/// Why a text is not a name. The text itself is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("must not be empty")]
    Empty,
    #[error("must be at most {max} characters")]
    TooLong { max: usize },
    #[error("may only contain {allowed}")]
    Character { allowed: &'static str },
    #[error("must not start or end with '/' or contain an empty segment")]
    EmptySegment,
    #[error("must not contain a segment '.' or '..'")]
    DotSegment,
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// # Errors
            /// [`NameError`] says which rule the text breaks.
            pub fn parse(text: &str) -> Result<$name, NameError> {
                $check(text)?;
                Ok($name(text.to_owned()))
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.str(&self.0)?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<$name, minicbor::decode::Error> {
                $name::parse(d.str()?).map_err(minicbor::decode::Error::custom)
            }
        }
    };
}

name_type!(
    /// The name of a secret: 1 to 255 of `A-Z a-z 0-9 - _ . /`, in segments that are neither empty nor dots.
    SecretName,
    check_secret_name
);
name_type!(
    /// The name of a role: 1 to 128 of `A-Z a-z 0-9 - _ .`.
    RoleName,
    check_grant_name
);
name_type!(
    /// The name of a token (never the token): 1 to 128 of `A-Z a-z 0-9 - _ .`.
    TokenName,
    check_grant_name
);

fn check_secret_name(text: &str) -> Result<(), NameError> {
    check_characters(text, SECRET_NAME_BYTES_MAX, is_secret_name_byte, "A-Z a-z 0-9 - _ . /")?;
    for segment in text.split('/') {
        match segment {
            "" => return Err(NameError::EmptySegment),
            "." | ".." => return Err(NameError::DotSegment),
            _ => {}
        }
    }
    Ok(())
}

fn check_grant_name(text: &str) -> Result<(), NameError> {
    check_characters(text, GRANT_NAME_BYTES_MAX, is_grant_name_byte, "A-Z a-z 0-9 - _ .")?;
    if matches!(text, "." | "..") { Err(NameError::DotSegment) } else { Ok(()) }
}

fn check_characters(
    text: &str,
    max: usize,
    allowed: fn(u8) -> bool,
    allowed_text: &'static str,
) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > max {
        return Err(NameError::TooLong { max });
    }
    if !text.bytes().all(allowed) {
        return Err(NameError::Character { allowed: allowed_text });
    }
    Ok(())
}

fn is_grant_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// Whether a byte may stand in a secret's name; a rule's path is made of the same bytes.
pub(crate) fn is_secret_name_byte(byte: u8) -> bool {
    is_grant_name_byte(byte) || byte == b'/'
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_name_is_1_to_255_characters_of_the_alphabet() {
        assert!(SecretName::parse("a").is_ok());
        assert!(SecretName::parse("Prod/db-1/pass_word.v2").is_ok());
        assert!(SecretName::parse(&"x".repeat(255)).is_ok());
        assert_eq!(SecretName::parse(""), Err(NameError::Empty));
        assert_eq!(SecretName::parse(&"x".repeat(256)), Err(NameError::TooLong { max: 255 }));
        for bad in ["a b", "a\0", "ä", "a%2F", "a\\b", "a*", "a:b", "a\n"] {
            assert!(matches!(SecretName::parse(bad), Err(NameError::Character { .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_secret_name_has_no_empty_and_no_dot_segment() {
        for bad in ["/a", "a/", "a//b", "/"] {
            assert_eq!(SecretName::parse(bad), Err(NameError::EmptySegment), "{bad}");
        }
        for bad in [".", "..", "a/.", "a/../b", "./a"] {
            assert_eq!(SecretName::parse(bad), Err(NameError::DotSegment), "{bad}");
        }
        assert!(SecretName::parse("a/...").is_ok());
        assert!(SecretName::parse(".hidden").is_ok());
    }

    #[test]
    fn a_role_name_has_no_slash() {
        assert!(RoleName::parse("deploy-bot_1.x").is_ok());
        assert!(RoleName::parse("a/b").is_err());
        assert!(TokenName::parse(&"t".repeat(129)).is_err());
    }

    #[test]
    fn a_bad_name_does_not_decode_from_disk() {
        let mut bytes = Vec::new();
        minicbor::Encoder::new(&mut bytes).str("a//b").unwrap();
        assert!(minicbor::decode::<SecretName>(&bytes).is_err());
    }
}
