//! How secret material lies in the plaintext that is sealed.
//!
//! ```text
//! opaque:   format u8 = 1 | kind u8 = 0 | value, to the end
//! userpass: format u8 = 1 | kind u8 = 1 | username length u32 BE | username | password, to the end
//! ```
//!
//! Username and password are one plaintext, so that neither can be swapped for that of another version.

use hyperion_vault_core::secret::SecretFormat;

use crate::plaintext::Plaintext;

const PAYLOAD_FORMAT: u8 = 1;
const OPAQUE: u8 = 0;
const USER_PASS: u8 = 1;

/// The material of one version, in the clear.
pub enum Material {
    Opaque(Plaintext),
    UserPass { username: Plaintext, password: Plaintext },
}

/// Why an opened plaintext is not material. As it was authentic, this is a release that doesn't know the
/// format, or a defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    #[error("payload ends early")]
    Truncated,
    #[error("payload format {0} is not known")]
    UnknownFormat(u8),
    #[error("payload kind {0} is not known")]
    UnknownKind(u8),
    /// Only a username over 4 GiB, far beyond the vault's limits.
    #[error("username is too long")]
    TooLong,
}

impl Material {
    /// What the material is, to be compared with what the secret should be.
    #[must_use]
    pub fn format(&self) -> SecretFormat {
        match self {
            Material::Opaque(_) => SecretFormat::Opaque,
            Material::UserPass { .. } => SecretFormat::UserPass,
        }
    }

    /// The plaintext to seal.
    ///
    /// # Errors
    /// [`PayloadError::TooLong`].
    pub fn encode(&self) -> Result<Plaintext, PayloadError> {
        match self {
            Material::Opaque(value) => Ok(concat(&[&[PAYLOAD_FORMAT, OPAQUE], value.expose()])),
            Material::UserPass { username, password } => {
                let length = u32::try_from(username.len()).map_err(|_| PayloadError::TooLong)?;
                Ok(concat(&[
                    &[PAYLOAD_FORMAT, USER_PASS],
                    &length.to_be_bytes(),
                    username.expose(),
                    password.expose(),
                ]))
            }
        }
    }

    /// # Errors
    /// [`PayloadError`] says what the plaintext is not.
    pub fn decode(plaintext: &Plaintext) -> Result<Material, PayloadError> {
        let ([format, kind], body) = plaintext.expose().split_first_chunk().ok_or(PayloadError::Truncated)?;
        match (*format, *kind) {
            (PAYLOAD_FORMAT, OPAQUE) => Ok(Material::Opaque(body.into())),
            (PAYLOAD_FORMAT, USER_PASS) => decode_user_pass(body),
            (PAYLOAD_FORMAT, kind) => Err(PayloadError::UnknownKind(kind)),
            (format, _) => Err(PayloadError::UnknownFormat(format)),
        }
    }
}

fn decode_user_pass(body: &[u8]) -> Result<Material, PayloadError> {
    let (length, rest) = body.split_first_chunk().ok_or(PayloadError::Truncated)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| PayloadError::Truncated)?;
    let (username, password) = rest.split_at_checked(length).ok_or(PayloadError::Truncated)?;
    Ok(Material::UserPass { username: username.into(), password: password.into() })
}

/// One buffer of the final size from the start: growing would leave copies behind.
fn concat(parts: &[&[u8]]) -> Plaintext {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        bytes.extend_from_slice(part);
    }
    Plaintext::from(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode_error(bytes: &[u8]) -> PayloadError {
        Material::decode(&Plaintext::from(bytes)).err().unwrap()
    }

    fn user_pass(username: &[u8], password: &[u8]) -> Material {
        Material::UserPass { username: username.into(), password: password.into() }
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let opaque = Material::Opaque(b"value".as_slice().into());
        assert_eq!(opaque.encode().unwrap().expose(), b"\x01\x00value");
        let both = user_pass(b"user", b"pass");
        assert_eq!(both.encode().unwrap().expose(), b"\x01\x01\0\0\0\x04userpass");
    }

    #[test]
    fn every_way_to_be_no_payload_has_its_name() {
        assert_eq!(decode_error(b""), PayloadError::Truncated);
        assert_eq!(decode_error(b"\x01"), PayloadError::Truncated);
        assert_eq!(decode_error(b"\x02\x00value"), PayloadError::UnknownFormat(2));
        assert_eq!(decode_error(b"\x01\x02value"), PayloadError::UnknownKind(2));
        assert_eq!(decode_error(b"\x01\x01\0\0\0"), PayloadError::Truncated);
        assert_eq!(decode_error(b"\x01\x01\0\0\0\x05user"), PayloadError::Truncated);
        assert_eq!(decode_error(b"\x01\x01\xff\xff\xff\xffuser"), PayloadError::Truncated);
    }

    proptest! {
        #[test]
        fn opaque_material_comes_back(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let material = Material::Opaque(value.as_slice().into());
            let decoded = Material::decode(&material.encode().unwrap()).unwrap();
            let Material::Opaque(decoded) = decoded else { panic!("not opaque") };
            prop_assert_eq!(decoded.expose(), value);
        }

        #[test]
        fn userpass_material_comes_back_split_where_it_was(
            user in proptest::collection::vec(any::<u8>(), 0..100),
            pass in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let decoded = Material::decode(&user_pass(&user, &pass).encode().unwrap()).unwrap();
            let Material::UserPass { username, password } = decoded else { panic!("not userpass") };
            prop_assert_eq!((username.expose(), password.expose()), (user.as_slice(), pass.as_slice()));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Material::decode(&Plaintext::from(bytes));
        }
    }
}
