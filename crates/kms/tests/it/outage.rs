//! Cached data keys that outlive their time, while the provider can't be reached and no longer.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use hyperion_vault_kms::{
    CacheConfig, CachedKeys, KeyProvider, KmsError, Outage, ResilientConfig, ResilientKeys, WrappedDataKey,
};

use crate::fixture::{context, entropy};
use crate::scripted::{Ends, Scripted, Told, outage};

const TTL: Duration = Duration::from_secs(300);
const OUTAGE_TTL: Duration = Duration::from_secs(3_600);

struct Kept {
    provider: Arc<Scripted>,
    keys: CachedKeys<ResilientKeys<Arc<Scripted>>>,
    wrapped: WrappedDataKey,
}

impl Kept {
    /// A key that was read just now.
    async fn new(outage_ttl: Duration) -> Kept {
        Kept::with(CacheConfig { ttl: TTL, outage_ttl, entries_max: 10 }).await
    }

    async fn with(config: CacheConfig) -> Kept {
        let provider = Arc::new(Scripted::new([], Ends::Well));
        let resilient = ResilientKeys::new(
            Arc::clone(&provider),
            ResilientConfig { retries_max: 0 },
            entropy(),
            Arc::new(Told::default()),
        );
        let keys = CachedKeys::new(resilient, config);
        let wrapped = keys.generate_data_key(&context("a", 1)).await.unwrap().wrapped;
        let kept = Kept { provider, keys, wrapped };
        kept.read().await.unwrap();
        kept
    }

    async fn read(&self) -> Result<(), KmsError> {
        self.keys.unwrap_data_key(&self.wrapped, &context("a", 1)).await.map(|_| ())
    }

    /// Lets time pass as it does in a vault: read now and then, swept every second.
    async fn pass(&self, time: Duration) {
        let until = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_secs(10)).await;
            let _ = self.read().await;
            self.keys.evict_expired().await;
        }
    }

    /// Counts what the cache holds by its own clock, so only what was taken out is missing.
    async fn entries(&self) -> u64 {
        self.keys.evict_expired().await;
        self.keys.stats().entries
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_lives_on_while_the_provider_is_away() {
    for away in [Outage::Unreachable, Outage::TimedOut, Outage::Faulty] {
        let kept = Kept::new(OUTAGE_TTL).await;
        kept.provider.end_from_now_on(outage(away));
        kept.pass(TTL + Duration::from_secs(600)).await;
        assert_eq!(kept.read().await, Ok(()), "{away}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_provider_is_there_and_keeps_no_key_alive() {
    let kept = Kept::new(OUTAGE_TTL).await;
    kept.provider.end_from_now_on(outage(Outage::Throttled));
    tokio::time::sleep(TTL).await;
    assert!(matches!(kept.read().await, Err(KmsError::Unavailable { outage: Outage::Throttled, .. })));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_says_no_ends_the_life_of_the_key() {
    let kept = Kept::new(OUTAGE_TTL).await;
    kept.provider.end_from_now_on(Ends::With(KmsError::Misconfigured { detail: "denied".to_owned() }));
    tokio::time::sleep(TTL).await;
    assert!(matches!(kept.read().await, Err(KmsError::Misconfigured { .. })));
    assert_eq!(kept.entries().await, 0);
    kept.provider.end_from_now_on(outage(Outage::Unreachable));
    assert!(kept.read().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_lived_on_is_wiped_once_the_provider_is_back() {
    let kept = Kept::new(OUTAGE_TTL).await;
    kept.provider.end_from_now_on(outage(Outage::Unreachable));
    kept.pass(TTL + Duration::from_secs(60)).await;
    assert!(!kept.keys.is_reachable());
    assert_eq!(kept.entries().await, 1);

    kept.provider.end_from_now_on(Ends::Well);
    tokio::time::sleep(Duration::from_secs(5)).await;
    // Another key's use shows that the provider is back; this one isn't asked for any more.
    kept.keys.generate_data_key(&context("b", 1)).await.unwrap();
    assert_eq!(kept.entries().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_nobody_asks_is_asked_by_the_cache_before_it_wipes_or_keeps() {
    for (ends, left) in [(Ends::Well, 0), (outage(Outage::Unreachable), 1)] {
        let kept = Kept::new(OUTAGE_TTL).await;
        kept.provider.end_from_now_on(ends);
        tokio::time::sleep(TTL + Duration::from_secs(1)).await;
        let before = kept.provider.calls();
        for _ in 0..4 {
            assert_eq!(kept.entries().await, left);
        }
        assert_eq!(kept.provider.calls(), before + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn many_who_find_a_key_past_its_time_ask_once() {
    let kept = Kept::new(OUTAGE_TTL).await;
    kept.provider.take(Duration::from_millis(100));
    tokio::time::sleep(TTL).await;
    let before = kept.provider.calls();
    for read in join_all((0..100).map(|_| kept.read())).await {
        assert_eq!(read, Ok(()));
    }
    assert_eq!(kept.provider.calls(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn many_who_find_a_key_past_its_time_share_a_failure_too() {
    for (ends, served) in [
        (outage(Outage::Throttled), false),
        (outage(Outage::Unreachable), true),
        (Ends::With(KmsError::Misconfigured { detail: "denied".to_owned() }), false),
    ] {
        let kept = Kept::new(OUTAGE_TTL).await;
        kept.provider.end_from_now_on(ends);
        kept.provider.take(Duration::from_millis(100));
        tokio::time::sleep(TTL).await;
        let before = kept.provider.calls();
        for read in join_all((0..100).map(|_| kept.read())).await {
            assert_eq!(read.is_ok(), served, "{read:?}");
        }
        assert_eq!(kept.provider.calls(), before + 1);
    }
}

/// In real time, by which the map goes that holds the keys.
#[tokio::test]
async fn without_further_time_no_key_outlives_its_own() {
    let ttl = Duration::from_millis(40);
    for (outage_ttl, served) in [(Duration::ZERO, false), (Duration::from_secs(60), true)] {
        let kept = Kept::with(CacheConfig { ttl, outage_ttl, entries_max: 10 }).await;
        kept.provider.end_from_now_on(outage(Outage::Unreachable));
        tokio::time::sleep(ttl * 2).await;
        assert_eq!(kept.read().await.is_ok(), served, "{outage_ttl:?}");
        assert_eq!(kept.entries().await, u64::from(served));
    }
}

/// In real time too.
#[tokio::test]
async fn no_outage_makes_a_key_live_longer_than_both_times() {
    let time = Duration::from_millis(40);
    let kept = Kept::with(CacheConfig { ttl: time, outage_ttl: time, entries_max: 10 }).await;
    kept.provider.end_from_now_on(outage(Outage::Unreachable));
    tokio::time::sleep(time * 3).await;
    assert!(kept.read().await.is_err());
    assert_eq!(kept.entries().await, 0);
}
