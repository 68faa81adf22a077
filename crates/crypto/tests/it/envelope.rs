//! A sealed version opens where it was sealed for, as it was sealed, or not at all.

use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::secret::{SealedVersion, SecretId, VersionNumber};
use hyperion_vault_crypto::{AssociatedData, DataKey, ENVELOPE_FORMAT, OpenError, Plaintext, open, seal};
use proptest::prelude::*;

use crate::vectors::Vectors;

const KEY: [u8; 32] = [7; 32];
const NONCE: [u8; 24] = [9; 24];

/// A place that a version can be sealed for.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    id: SecretId,
    name: SecretName,
    version: VersionNumber,
}

impl Place {
    fn new(id: [u8; 16], name: &str, version: u64) -> Place {
        Place {
            id: SecretId::from_bytes(id),
            name: SecretName::parse(name).unwrap(),
            version: VersionNumber::new(version),
        }
    }

    fn associated_data(&self) -> AssociatedData<'_> {
        AssociatedData { secret_id: &self.id, name: &self.name, version: self.version }
    }

    fn seal(&self, plaintext: &[u8]) -> SealedVersion {
        seal(DataKey::from_bytes(&KEY), NONCE, &self.associated_data(), &plaintext.into())
            .unwrap()
            .with_wrapped_key("kms:1".to_owned(), vec![1, 2, 3])
    }

    fn open_with(&self, key: &[u8; 32], sealed: &SealedVersion) -> Result<Vec<u8>, OpenError> {
        open(&DataKey::from_bytes(key), sealed, &self.associated_data())
            .map(|plaintext: Plaintext| plaintext.expose().to_vec())
    }

    fn open(&self, sealed: &SealedVersion) -> Result<Vec<u8>, OpenError> {
        self.open_with(&KEY, sealed)
    }
}

fn here() -> Place {
    Place::new([1; 16], "prod/db", 3)
}

#[test]
fn format_1_is_written_and_read_as_ever() {
    let vectors = Vectors::new(include_str!("../vectors/sealed_version_v1.txt"));
    let (id, name) = (SecretId::from_bytes(vectors.array("secret_id")), vectors.name());
    let place = AssociatedData { secret_id: &id, name: &name, version: vectors.version() };
    let key = || DataKey::from_bytes(&vectors.array("data_key"));
    let plaintext = Plaintext::from(vectors.bytes("plaintext"));

    let sealed = seal(key(), vectors.array("nonce"), &place, &plaintext).unwrap();
    assert_eq!((sealed.format, &sealed.ciphertext), (1, &vectors.bytes("ciphertext")));

    let stored = sealed.with_wrapped_key(String::new(), Vec::new());
    assert_eq!(open(&key(), &stored, &place).unwrap().expose(), vectors.bytes("plaintext"));
}

#[test]
fn the_record_carries_the_wrapped_key_and_hides_the_plaintext() {
    let sealed = here().seal(b"a rather long plaintext");
    assert_eq!((sealed.kms_key_id.as_str(), sealed.wrapped_data_key.as_slice()), ("kms:1", &[1, 2, 3][..]));
    assert_eq!((sealed.envelope_format, sealed.nonce), (ENVELOPE_FORMAT, NONCE));
    assert_eq!(sealed.ciphertext.len(), 23 + 16);
    assert!(
        !sealed.ciphertext.windows(4).any(|part| b"a rather long plaintext".windows(4).any(|p| p == part))
    );
}

#[test]
fn it_opens_at_no_other_name_version_or_secret() {
    let sealed = here().seal(b"value");
    assert_eq!(here().open(&sealed).unwrap(), b"value");
    for elsewhere in [
        Place::new([1; 16], "prod/db2", 3),
        Place::new([1; 16], "prod/d", 3),
        Place::new([1; 16], "Prod/db", 3),
        Place::new([1; 16], "prod/db", 4),
        Place::new([1; 16], "prod/db", 3 << 8),
        Place::new([2; 16], "prod/db", 3),
    ] {
        assert_eq!(elsewhere.open(&sealed), Err(OpenError::Refused), "{elsewhere:?}");
    }
}

#[test]
fn it_opens_under_no_other_key() {
    let sealed = here().seal(b"value");
    for bit in 0..256 {
        let mut key = KEY;
        key[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(here().open_with(&key, &sealed), Err(OpenError::Refused));
    }
}

#[test]
fn every_flipped_bit_of_nonce_and_ciphertext_refuses() {
    let sealed = here().seal(b"value");
    for bit in 0..sealed.nonce.len() * 8 {
        let mut altered = sealed.clone();
        altered.nonce[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(here().open(&altered), Err(OpenError::Refused), "nonce bit {bit}");
    }
    for bit in 0..sealed.ciphertext.len() * 8 {
        let mut altered = sealed.clone();
        altered.ciphertext[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(here().open(&altered), Err(OpenError::Refused), "ciphertext bit {bit}");
    }
}

#[test]
fn a_cut_or_lengthened_ciphertext_refuses() {
    let sealed = here().seal(b"value");
    for length in (0..sealed.ciphertext.len()).chain([sealed.ciphertext.len() + 1]) {
        let mut altered = sealed.clone();
        altered.ciphertext.resize(length, 0);
        assert_eq!(here().open(&altered), Err(OpenError::Refused), "{length}");
    }
}

#[test]
fn another_format_is_refused_by_name() {
    for format in (0..=u8::MAX).filter(|format| *format != ENVELOPE_FORMAT) {
        let altered = SealedVersion { envelope_format: format, ..here().seal(b"value") };
        assert_eq!(here().open(&altered), Err(OpenError::UnknownFormat(format)));
    }
}

fn places() -> impl Strategy<Value = Place> {
    // Few of each, so that two places often differ in one thing alone.
    (0u8..3, "[ab]{1,3}(/[ab]{1,2})?", 1u64..4)
        .prop_map(|(id, name, version)| Place::new([id; 16], &name, version))
}

proptest! {
    #[test]
    fn it_opens_exactly_where_it_was_sealed(
        sealed_for in places(), opened_at in places(), plaintext in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let sealed = sealed_for.seal(&plaintext);
        let expected = if sealed_for == opened_at { Ok(plaintext.clone()) } else { Err(OpenError::Refused) };
        prop_assert_eq!(opened_at.open(&sealed), expected);
        prop_assert_eq!(sealed_for.open(&sealed), Ok(plaintext));
    }
}
