//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03), the only cipher of the vault. A nonce of 192 bits may be
//! drawn at random without a thought for collisions.

use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
use zeroize::Zeroizing;

use crate::key_bytes::KEY_BYTES;

/// Length of a nonce, in bytes.
pub const NONCE_BYTES: usize = 24;
/// What the tag adds to the plaintext, in bytes.
pub const TAG_BYTES: usize = 16;

/// Nothing more can be said: not to tell one cause from another is part of the cipher's security.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CipherRefused;

/// Answers the ciphertext and its tag. Refuses only what is longer than the cipher can take (256 GiB).
pub(crate) fn encrypt(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; NONCE_BYTES],
    associated_data: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, CipherRefused> {
    // Room for the tag from the start: growing would leave a copy of the plaintext behind.
    let mut buffer = Zeroizing::new(Vec::with_capacity(plaintext.len() + TAG_BYTES));
    buffer.extend_from_slice(plaintext);
    XChaCha20Poly1305::new(key.into())
        .encrypt_in_place(nonce.into(), associated_data, &mut *buffer)
        .map_err(|_| CipherRefused)?;
    Ok(std::mem::take(&mut *buffer))
}

/// Answers the plaintext, to be wiped by the caller. Refuses whatever was not encrypted under the same key,
/// nonce and associated data, in full.
pub(crate) fn decrypt(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; NONCE_BYTES],
    associated_data: &[u8],
    ciphertext: &[u8],
) -> Result<Vec<u8>, CipherRefused> {
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    XChaCha20Poly1305::new(key.into())
        .decrypt_in_place(nonce.into(), associated_data, &mut *buffer)
        .map_err(|_| CipherRefused)?;
    Ok(std::mem::take(&mut *buffer))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    /// Appendix A of the draft, from `tests/vectors/xchacha20poly1305_draft.txt`.
    fn draft(name: &str) -> Vec<u8> {
        let file = include_str!("../tests/vectors/xchacha20poly1305_draft.txt");
        let value = file.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix("= "));
        hex::decode(value.unwrap_or_else(|| panic!("no {name} in the vectors"))).unwrap()
    }

    #[test]
    fn it_is_the_cipher_of_the_draft() {
        let (key, nonce) = (draft("key").try_into().unwrap(), draft("nonce").try_into().unwrap());
        let (aad, plaintext) = (draft("associated_data"), draft("plaintext"));
        let ciphertext = [draft("ciphertext"), draft("tag")].concat();
        assert_eq!(encrypt(&key, &nonce, &aad, &plaintext), Ok(ciphertext.clone()));
        assert_eq!(decrypt(&key, &nonce, &aad, &ciphertext), Ok(plaintext));
    }

    #[test]
    fn less_than_a_tag_is_refused() {
        for length in 0..TAG_BYTES {
            assert_eq!(decrypt(&[0; 32], &[0; 24], b"", &vec![0; length]), Err(CipherRefused));
        }
    }

    #[test]
    fn encryption_never_grows_its_buffer() {
        let ciphertext = encrypt(&[1; 32], &[2; 24], b"", &[3; 1_000]).unwrap();
        assert_eq!(ciphertext.capacity(), 1_000 + TAG_BYTES);
    }
}
