//! What the cache answers, how often it asks, and when it forgets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use hyperion_vault_crypto::DataKey;
use hyperion_vault_kms::{
    CacheConfig, CacheStats, CachedKeys, CurrentKey, EncryptionContext, GeneratedDataKey, KeyProvider,
    KmsError, LocalProvider, Outage, WrappedDataKey,
};
use tokio::sync::Semaphore;

use crate::fixture::{context, local_provider};

const LONG: Duration = Duration::from_secs(300);
const SHORT: Duration = Duration::from_millis(40);

/// A local provider whose calls to unwrap are counted and can be held up or refused.
struct Service {
    local: LocalProvider,
    calls: AtomicU64,
    down: AtomicBool,
    /// One permit lets one call through.
    gate: Semaphore,
}

impl Service {
    fn new() -> Arc<Service> {
        Arc::new(Service {
            local: local_provider(),
            calls: AtomicU64::new(0),
            down: AtomicBool::new(false),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    fn gated() -> Arc<Service> {
        let service = Service::new();
        service.gate.forget_permits(Semaphore::MAX_PERMITS);
        service
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }
}

#[async_trait]
impl KeyProvider for Service {
    async fn generate_data_key(&self, context: &EncryptionContext) -> Result<GeneratedDataKey, KmsError> {
        self.local.generate_data_key(context).await
    }

    async fn unwrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<DataKey, KmsError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        if self.down.load(Ordering::SeqCst) {
            return Err(unavailable());
        }
        self.local.unwrap_data_key(wrapped, context).await
    }

    async fn rewrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<WrappedDataKey, KmsError> {
        self.local.rewrap_data_key(wrapped, context).await
    }

    async fn current_key(&self) -> Result<CurrentKey, KmsError> {
        self.local.current_key().await
    }

    async fn health(&self) -> Result<(), KmsError> {
        if self.down.load(Ordering::SeqCst) { Err(unavailable()) } else { Ok(()) }
    }
}

fn unavailable() -> KmsError {
    KmsError::Unavailable { outage: Outage::Unreachable, detail: "down".to_owned() }
}

fn cached(service: &Arc<Service>, ttl: Duration, entries_max: u64) -> Arc<CachedKeys<Arc<Service>>> {
    Arc::new(CachedKeys::new(
        Arc::clone(service),
        CacheConfig { ttl, outage_ttl: Duration::ZERO, entries_max },
    ))
}

/// A wrapped data key for version 1 of `name`, and the key.
async fn made(service: &Service, name: &str) -> (WrappedDataKey, [u8; 32]) {
    let made = service.generate_data_key(&context(name, 1)).await.unwrap();
    (made.wrapped, *made.plaintext.expose())
}

async fn unwrap(keys: &impl KeyProvider, wrapped: &WrappedDataKey, name: &str) -> Result<[u8; 32], KmsError> {
    keys.unwrap_data_key(wrapped, &context(name, 1)).await.map(|key| *key.expose())
}

#[tokio::test]
async fn the_second_read_asks_nobody() {
    let service = Service::new();
    let keys = cached(&service, LONG, 10);
    let (wrapped, key) = made(&service, "a").await;
    for _ in 0..3 {
        assert_eq!(unwrap(&keys, &wrapped, "a").await, Ok(key));
    }
    assert_eq!(service.calls(), 1);
    keys.evict_expired().await;
    assert_eq!(keys.stats(), CacheStats { hits: 2, misses: 1, provider_calls: 1, entries: 1 });
}

#[tokio::test]
async fn concurrent_misses_of_one_key_make_one_call() {
    let service = Service::gated();
    let keys = cached(&service, LONG, 10);
    let (wrapped, key) = made(&service, "a").await;
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let (keys, wrapped) = (Arc::clone(&keys), wrapped.clone());
            tokio::spawn(async move { unwrap(&keys, &wrapped, "a").await })
        })
        .collect();
    while keys.stats().misses < 50 {
        tokio::task::yield_now().await;
    }
    service.gate.add_permits(Semaphore::MAX_PERMITS);
    for answer in join_all(waiting).await {
        assert_eq!(answer.unwrap(), Ok(key));
    }
    assert_eq!(service.calls(), 1);
}

#[tokio::test]
async fn misses_of_different_keys_do_not_wait_for_each_other() {
    let service = Service::gated();
    let keys = cached(&service, LONG, 10);
    let (first, _) = made(&service, "a").await;
    let (second, key) = made(&service, "b").await;
    let stuck = tokio::spawn({
        let keys = Arc::clone(&keys);
        async move { unwrap(&keys, &first, "a").await }
    });
    while service.calls() < 1 {
        tokio::task::yield_now().await;
    }
    // The gate is fair: the first permit frees the first caller, the second this one.
    service.gate.add_permits(2);
    assert_eq!(unwrap(&keys, &second, "b").await, Ok(key));
    assert!(stuck.await.unwrap().is_ok());
}

#[tokio::test]
async fn when_the_one_who_asks_gives_up_another_asks() {
    let service = Service::gated();
    let keys = cached(&service, LONG, 10);
    let (wrapped, key) = made(&service, "a").await;
    let ask = || {
        let (keys, wrapped) = (Arc::clone(&keys), wrapped.clone());
        tokio::spawn(async move { unwrap(&keys, &wrapped, "a").await })
    };
    let gives_up = ask();
    while service.calls() < 1 {
        tokio::task::yield_now().await;
    }
    let waits = ask();
    while keys.stats().misses < 2 {
        tokio::task::yield_now().await;
    }
    gives_up.abort();
    service.gate.add_permits(Semaphore::MAX_PERMITS);
    assert_eq!(waits.await.unwrap(), Ok(key));
    assert_eq!(service.calls(), 2);
}

#[tokio::test]
async fn what_is_cached_is_readable_while_the_service_is_down_and_the_rest_is_not() {
    let service = Service::new();
    let keys = cached(&service, LONG, 10);
    let (read_before, key) = made(&service, "a").await;
    let (never_read, _) = made(&service, "b").await;
    unwrap(&keys, &read_before, "a").await.unwrap();
    service.set_down(true);
    assert_eq!(unwrap(&keys, &read_before, "a").await, Ok(key));
    assert_eq!(unwrap(&keys, &never_read, "b").await, Err(unavailable()));
    assert_eq!(keys.health().await, Err(unavailable()));
}

#[tokio::test]
async fn an_error_is_not_remembered() {
    let service = Service::new();
    let keys = cached(&service, LONG, 10);
    let (wrapped, key) = made(&service, "a").await;
    service.set_down(true);
    assert_eq!(unwrap(&keys, &wrapped, "a").await, Err(unavailable()));
    service.set_down(false);
    assert_eq!(unwrap(&keys, &wrapped, "a").await, Ok(key));
    assert_eq!(service.calls(), 2);
}

#[tokio::test]
async fn a_moved_or_altered_row_never_hits() {
    let service = Service::new();
    let keys = cached(&service, LONG, 10);
    let (wrapped, _) = made(&service, "a").await;
    unwrap(&keys, &wrapped, "a").await.unwrap();

    let tampered = |answer: Result<DataKey, KmsError>| matches!(answer, Err(KmsError::Tampered { .. }));
    assert!(tampered(keys.unwrap_data_key(&wrapped, &context("b", 1)).await), "another name");
    assert!(tampered(keys.unwrap_data_key(&wrapped, &context("a", 2)).await), "another version");
    let mut altered = wrapped.clone();
    altered.bytes[30] ^= 1;
    assert!(tampered(keys.unwrap_data_key(&altered, &context("a", 1)).await), "other bytes");
    let foreign = WrappedDataKey { key_id: "local:0000000000000000".to_owned(), ..wrapped };
    let answer = keys.unwrap_data_key(&foreign, &context("a", 1)).await;
    assert!(matches!(answer, Err(KmsError::Misconfigured { .. })), "another master key");
    assert_eq!(keys.stats().hits, 0);
}

#[tokio::test]
async fn an_expired_key_is_asked_for_again() {
    let service = Service::new();
    let keys = cached(&service, SHORT, 10);
    let (wrapped, key) = made(&service, "a").await;
    unwrap(&keys, &wrapped, "a").await.unwrap();
    tokio::time::sleep(SHORT * 2).await;
    assert_eq!(unwrap(&keys, &wrapped, "a").await, Ok(key));
    assert_eq!(service.calls(), 2);
}

#[tokio::test]
async fn expired_keys_leave_an_idle_cache_at_the_next_sweep() {
    let service = Service::new();
    let keys = cached(&service, SHORT, 1_000);
    for number in 0..500 {
        let name = format!("s{number}");
        let (wrapped, _) = made(&service, &name).await;
        unwrap(&keys, &wrapped, &name).await.unwrap();
    }
    tokio::time::sleep(SHORT * 2).await;
    keys.evict_expired().await;
    assert_eq!(keys.stats().entries, 0);
}

#[tokio::test]
async fn the_number_of_keys_is_bounded_and_a_full_cache_asks_once_a_read() {
    let service = Service::new();
    let keys = cached(&service, LONG, 20);
    for number in 0..1_000 {
        let name = format!("s{number}");
        let (wrapped, key) = made(&service, &name).await;
        assert_eq!(unwrap(&keys, &wrapped, &name).await, Ok(key));
    }
    keys.evict_expired().await;
    assert!(keys.stats().entries <= 20, "{:?}", keys.stats());
    assert_eq!(service.calls(), 1_000);
}

#[tokio::test]
async fn a_key_made_to_seal_with_is_not_remembered() {
    let service = Service::new();
    let keys = cached(&service, LONG, 10);
    let made = keys.generate_data_key(&context("a", 1)).await.unwrap();
    keys.evict_expired().await;
    assert_eq!(keys.stats().entries, 0);
    unwrap(&keys, &made.wrapped, "a").await.unwrap();
    assert_eq!(service.calls(), 1);
}

#[tokio::test]
async fn no_time_or_no_room_turns_it_off() {
    for (ttl, entries_max) in [(Duration::ZERO, 10), (LONG, 0)] {
        let service = Service::new();
        let keys = cached(&service, ttl, entries_max);
        let (wrapped, key) = made(&service, "a").await;
        for _ in 0..3 {
            assert_eq!(unwrap(&keys, &wrapped, "a").await, Ok(key));
        }
        keys.evict_expired().await;
        assert_eq!(keys.stats(), CacheStats { hits: 0, misses: 3, provider_calls: 3, entries: 0 });
    }
}

#[tokio::test]
async fn any_time_to_live_is_taken() {
    let service = Service::new();
    let keys = cached(&service, Duration::MAX, 10);
    let (wrapped, key) = made(&service, "a").await;
    assert_eq!(unwrap(&keys, &wrapped, "a").await, Ok(key));
}
