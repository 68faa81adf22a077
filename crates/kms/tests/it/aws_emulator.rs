//! The emulator itself, by the SDK alone: what it must be strict about for the other tests to mean anything.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_kms::Client;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::operation::generate_data_key::GenerateDataKeyOutput;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use futures::future::join_all;

use crate::emulator::{ACCESS_KEY_ID, EVERY_OPERATION, Emulator, REGION, SECRET_ACCESS_KEY};

fn client(emulator: &Emulator) -> Client {
    let credentials = Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None, None, "test");
    client_with(emulator, credentials)
}

fn client_with(emulator: &Emulator, credentials: Credentials) -> Client {
    let config = aws_sdk_kms::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(emulator.endpoint())
        .region(Region::new(REGION))
        .credentials_provider(credentials)
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

fn context(name: &str, value: &str) -> HashMap<String, String> {
    HashMap::from([(name.to_owned(), value.to_owned())])
}

/// The error code, in the place of an error.
trait Code<T> {
    fn code(self) -> Result<T, String>;
}

impl<T, E: ProvideErrorMetadata, R> Code<T> for Result<T, SdkError<E, R>> {
    fn code(self) -> Result<T, String> {
        self.map_err(|error| ProvideErrorMetadata::code(&error).unwrap_or("no code").to_owned())
    }
}

async fn generate(client: &Client, key: &str) -> Result<GenerateDataKeyOutput, String> {
    let call = client.generate_data_key().key_id(key).key_spec(DataKeySpec::Aes256);
    call.encryption_context("a", "bc").send().await.code()
}

async fn decrypt(client: &Client, blob: &[u8], context: HashMap<String, String>) -> Result<Vec<u8>, String> {
    let call = client.decrypt().ciphertext_blob(Blob::new(blob)).set_encryption_context(Some(context));
    call.send().await.code().map(|opened| opened.plaintext.unwrap().into_inner())
}

#[tokio::test]
async fn a_context_opens_only_what_was_made_for_it_pair_by_pair() {
    let emulator = Emulator::start();
    let client = client(&emulator);
    let made = generate(&client, &emulator.create_key()).await.unwrap();
    let blob = made.ciphertext_blob.unwrap().into_inner();
    let opened = decrypt(&client, &blob, context("a", "bc")).await;
    assert_eq!(opened.unwrap(), made.plaintext.unwrap().into_inner());
    for other in [context("ab", "c"), context("a", "b"), HashMap::new()] {
        assert_eq!(decrypt(&client, &blob, other).await.unwrap_err(), "InvalidCiphertextException");
    }
}

#[tokio::test]
async fn a_rotation_keeps_the_old_material_until_it_is_forgotten() {
    let emulator = Emulator::start();
    let (client, key) = (client(&emulator), emulator.create_key());
    let before = generate(&client, &key).await.unwrap().ciphertext_blob.unwrap().into_inner();
    let rotated_at = [emulator.rotate(&key), emulator.rotate(&key)];
    assert!(rotated_at[0] < rotated_at[1]);
    assert_eq!(emulator.rotations(&key), rotated_at);
    let after = generate(&client, &key).await.unwrap().ciphertext_blob.unwrap().into_inner();
    decrypt(&client, &before, context("a", "bc")).await.unwrap();
    emulator.forget_old_material(&key);
    let forgotten = decrypt(&client, &before, context("a", "bc")).await;
    assert_eq!(forgotten.unwrap_err(), "InvalidCiphertextException");
    decrypt(&client, &after, context("a", "bc")).await.unwrap();
}

#[tokio::test]
async fn a_key_is_found_under_its_own_names_only() {
    let emulator = Emulator::start();
    let (client, arn) = (client(&emulator), emulator.create_key());
    emulator.create_alias("alias/vault", &arn);
    let id = arn.rsplit_once('/').unwrap().1;
    let alias_arn = arn.replace(&format!("key/{id}"), "alias/vault");
    for name in [arn.as_str(), id, "alias/vault", &alias_arn] {
        assert_eq!(generate(&client, name).await.unwrap().key_id.unwrap(), arn, "{name}");
    }
    let elsewhere = arn.replace(REGION, "eu-west-1");
    for name in [elsewhere.as_str(), "alias/other", "00000000-0000-0000-0000-000000000000"] {
        assert_eq!(generate(&client, name).await.unwrap_err(), "NotFoundException", "{name}");
    }
}

#[tokio::test]
async fn rotations_come_in_pages_and_under_no_alias() {
    let emulator = Emulator::start();
    let (client, key) = (client(&emulator), emulator.create_key());
    emulator.create_alias("alias/vault", &key);
    for _ in 0..3 {
        emulator.rotate(&key);
    }
    let first = client.list_key_rotations().key_id(&key).limit(2).send().await.unwrap();
    assert_eq!((first.rotations().len(), first.truncated), (2, true));
    let rest = client.list_key_rotations().key_id(&key).set_marker(first.next_marker).send().await.unwrap();
    assert_eq!((rest.rotations().len(), rest.truncated), (1, false));
    let by_alias = client.list_key_rotations().key_id("alias/vault").send().await.code();
    assert_eq!(by_alias.unwrap_err(), "NotFoundException");
    let astray = client.list_key_rotations().key_id(&key).marker("astray").send().await.code();
    assert_eq!(astray.unwrap_err(), "InvalidMarkerException");
}

#[tokio::test]
async fn moving_a_ciphertext_takes_the_right_to_both_keys() {
    let emulator = Emulator::start();
    let (client, old, new) = (client(&emulator), emulator.create_key(), emulator.create_key());
    let blob = generate(&client, &old).await.unwrap().ciphertext_blob.unwrap();
    let moved = async || {
        let call = client.re_encrypt().ciphertext_blob(blob.clone()).source_encryption_context("a", "bc");
        call.source_key_id(&old)
            .destination_key_id(&new)
            .send()
            .await
            .code()
            .map(|moved| moved.key_id.unwrap())
    };
    for lacking in [&["kms:ReEncryptFrom", "kms:Decrypt"], &["kms:ReEncryptTo", "kms:Encrypt"]] {
        emulator.allow_only(lacking);
        assert_eq!(moved().await.unwrap_err(), "AccessDeniedException");
    }
    emulator.allow_only(&["kms:ReEncrypt*"]);
    assert_eq!(moved().await.unwrap(), new);
}

#[tokio::test]
async fn who_signs_with_another_access_key_is_turned_away() {
    let emulator = Emulator::start();
    let stranger = Credentials::new("AKIASTRANGERSTRANGER", SECRET_ACCESS_KEY, None, None, "test");
    let refused = generate(&client_with(&emulator, stranger), &emulator.create_key()).await;
    assert_eq!(refused.unwrap_err(), "UnrecognizedClientException");
}

#[tokio::test]
async fn many_calls_are_served_at_once() {
    let emulator = Emulator::start();
    let (client, key) = (client(&emulator), emulator.create_key());
    emulator.stall(EVERY_OPERATION, Duration::from_millis(300));
    for made in join_all((0..64).map(|_| generate(&client, &key))).await {
        made.unwrap();
    }
    let seen = emulator.seen();
    assert_eq!((seen.of("GenerateDataKey"), seen.in_flight_max), (64, 64));
}

#[tokio::test]
async fn a_port_that_was_closed_opens_with_the_same_keys() {
    let emulator = Emulator::start();
    let (client, key) = (client(&emulator), emulator.create_key());
    generate(&client, &key).await.unwrap();
    emulator.close_port();
    assert_eq!(generate(&client, &key).await.unwrap_err(), "no code");
    emulator.open_port();
    generate(&client, &key).await.unwrap();
    assert_eq!(emulator.seen().total(), 2);
}
