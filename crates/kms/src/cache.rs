//! Unwrapped data keys, remembered for a while, so that a read costs no call to the key provider and goes on
//! while the provider is down.
//!
//! Only data keys, never plaintext. Only keys that were unwrapped to open something: a key made to seal with
//! is used once and forgotten. Errors are not remembered.
//!
//! **What is the same key.** An entry is found by a SHA-256 over master key id, wrapped bytes and encryption
//! context. A row that was moved to another name or version therefore never hits; it goes to the provider,
//! which refuses it.
//!
//! **How long a key lives.** The cache takes an entry out when its time is up or room is needed, and at that
//! moment the eviction listener wipes the key in place. It doesn't wait for the entry's memory to be given back,
//! which the concurrent map defers. An expired entry is never answered with, but the map takes it out only while
//! it is in use or when told to; [`CachedKeys::evict_expired`], called at an interval, bounds the life of a key
//! in an idle vault by its time to live and that interval. Each answer is a copy that its reader owns and that
//! is wiped when dropped.
//!
//! **While the provider can't be reached** a key may live longer, by [`CacheConfig::outage_ttl`]. The provider is
//! asked first, and the key answered with only if it doesn't answer; being throttled is an answer. A key whose time
//! is up is wiped once the provider was reached after that; while nobody else asks it, the cache does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hyperion_vault_core::limits::PERIOD_MAX;
use hyperion_vault_crypto::{DataKey, EncryptionContext};
use moka::future::Cache;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::provider::{CurrentKey, GeneratedDataKey, KeyProvider, KmsError, Outage, WrappedDataKey};

/// Keeps this use of the hash apart from every other.
const DOMAIN: &[u8] = b"hyperion-vault data key cache\0";

/// How often the provider is asked at most whether it is there, for the sake of keys whose time is up.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// How much is remembered, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheConfig {
    /// From unwrapping to eviction; zero turns the cache off. More than `PERIOD_MAX` counts as that.
    pub ttl: Duration,
    /// How much longer it may be answered with while the provider can't be reached; zero: not at all.
    pub outage_ttl: Duration,
    /// Data keys at once; zero turns the cache off. Exceeded only while evictions are pending, by what came in
    /// since the last of them (some hundreds at most).
    pub entries_max: u64,
}

/// What the cache did since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStats {
    /// Unwrapping that was answered from memory.
    pub hits: u64,
    /// Unwrapping that was not, all of it when the cache is off.
    pub misses: u64,
    /// Calls to the provider to unwrap; fewer than misses when several missed the same key at once.
    pub provider_calls: u64,
    /// Data keys in memory, as of the last eviction.
    pub entries: u64,
}

/// A key provider, with its unwrapped data keys remembered.
pub struct CachedKeys<P> {
    provider: P,
    /// None when the cache is off.
    cache: Option<Cache<Fingerprint, Arc<CachedKey>>>,
    ttl: Duration,
    /// Whether keys outlive `ttl` at all.
    bears_outages: bool,
    contact: Contact,
    hits: AtomicU64,
    misses: AtomicU64,
    provider_calls: AtomicU64,
}

impl<P: KeyProvider> CachedKeys<P> {
    #[must_use]
    pub fn new(provider: P, config: CacheConfig) -> CachedKeys<P> {
        let off = config.ttl.is_zero() || config.entries_max == 0;
        CachedKeys {
            provider,
            cache: (!off).then(|| build_cache(config)),
            ttl: config.ttl,
            bears_outages: !config.outage_ttl.is_zero(),
            contact: Contact::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            provider_calls: AtomicU64::new(0),
        }
    }

    #[must_use]
    pub fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            provider_calls: self.provider_calls.load(Ordering::Relaxed),
            entries: self.cache.as_ref().map_or(0, Cache::entry_count),
        }
    }

    /// Wipes what is expired or too much. Call it at an interval, every second say: it costs little when there
    /// is nothing to do, and a key outlives its time to live by no more than this interval.
    pub async fn evict_expired(&self) {
        let Some(cache) = &self.cache else { return };
        if self.bears_outages {
            self.wipe_stale(cache).await;
        }
        cache.run_pending_tasks().await;
    }

    /// Whose time is up is kept only if the provider was not reached since.
    async fn wipe_stale(&self, cache: &Cache<Fingerprint, Arc<CachedKey>>) {
        let stale = cache.iter().filter(|(_, cached)| !cached.is_fresh(self.ttl));
        let stale: Vec<_> = stale.map(|(print, cached)| (*print, cached.unwrapped_at + self.ttl)).collect();
        let Some(latest) = stale.iter().map(|(_, since)| *since).max() else { return };
        if !self.contact.reached_since(latest) && self.contact.may_be_probed() {
            // Its end is noted, whichever it is.
            let _ = self.generate_data_key(&EncryptionContext::for_probe()).await;
        }
        for (fingerprint, since) in stale {
            if self.contact.reached_since(since) {
                cache.invalidate(&fingerprint).await;
            }
        }
    }

    async fn unwrap_through(
        &self,
        cache: &Cache<Fingerprint, Arc<CachedKey>>,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<DataKey, KmsError> {
        let fingerprint = fingerprint(wrapped, context);
        let found = cache.get(&fingerprint).await;
        if let Some(key) =
            found.as_ref().filter(|cached| self.is_fresh(cached)).and_then(|cached| cached.copy())
        {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(key);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        if let Some(stale) = found {
            return self.renew(cache, fingerprint, &stale, wrapped, context).await;
        }
        let mut loaded = None;
        let load = async {
            let key = self.call_provider(wrapped, context).await?;
            let cached = Arc::new(CachedKey::new(&key));
            loaded = Some(key);
            Ok::<_, KmsError>(cached)
        };
        // One of those who miss the same key at once loads it; the others wait and share what it gets.
        let shared = cache.try_get_with(fingerprint, load).await;
        let cached = shared.map_err(|error| KmsError::clone(&error))?;
        match loaded.or_else(|| cached.copy()) {
            Some(key) => Ok(key),
            // Evicted between the other's load and this look at it.
            None => self.call_provider(wrapped, context).await,
        }
    }

    /// Where no key outlives its time, the map itself lets none stay longer.
    fn is_fresh(&self, cached: &CachedKey) -> bool {
        !self.bears_outages || cached.is_fresh(self.ttl)
    }

    /// Has a key that has outlived its time unwrapped anew, or answers with it where nobody can do that.
    async fn renew(
        &self,
        cache: &Cache<Fingerprint, Arc<CachedKey>>,
        fingerprint: Fingerprint,
        stale: &CachedKey,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<DataKey, KmsError> {
        let asked_at = Instant::now();
        let mut failed = stale.renewing.lock().await;
        let renewed = cache.get(&fingerprint).await.filter(|cached| self.is_fresh(cached));
        if let Some(key) = renewed.and_then(|cached| cached.copy()) {
            return Ok(key);
        }
        // Whoever waited while another asked shares what that came to.
        if let Some((_, error)) = failed.as_ref().filter(|(at, _)| *at >= asked_at) {
            return stale.instead_of(error.clone());
        }
        match self.call_provider(wrapped, context).await {
            Ok(key) => {
                cache.insert(fingerprint, Arc::new(CachedKey::new(&key))).await;
                Ok(key)
            }
            Err(error) => {
                *failed = Some((Instant::now(), error.clone()));
                if !matches!(error, KmsError::Unavailable { .. }) {
                    // A provider that says no is there to be asked.
                    cache.invalidate(&fingerprint).await;
                }
                stale.instead_of(error)
            }
        }
    }

    async fn call_provider(
        &self,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<DataKey, KmsError> {
        self.provider_calls.fetch_add(1, Ordering::Relaxed);
        self.contact.note(self.provider.unwrap_data_key(wrapped, context).await)
    }
}

#[async_trait]
impl<P: KeyProvider> KeyProvider for CachedKeys<P> {
    async fn generate_data_key(&self, context: &EncryptionContext) -> Result<GeneratedDataKey, KmsError> {
        self.contact.note(self.provider.generate_data_key(context).await)
    }

    async fn unwrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<DataKey, KmsError> {
        match &self.cache {
            Some(cache) => self.unwrap_through(cache, wrapped, context).await,
            None => {
                self.misses.fetch_add(1, Ordering::Relaxed);
                self.call_provider(wrapped, context).await
            }
        }
    }

    async fn rewrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<WrappedDataKey, KmsError> {
        self.contact.note(self.provider.rewrap_data_key(wrapped, context).await)
    }

    async fn current_key(&self) -> Result<CurrentKey, KmsError> {
        self.contact.note(self.provider.current_key().await)
    }

    async fn health(&self) -> Result<(), KmsError> {
        self.provider.health().await
    }

    fn is_reachable(&self) -> bool {
        self.provider.is_reachable()
    }
}

fn build_cache(config: CacheConfig) -> Cache<Fingerprint, Arc<CachedKey>> {
    Cache::builder()
        .max_capacity(config.entries_max)
        .time_to_live(config.ttl.saturating_add(config.outage_ttl).min(Duration::from_secs(PERIOD_MAX.get())))
        .eviction_listener(|_, evicted: Arc<CachedKey>, _| evicted.wipe())
        .build()
}

/// Whether it tells that the provider gave no answer. Being throttled is one.
fn is_silence(error: &KmsError) -> bool {
    matches!(error, KmsError::Unavailable { outage, .. } if *outage != Outage::Throttled)
}

/// When the provider was last heard.
#[derive(Default)]
struct Contact(Mutex<LastContact>);

#[derive(Default)]
struct LastContact {
    reached_at: Option<Instant>,
    probed_at: Option<Instant>,
}

impl Contact {
    /// Passes an answer on. Whatever it says, somebody said it, unless it tells that nobody did.
    fn note<T>(&self, answered: Result<T, KmsError>) -> Result<T, KmsError> {
        if !answered.as_ref().err().is_some_and(is_silence) {
            self.lock().reached_at = Some(Instant::now());
        }
        answered
    }

    fn reached_since(&self, since: Instant) -> bool {
        self.lock().reached_at.is_some_and(|at| at >= since)
    }

    /// True once in an interval.
    fn may_be_probed(&self) -> bool {
        let mut last = self.lock();
        let may = last.probed_at.is_none_or(|at| at.elapsed() >= PROBE_INTERVAL);
        if may {
            last.probed_at = Some(Instant::now());
        }
        may
    }

    fn lock(&self) -> MutexGuard<'_, LastContact> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A data key in the cache, until it is wiped.
struct CachedKey {
    key: Mutex<Option<DataKey>>,
    unwrapped_at: Instant,
    /// Held by the one who has it unwrapped anew: when that failed last, and why.
    renewing: tokio::sync::Mutex<Option<(Instant, KmsError)>>,
}

impl CachedKey {
    fn new(key: &DataKey) -> CachedKey {
        let key = Mutex::new(Some(DataKey::from_bytes(key.expose())));
        CachedKey { key, unwrapped_at: Instant::now(), renewing: tokio::sync::Mutex::default() }
    }

    fn is_fresh(&self, ttl: Duration) -> bool {
        self.unwrapped_at.elapsed() < ttl
    }

    /// This key, past its time, if `error` says that nobody can be asked for it.
    fn instead_of(&self, error: KmsError) -> Result<DataKey, KmsError> {
        let key = if is_silence(&error) { self.copy() } else { None };
        key.ok_or(error)
    }

    /// None once it is wiped.
    fn copy(&self) -> Option<DataKey> {
        let key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        key.as_ref().map(|key| DataKey::from_bytes(key.expose()))
    }

    fn wipe(&self) {
        self.key.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

type Fingerprint = [u8; 32];

/// What an entry is found by. Every part stands behind its length, so that no two different requests share one.
fn fingerprint(wrapped: &WrappedDataKey, context: &EncryptionContext) -> Fingerprint {
    let mut hash = Sha256::new_with_prefix(DOMAIN);
    for part in [wrapped.key_id.as_bytes(), &wrapped.bytes, &context.encode()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_evicted_key_is_wiped_even_while_somebody_holds_its_entry() {
        let ttl = Duration::from_millis(250);
        let cache = build_cache(CacheConfig { ttl, outage_ttl: Duration::ZERO, entries_max: 10 });
        let held = Arc::new(CachedKey::new(&DataKey::from_bytes(&[7; 32])));
        cache.insert([0; 32], Arc::clone(&held)).await;
        cache.run_pending_tasks().await;
        assert!(held.copy().is_some_and(|key| key.expose() == &[7; 32]));
        tokio::time::sleep(ttl + Duration::from_millis(50)).await;
        cache.run_pending_tasks().await;
        assert!(held.copy().is_none());
    }
}
