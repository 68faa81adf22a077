//! The provider that holds the master key itself.

use hyperion_vault_crypto::MasterKey;
use hyperion_vault_kms::{
    KeyProvider, KmsError, LocalProvider, MasterKeyError, WrappedDataKey, parse_master_key,
};

use crate::fixture::{MASTER_KEY, context, entropy, local_provider};

async fn unwrap(
    provider: &LocalProvider,
    wrapped: &WrappedDataKey,
    name: &str,
    version: u64,
) -> Result<[u8; 32], KmsError> {
    provider.unwrap_data_key(wrapped, &context(name, version)).await.map(|key| *key.expose())
}

#[tokio::test]
async fn a_generated_key_unwraps_in_its_context_alone() {
    let provider = local_provider();
    let made = provider.generate_data_key(&context("a", 1)).await.unwrap();
    assert_eq!(unwrap(&provider, &made.wrapped, "a", 1).await, Ok(*made.plaintext.expose()));
    for (name, version) in [("a", 2), ("b", 1)] {
        let refused = unwrap(&provider, &made.wrapped, name, version).await;
        assert!(matches!(refused, Err(KmsError::Tampered { .. })), "{name} {version}");
    }
}

#[tokio::test]
async fn every_generated_key_is_another() {
    let provider = local_provider();
    let first = provider.generate_data_key(&context("a", 1)).await.unwrap();
    let second = provider.generate_data_key(&context("a", 1)).await.unwrap();
    assert_ne!(first.plaintext.expose(), second.plaintext.expose());
    assert_ne!(first.wrapped.bytes, second.wrapped.bytes);
}

#[tokio::test]
async fn nodes_with_the_same_master_key_read_each_other() {
    let made = local_provider().generate_data_key(&context("a", 1)).await.unwrap();
    assert_eq!(unwrap(&local_provider(), &made.wrapped, "a", 1).await, Ok(*made.plaintext.expose()));
}

#[tokio::test]
async fn an_ephemeral_key_is_another_each_time_and_that_is_told_from_tampering() {
    let entropy = entropy();
    let before = LocalProvider::ephemeral(entropy.clone());
    let after = LocalProvider::ephemeral(entropy);
    let made = before.generate_data_key(&context("a", 1)).await.unwrap();
    let error = unwrap(&after, &made.wrapped, "a", 1).await.unwrap_err();
    assert!(matches!(error, KmsError::Misconfigured { .. }));
    assert!(error.to_string().contains(before.key_id()) && error.to_string().contains(after.key_id()));
}

#[tokio::test]
async fn every_flipped_byte_is_tampering() {
    let provider = local_provider();
    let made = provider.generate_data_key(&context("a", 1)).await.unwrap();
    for place in 0..made.wrapped.bytes.len() {
        let mut altered = made.wrapped.clone();
        altered.bytes[place] ^= 0x40;
        let refused = unwrap(&provider, &altered, "a", 1).await;
        assert!(matches!(refused, Err(KmsError::Tampered { .. })), "byte {place}");
    }
}

#[tokio::test]
async fn it_is_healthy() {
    assert_eq!(local_provider().health().await, Ok(()));
}

fn parse_error(text: &str) -> MasterKeyError {
    parse_master_key(text).err().expect("not a master key")
}

#[test]
fn a_master_key_is_base64_of_32_bytes_as_any_tool_writes_it() {
    let id = |text: &str| parse_master_key(text).expect(text).key_id().to_owned();
    let expected = MasterKey::from_bytes(&[3; 32]).key_id().to_owned();
    let unpadded = MASTER_KEY.trim_end_matches('=');
    for text in [MASTER_KEY, unpadded, &format!("{MASTER_KEY}\n"), &format!(" {unpadded}\r\n")] {
        assert_eq!(id(text), expected, "{text:?}");
    }
    let both_alphabets =
        ("++++++++++++++++++++++++++++++++++++++++++8=", "------------------------------------------8");
    assert_eq!(id(both_alphabets.0), id(both_alphabets.1));
}

#[test]
fn a_master_key_of_another_length_says_which() {
    assert_eq!(parse_error(""), MasterKeyError::Length { bytes: 0 });
    assert_eq!(parse_error("AAAA"), MasterKeyError::Length { bytes: 3 });
    assert_eq!(parse_error(&"A".repeat(64)), MasterKeyError::Length { bytes: 48 });
}

#[test]
fn what_is_not_base64_is_refused_without_being_repeated() {
    for text in ["a secret passphrase!", "+-+-", "AwMDA", "AwMDAwM=AwMDAwM=", "ÄÖÜ"] {
        assert_eq!(parse_error(text), MasterKeyError::NotBase64, "{text}");
        assert!(!parse_error(text).to_string().contains(text));
    }
}

/// Base64 of 32 bytes 0x04.
const OTHER_KEY: &str = "BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ=";

#[tokio::test]
async fn a_previous_key_opens_what_it_wrapped_and_wraps_nothing_new() {
    let old = local_provider();
    let made = old.generate_data_key(&context("a", 1)).await.unwrap();
    let key = |text| parse_master_key(text).unwrap();
    let both = LocalProvider::new(key(OTHER_KEY), vec![key(MASTER_KEY)], entropy());
    let opened = both.unwrap_data_key(&made.wrapped, &context("a", 1)).await.unwrap();
    assert_eq!(opened.expose(), made.plaintext.expose());
    assert_ne!(both.key_id(), old.key_id());
    assert_eq!(both.generate_data_key(&context("a", 1)).await.unwrap().wrapped.key_id, both.key_id());

    let moved = both.rewrap_data_key(&made.wrapped, &context("a", 1)).await.unwrap();
    assert_eq!(moved.key_id, both.current_key().await.unwrap().key_id);
    let alone = LocalProvider::new(key(OTHER_KEY), vec![], entropy());
    assert_eq!(
        alone.unwrap_data_key(&moved, &context("a", 1)).await.unwrap().expose(),
        made.plaintext.expose()
    );
    assert!(both.rewrap_data_key(&made.wrapped, &context("b", 1)).await.is_err(), "for its place alone");
}

#[tokio::test]
async fn a_wrong_key_is_told_from_an_altered_one() {
    let made = local_provider().generate_data_key(&context("a", 1)).await.unwrap();
    let other = LocalProvider::new(parse_master_key(OTHER_KEY).unwrap(), vec![], entropy());
    let error = other.unwrap_data_key(&made.wrapped, &context("a", 1)).await.err().unwrap();
    let KmsError::Misconfigured { detail } = &error else { panic!("{error}") };
    for part in [made.wrapped.key_id.as_str(), other.key_id(), "VAULT_LOCAL_PREVIOUS_KEYS"] {
        assert!(detail.contains(part), "{detail}");
    }
}
