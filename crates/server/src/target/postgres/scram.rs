//! SCRAM-SHA-256 verifiers as PostgreSQL stores them (RFC 5802, RFC 7677): what stands in `ALTER ROLE` in the place
//! of the password. Whoever reads one can't log in with it, but can try passwords at his leisure.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use pbkdf2::pbkdf2_hmac;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// PostgreSQL's own number (`SCRAM_SHA_256_DEFAULT_ITERATIONS`), and the least of RFC 7677. More would make every
/// login of every client slower and generated passwords, of 256 random bits, no safer.
const ITERATIONS: u32 = 4096;
/// PostgreSQL's own length (`SCRAM_DEFAULT_SALT_LEN`).
pub(super) const SALT_BYTES: usize = 16;

/// `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, in base64. It holds nothing that has to be quoted
/// within an SQL literal.
pub(super) fn verifier(password: &[u8], salt: &[u8; SALT_BYTES]) -> String {
    let mut salted = Zeroizing::new([0; 32]);
    pbkdf2_hmac::<Sha256>(&prepared(password), salt, ITERATIONS, salted.as_mut_slice());
    let client_key = Zeroizing::new(keyed(&salted, b"Client Key"));
    let stored_key = Sha256::digest(client_key.as_slice());
    let server_key = keyed(&salted, b"Server Key");
    let base64 = |bytes: &[u8]| STANDARD.encode(bytes);
    format!("SCRAM-SHA-256${ITERATIONS}:{}${}:{}", base64(salt), base64(&stored_key), base64(&server_key))
}

/// The password by SASLprep (RFC 4013), or as it is where that doesn't allow it or leaves nothing of it: so does
/// PostgreSQL, on both sides.
fn prepared(password: &[u8]) -> Zeroizing<Vec<u8>> {
    let text = std::str::from_utf8(password).ok();
    let prepared = text.and_then(|text| stringprep::saslprep(text).ok()).filter(|text| !text.is_empty());
    Zeroizing::new(match prepared {
        Some(Cow::Owned(text)) => text.into_bytes(),
        Some(Cow::Borrowed(_)) | None => password.to_vec(),
    })
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn keyed(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677, section 3: what the server signs, and its signature.
    const AUTH_MESSAGE: &str = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
        r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
        c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const CLIENT_PROOF: &str = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const SERVER_SIGNATURE: &str = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn bytes(base64: &str) -> [u8; 32] {
        STANDARD.decode(base64).unwrap().try_into().unwrap()
    }

    #[test]
    fn the_verifier_is_that_of_the_rfc() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap().try_into().unwrap();
        let verifier = verifier(b"pencil", &salt);
        let keys = verifier.strip_prefix("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$").unwrap();
        let (stored, server) = keys.split_once(':').unwrap();
        let signature = keyed(&bytes(server), AUTH_MESSAGE.as_bytes());
        assert_eq!(STANDARD.encode(signature), SERVER_SIGNATURE);
        let mask = keyed(&bytes(stored), AUTH_MESSAGE.as_bytes());
        let client_key: Vec<u8> =
            bytes(CLIENT_PROOF).iter().zip(mask).map(|(proof, mask)| proof ^ mask).collect();
        assert_eq!(Sha256::digest(client_key).as_slice(), bytes(stored));
    }

    #[test]
    fn passwords_that_saslprep_makes_one_have_one_verifier() {
        for (typed, meant) in [("a\u{a0}b", "a b"), ("so\u{ad}ft", "soft"), ("\u{2168}", "IX")] {
            assert_eq!(prepared(typed.as_bytes()).as_slice(), meant.as_bytes(), "{typed:?}");
        }
    }

    #[test]
    fn what_saslprep_does_not_allow_or_leaves_nothing_of_stays_as_it_is() {
        for typed in ["bell\u{7}", "\u{627}1", "\u{e000}", "\u{ad}", "\u{221}"] {
            assert_eq!(prepared(typed.as_bytes()).as_slice(), typed.as_bytes(), "{typed:?}");
        }
        assert_eq!(prepared(b"\xff\xfe").as_slice(), b"\xff\xfe");
    }
}
