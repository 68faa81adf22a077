//! What a new version says of the rotation of the master key that wrapped it.

use std::time::Duration;

use hyperion_vault_core::state::Command;
use hyperion_vault_core::state::command::{AdoptRotation, BeginRewrap};
use hyperion_vault_core::time::Timestamp;
use hyperion_vault_core::wrap::WrapEpoch;
use hyperion_vault_kms::KeyProvider;

use crate::vault_fixture::{Vault, opaque};

const NAME: &str = "db/password";
const FIRST: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);
const SECOND: Timestamp = Timestamp::from_unix_ms(1_750_000_000_000);

async fn key_id(vault: &Vault) -> String {
    vault.keys.current_key().await.unwrap().key_id
}

fn stamp(vault: &Vault, version: u64) -> Option<Timestamp> {
    vault.sealed(NAME, version).wrapped_rotation_at
}

async fn adopt(vault: &Vault, kms_key_id: String, rotation_at: Timestamp) {
    let target = WrapEpoch { kms_key_id, rotation_at: Some(rotation_at) };
    vault.apply(Command::AdoptRotation(AdoptRotation { target })).await;
}

async fn begin(vault: &Vault, kms_key_id: String, rotation_at: Timestamp) {
    let target = WrapEpoch { kms_key_id, rotation_at: Some(rotation_at) };
    vault.apply(Command::BeginRewrap(BeginRewrap { target })).await;
}

#[tokio::test]
async fn a_version_tells_the_newest_rotation_that_was_known_when_it_was_sealed() {
    let vault = Vault::new();
    vault.create(NAME, opaque("before any was known")).await.unwrap();
    adopt(&vault, key_id(&vault).await, FIRST).await;
    vault.update(NAME, opaque("since the first")).await.unwrap();
    begin(&vault, key_id(&vault).await, SECOND).await;
    vault.rotate(NAME).await.unwrap();
    assert_eq!([1, 2, 3].map(|version| stamp(&vault, version)), [None, Some(FIRST), Some(SECOND)]);
    vault.create("db/other", opaque("new")).await.unwrap();
    assert_eq!(vault.sealed("db/other", 1).wrapped_rotation_at, Some(SECOND));
}

#[tokio::test]
async fn a_rotation_of_another_key_says_nothing_of_the_one_that_wrapped() {
    let vault = Vault::new();
    adopt(&vault, "another key".to_owned(), FIRST).await;
    vault.create(NAME, opaque("value")).await.unwrap();
    assert_eq!(stamp(&vault, 1), None);
}

/// What is learnt while the data key is under way may be of a rotation after the wrap: a version that claimed it
/// would never be re-wrapped.
#[tokio::test]
async fn a_rotation_that_is_learnt_while_the_data_key_is_made_is_not_claimed() {
    let vault = Vault::new();
    adopt(&vault, key_id(&vault).await, FIRST).await;
    tokio::time::pause();
    vault.keys.generate_takes(Duration::from_secs(2));
    let key_id = key_id(&vault).await;
    let meanwhile = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        begin(&vault, key_id, SECOND).await;
    };
    let (created, ()) = tokio::join!(vault.create(NAME, opaque("value")), meanwhile);
    created.unwrap();
    assert_eq!(stamp(&vault, 1), Some(FIRST));
}
