//! A wrapped data key unwraps under its master key, for its context, unaltered, or not at all.

use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::secret::VersionNumber;
use hyperion_vault_crypto::{DataKey, EncryptionContext, MasterKey, UnwrapError, WRAP_FORMAT, unwrap, wrap};
use proptest::prelude::*;

use crate::vectors::Vectors;

const DATA_KEY: [u8; 32] = [7; 32];

fn master_key() -> MasterKey {
    MasterKey::from_bytes(&[3; 32])
}

fn context(name: &str, version: u64) -> EncryptionContext {
    EncryptionContext::for_version(&SecretName::parse(name).unwrap(), VersionNumber::new(version))
}

fn wrapped() -> Vec<u8> {
    wrap(&master_key(), [9; 24], &context("prod/db", 3), &DataKey::from_bytes(&DATA_KEY)).unwrap()
}

fn unwrapped(
    master_key: &MasterKey,
    wrapped: &[u8],
    context: &EncryptionContext,
) -> Result<[u8; 32], UnwrapError> {
    unwrap(master_key, wrapped, context).map(|key| *key.expose())
}

#[test]
fn format_1_is_written_and_read_as_ever() {
    let vectors = Vectors::new(include_str!("../vectors/wrapped_data_key_v1.txt"));
    let master_key = MasterKey::from_bytes(&vectors.array("master_key"));
    let context = EncryptionContext::for_version(&vectors.name(), vectors.version());
    let data_key = DataKey::from_bytes(&vectors.array("data_key"));

    assert_eq!(master_key.key_id(), vectors.text("key_id"));
    let wrapped = wrap(&master_key, vectors.array("nonce"), &context, &data_key).unwrap();
    assert_eq!(wrapped, vectors.bytes("wrapped"));
    assert_eq!(unwrapped(&master_key, &wrapped, &context), Ok(vectors.array("data_key")));
}

#[test]
fn nodes_that_hold_one_master_key_share_the_same_secret_as_ever() {
    let vectors = Vectors::new(include_str!("../vectors/cluster_secret_v1.txt"));
    let master_key = MasterKey::from_bytes(&vectors.array("master_key"));
    assert_eq!(*master_key.cluster_secret(), vectors.array("cluster_secret"));
    assert_ne!(MasterKey::from_bytes(&[3; 32]).cluster_secret(), master_key.cluster_secret());
}

#[test]
fn the_context_of_a_version_is_its_name_and_number() {
    let context = context("prod/db", 12);
    assert_eq!(context.pairs().collect::<Vec<_>>(), [("secret", "prod/db"), ("version", "12")]);
}

#[test]
fn it_unwraps_in_no_other_context() {
    assert_eq!(unwrapped(&master_key(), &wrapped(), &context("prod/db", 3)), Ok(DATA_KEY));
    for (name, version) in [("prod/db", 4), ("prod/db", 33), ("prod/d", 3), ("prod/db3", 3)] {
        let elsewhere = context(name, version);
        assert_eq!(unwrapped(&master_key(), &wrapped(), &elsewhere), Err(UnwrapError::Refused));
    }
}

#[test]
fn another_master_key_is_told_by_its_id() {
    let other = MasterKey::from_bytes(&[4; 32]);
    assert_eq!(unwrapped(&other, &wrapped(), &context("prod/db", 3)), Err(UnwrapError::Refused));
    assert_ne!(other.key_id(), master_key().key_id());
    assert_eq!(MasterKey::from_bytes(&[4; 32]).key_id(), other.key_id());
}

#[test]
fn a_key_id_is_local_and_16_hexadecimal_digits() {
    let key = master_key();
    let digits = key.key_id().strip_prefix("local:").unwrap();
    assert_eq!(digits.len(), 16);
    assert!(digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    assert!(!digits.contains("0303"), "nothing of the key itself");
}

#[test]
fn every_flipped_bit_refuses() {
    for bit in 0..wrapped().len() * 8 {
        let mut altered = wrapped();
        altered[bit / 8] ^= 1 << (bit % 8);
        let expected = if bit < 8 { UnwrapError::UnknownFormat(altered[0]) } else { UnwrapError::Refused };
        assert_eq!(unwrapped(&master_key(), &altered, &context("prod/db", 3)), Err(expected), "bit {bit}");
    }
}

#[test]
fn every_other_length_refuses() {
    let right = wrapped().len();
    for length in (0..right).chain([right + 1, right + 32]) {
        let mut altered = wrapped();
        altered.resize(length, 0);
        let refused = unwrapped(&master_key(), &altered, &context("prod/db", 3));
        assert_eq!(refused, Err(UnwrapError::Length), "{length}");
    }
}

#[test]
fn the_data_key_does_not_show() {
    assert!(!wrapped().windows(4).any(|part| part == [7; 4]));
    assert_eq!(wrapped()[0], WRAP_FORMAT);
}

proptest! {
    #[test]
    fn no_two_contexts_encode_alike(
        a in "[a1]{1,4}", b in "[a1]{1,4}", version_a in 1u64..200, version_b in 1u64..200,
    ) {
        let (first, second) = (context(&a, version_a), context(&b, version_b));
        prop_assert_eq!(first.encode() == second.encode(), first == second);
    }

    #[test]
    fn no_bytes_unwrap_by_chance(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        prop_assert!(unwrap(&master_key(), &bytes, &context("a", 1)).is_err());
    }
}
