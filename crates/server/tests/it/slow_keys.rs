//! Key management that takes its time, or says no: how long a request waits for it, and what comes of it.
//!
//! Time is tokio's and stands still but for waiting, so that nine seconds pass at once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use hyperion_vault_core::secret::VersionNumber;
use hyperion_vault_kms::{KmsError, Outage};
use hyperion_vault_server::failure::Failure;
use hyperion_vault_server::secrets::Verdict;
use tokio::time::Instant;

use crate::vault_fixture::{Vault, names, opaque, user_pass};

/// What no client waits longer than.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// Data keys that one request has unwrapped at once.
const AT_ONCE: usize = 16;

/// Whether the answer is that key management was too slow, and came in time.
fn gave_up_in_time<T>(answered: Result<T, Failure>, since: Instant) -> bool {
    since.elapsed() < ANSWERED_WITHIN && matches!(answered, Err(Failure::Unavailable { .. }))
}

#[tokio::test]
async fn a_batch_is_in_the_order_asked_whichever_key_comes_first_and_a_few_are_asked_for_at_once() {
    let stored = names(40);
    let vault = Vault::with(&stored).await;
    vault.keys.unwrap_takes(|number| Duration::from_millis((number as u64 * 7) % 31));
    tokio::time::pause();
    let mut asked = stored.clone();
    asked.insert(3, "no/such".to_owned());
    asked.reverse();
    asked.push(stored[0].clone());
    let expected: Vec<_> = asked.iter().map(|name| stored.contains(name).then(|| name.clone())).collect();
    assert_eq!(vault.read_batch(&asked).await.unwrap(), expected);
    assert_eq!(vault.keys.under_way_most.load(Ordering::Relaxed), AT_ONCE);
}

#[tokio::test]
async fn a_batch_of_slow_keys_takes_a_few_rounds_and_never_more_than_ten_seconds() {
    let stored = names(5 * AT_ONCE);
    let vault = Vault::with(&stored).await;
    tokio::time::pause();
    let since = Instant::now();
    vault.keys.unwrap_takes(|_| Duration::from_secs(1));
    vault.read_batch(&stored).await.unwrap();
    assert_eq!(since.elapsed().as_secs(), 5);

    let since = Instant::now();
    vault.keys.unwrap_takes(|_| Duration::from_secs(2));
    assert!(gave_up_in_time(vault.read_batch(&stored).await, since));
}

#[tokio::test]
async fn a_batch_of_which_one_cannot_be_opened_is_no_batch() {
    let stored = names(3);
    let vault = Vault::with(&stored).await;
    let denied = || KmsError::Misconfigured { detail: "denied".to_owned() };
    vault.keys.says(denied());
    assert_eq!(vault.read_batch(&stored).await, Err(denied().into()));
    assert_eq!(vault.read_batch(&names(0)).await, Ok(Vec::new()));
}

#[tokio::test]
async fn verifying_has_all_versions_unwrapped_at_once_and_finds_the_one() {
    let vault = Vault::with(&names(1)).await;
    for version in 2..=AT_ONCE {
        vault.update("app/0", opaque(&format!("value {version}"))).await.unwrap();
    }
    tokio::time::pause();
    let since = Instant::now();
    vault.keys.unwrap_takes(|number| Duration::from_millis(1_000 - number as u64));
    assert_eq!(vault.verify("app/0", "value 7").await, Ok(Verdict::Valid(VersionNumber::new(7))));
    assert_eq!(vault.verify("app/0", "value 77").await, Ok(Verdict::Invalid));
    assert_eq!(since.elapsed().as_secs(), 1, "each took less than a second");

    let since = Instant::now();
    vault.keys.unwrap_takes(|_| Duration::from_secs(60));
    assert!(gave_up_in_time(vault.verify("app/0", "value 7").await, since));
}

#[tokio::test]
async fn a_change_that_needs_two_calls_has_time_for_both_and_not_for_ever() {
    let vault = Vault::new();
    vault.create("db/login", user_pass(Some("vault"), "first")).await.unwrap();
    tokio::time::pause();
    vault.keys.unwrap_takes(|_| Duration::from_secs(4));
    vault.keys.generate_takes(Duration::from_secs(4));
    vault.update("db/login", user_pass(None, "second")).await.unwrap();
    vault.rotate("db/login").await.unwrap();

    vault.keys.generate_takes(Duration::from_secs(6));
    let since = Instant::now();
    assert!(gave_up_in_time(vault.update("db/login", user_pass(None, "third")).await, since));
    let since = Instant::now();
    assert!(gave_up_in_time(vault.rotate("db/login").await, since));
    vault.keys.generate_takes(Duration::from_secs(60));
    let since = Instant::now();
    assert!(gave_up_in_time(vault.create("db/other", opaque("value")).await, since));
}

#[tokio::test]
async fn whoever_waits_behind_slow_changes_of_his_secret_is_answered_in_time_too() {
    let vault = Vault::with(&names(1)).await;
    tokio::time::pause();
    vault.keys.generate_takes(Duration::from_secs(4));
    let since = Instant::now();
    let changes =
        join_all((0..5).map(|_| async { (vault.update("app/0", opaque("value")).await, since.elapsed()) }));
    let changes = changes.await;
    assert_eq!(changes.iter().filter(|(changed, _)| changed.is_ok()).count(), 2);
    assert!(changes.iter().all(|(_, took)| *took < ANSWERED_WITHIN), "{changes:?}");
}

#[tokio::test]
async fn what_key_management_says_decides_what_the_caller_is_told() {
    let vault = Vault::with(&names(1)).await;
    let detail = || "the reason".to_owned();
    vault.keys.says(KmsError::Unavailable { outage: Outage::Throttled, detail: detail() });
    let unavailable = vault.update("app/0", opaque("value")).await;
    assert!(matches!(unavailable, Err(Failure::Unavailable { .. })), "{unavailable:?}");
    vault.keys.says(KmsError::Misconfigured { detail: detail() });
    let misconfigured = vault.rotate("app/0").await;
    assert!(matches!(misconfigured, Err(Failure::Misconfigured { .. })), "{misconfigured:?}");
    vault.keys.says(KmsError::Tampered { detail: detail() });
    let tampered = vault.verify("app/0", "app/0").await;
    assert!(matches!(tampered, Err(Failure::Internal { .. })), "{tampered:?}");
}
