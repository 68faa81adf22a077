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
        let provider = Arc::new(Scripted::new([], Ends::Well));
        let resilient = ResilientKeys::new(
            Arc::clone(&provider),
            ResilientConfig { retries_max: 0 },
            entropy(),
            Arc::new(Told::default()),
        );
        let keys = CachedKeys::new(resilient, CacheConfig { ttl: TTL, outage_ttl, entries_max: 10 });
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
