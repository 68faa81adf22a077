//! AWS KMS through the provider itself: what goes out, what comes back, and what each kind of no is taken for.

use std::time::Duration;

use aws_sdk_kms::Client;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region};
use hyperion_vault_core::time::Timestamp;
use hyperion_vault_kms::{
    AwsConfig, AwsProvider, EncryptionContext, GeneratedDataKey, KeyProvider, KmsError, Outage,
    WrappedDataKey,
};
use tokio::time::Instant;

use crate::emulator::{ACCESS_KEY_ID, EVERY_OPERATION, Emulator, Failure, REGION, SECRET_ACCESS_KEY};
use crate::fixture::context;

const ALIAS: &str = "alias/vault";
/// The provider's own time limit is its decorator's; here a stalled call must end somehow.
const CALL_MAX: Duration = Duration::from_millis(400);

fn provider(emulator: &Emulator, key: &str) -> AwsProvider {
    let config = aws_sdk_kms::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(emulator.endpoint())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(CALL_MAX).build())
        .build();
    AwsProvider::with_client(AwsConfig { key_id: key.to_owned() }, Client::from_conf(config))
}

fn place() -> EncryptionContext {
    context("db/password", 3)
}

/// An emulator, a key, a provider for it, and a data key.
async fn with_data_key() -> (Emulator, String, AwsProvider, GeneratedDataKey) {
    let emulator = Emulator::start();
    let key = emulator.create_key();
    let provider = provider(&emulator, &key);
    let made = provider.generate_data_key(&place()).await.unwrap();
    (emulator, key, provider, made)
}

async fn opens(provider: &AwsProvider, wrapped: &WrappedDataKey) -> Result<[u8; 32], KmsError> {
    Ok(*provider.unwrap_data_key(wrapped, &place()).await?.expose())
}

fn misconfigured(result: Result<impl Sized, KmsError>) -> String {
    match result {
        Err(KmsError::Misconfigured { detail }) => detail,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("no error"),
    }
}

fn outage(result: Result<impl Sized, KmsError>) -> Outage {
    match result {
        Err(KmsError::Unavailable { outage, .. }) => outage,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("no error"),
    }
}

fn is_tampered(result: &Result<impl Sized, KmsError>) -> bool {
    matches!(result, Err(KmsError::Tampered { .. }))
}

#[tokio::test]
async fn a_data_key_opens_for_its_place_and_no_other() {
    let (_emulator, key, provider, made) = with_data_key().await;
    assert_eq!(made.wrapped.key_id, key);
    assert_eq!(opens(&provider, &made.wrapped).await.unwrap(), *made.plaintext.expose());
    for other in [context("db/password", 4), context("db/passwor", 3), EncryptionContext::for_probe()] {
        assert!(is_tampered(&provider.unwrap_data_key(&made.wrapped, &other).await));
        assert!(is_tampered(&provider.rewrap_data_key(&made.wrapped, &other).await));
    }
}

#[tokio::test]
async fn an_altered_wrapped_key_is_told_from_an_outage_wherever_it_was_altered() {
    let (_emulator, _, provider, made) = with_data_key().await;
    for at in 0..made.wrapped.bytes.len() {
        let mut altered = made.wrapped.clone();
        altered.bytes[at] ^= 1;
        assert!(is_tampered(&opens(&provider, &altered).await), "byte {at}");
    }
    let cut = WrappedDataKey { bytes: made.wrapped.bytes[..20].to_vec(), ..made.wrapped };
    assert!(is_tampered(&opens(&provider, &cut).await));
}

#[tokio::test]
async fn a_wrapped_key_that_is_said_to_be_of_another_master_key_is_not_authentic() {
    let (emulator, _, provider, made) = with_data_key().await;
    let key_id = emulator.create_key();
    assert!(is_tampered(&opens(&provider, &WrappedDataKey { key_id, ..made.wrapped }).await));
}

#[tokio::test]
async fn what_the_operator_must_mend_says_which_permission_on_which_key_and_what_to_do() {
    let (emulator, key, provider, made) = with_data_key().await;
    emulator.disable(&key);
    let detail = misconfigured(opens(&provider, &made.wrapped).await);
    for part in ["DisabledException", "kms:Decrypt", key.as_str(), "enable the key"] {
        assert!(detail.contains(part), "{detail}");
    }
    emulator.enable(&key);
    emulator.schedule_deletion(&key);
    assert!(misconfigured(provider.generate_data_key(&place()).await).contains("cancel the key's deletion"));
    emulator.cancel_deletion(&key);
    emulator.enable(&key);

    emulator.allow_only(&["kms:Decrypt"]);
    let detail = misconfigured(provider.generate_data_key(&place()).await);
    assert!(detail.contains("AccessDenied") && detail.contains("kms:GenerateDataKey"), "{detail}");
    opens(&provider, &made.wrapped).await.unwrap();
    emulator.heal();

    let nowhere = self::provider(&emulator, &key.replace(|c: char| c.is_ascii_digit(), "0"));
    assert!(misconfigured(nowhere.health().await).contains("set the right key"));
    provider.health().await.unwrap();
}

#[tokio::test]
async fn what_may_go_better_is_told_apart_by_how_it_failed() {
    let (emulator, _, provider, made) = with_data_key().await;
    for (failure, expected) in [
        (Failure::Code("ThrottlingException"), Outage::Throttled),
        (Failure::Code("KMSInternalException"), Outage::Faulty),
        (Failure::Code("DependencyTimeoutException"), Outage::Faulty),
        (Failure::Status(500), Outage::Faulty),
        (Failure::Status(503), Outage::Faulty),
        (Failure::Hangup, Outage::Unreachable),
    ] {
        emulator.fail(EVERY_OPERATION, failure);
        assert_eq!(outage(opens(&provider, &made.wrapped).await), expected);
        assert_eq!(outage(provider.health().await), expected);
        assert_eq!(outage(provider.rewrap_data_key(&made.wrapped, &place()).await), expected);
        assert_eq!(outage(provider.current_key().await), expected);
        emulator.heal();
    }
    emulator.close_port();
    assert_eq!(outage(opens(&provider, &made.wrapped).await), Outage::Unreachable);
    emulator.open_port();
    opens(&provider, &made.wrapped).await.unwrap();
}

#[tokio::test]
async fn a_call_that_is_not_answered_ends_in_time() {
    let (emulator, _, provider, made) = with_data_key().await;
    emulator.stall(&["Decrypt"], Duration::from_secs(30));
    let asked = Instant::now();
    assert_eq!(outage(opens(&provider, &made.wrapped).await), Outage::TimedOut);
    assert!(asked.elapsed() < CALL_MAX * 4);
    provider.health().await.unwrap();
}

#[tokio::test]
async fn what_is_stored_names_the_key_and_not_the_alias_so_that_the_alias_can_move() {
    let emulator = Emulator::start();
    let (old, new) = (emulator.create_key(), emulator.create_key());
    emulator.create_alias(ALIAS, &old);
    let provider = provider(&emulator, ALIAS);
    let made = provider.generate_data_key(&place()).await.unwrap();
    assert_eq!(made.wrapped.key_id, old);
    emulator.update_alias(ALIAS, &new);
    assert_eq!(opens(&provider, &made.wrapped).await.unwrap(), *made.plaintext.expose());
    assert_eq!(provider.current_key().await.unwrap().key_id, new);
    assert_eq!(provider.generate_data_key(&place()).await.unwrap().wrapped.key_id, new);
}

#[tokio::test]
async fn a_re_wrapped_key_is_the_same_key_and_needs_the_old_material_no_more() {
    let (emulator, key, provider, made) = with_data_key().await;
    emulator.rotate(&key);
    let rewrapped = provider.rewrap_data_key(&made.wrapped, &place()).await.unwrap();
    assert_eq!(rewrapped.key_id, key);
    assert_ne!(rewrapped.bytes, made.wrapped.bytes);
    emulator.forget_old_material(&key);
    assert_eq!(opens(&provider, &rewrapped).await.unwrap(), *made.plaintext.expose());
    assert!(opens(&provider, &made.wrapped).await.is_err());
}

#[tokio::test]
async fn re_wrapping_leads_to_the_configured_key_from_any_other() {
    let (emulator, old, provider, made) = with_data_key().await;
    let new = emulator.create_key();
    let rewrapped = self::provider(&emulator, &new).rewrap_data_key(&made.wrapped, &place()).await.unwrap();
    assert_eq!(rewrapped.key_id, new);
    emulator.disable(&old);
    assert_eq!(opens(&provider, &rewrapped).await.unwrap(), *made.plaintext.expose());
}

#[tokio::test]
async fn the_newest_rotation_is_found_behind_any_number_of_pages() {
    let emulator = Emulator::start();
    let key = emulator.create_key();
    let provider = provider(&emulator, &key);
    assert_eq!(provider.current_key().await.unwrap().rotated_at, None);
    let mut newest = 0;
    for _ in 0..5 {
        newest = emulator.rotate(&key);
    }
    for rotations_max in [1, 2, 5, 100] {
        emulator.page(rotations_max);
        let rotated_at = provider.current_key().await.unwrap().rotated_at;
        assert_eq!(rotated_at, Some(Timestamp::from_unix_ms(newest)), "{rotations_max} on a page");
    }
}

#[tokio::test]
async fn no_error_shows_a_key_or_a_credential() {
    let (emulator, key, provider, made) = with_data_key().await;
    emulator.disable(&key);
    let mut errors = vec![opens(&provider, &made.wrapped).await.unwrap_err()];
    errors.push(provider.health().await.unwrap_err());
    emulator.close_port();
    errors.push(opens(&provider, &made.wrapped).await.unwrap_err());
    let plaintext = made.plaintext.expose().map(|byte| format!("{byte:02x}")).concat();
    for error in errors {
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains(SECRET_ACCESS_KEY) && !text.contains(&plaintext), "{text}");
        }
    }
}
