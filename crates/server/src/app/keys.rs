//! Key management, as the settings name it: who holds the master key, and what stands between him and the use cases.
//!
//! From the use cases on: what is wrong is reported, what was unwrapped is remembered, what doesn't get through is
//! tried again or not tried at all, and behind that is the provider.

use std::sync::Arc;
use std::time::Duration;

use hyperion_vault_core::ports::Entropy;
use hyperion_vault_kms::{
    AwsConfig, AwsProvider, CacheConfig, CachedKeys, CheckStep, KeyProvider, KmsObserver, LocalProvider,
    ResilientConfig, ResilientKeys, check,
};

use crate::adapters::entropy::OsEntropy;
use crate::config::{self, KmsMode};
use crate::reported_keys::ReportedKeys;

/// Data keys that the cache holds at most; 32 bytes each, and some 200 of bookkeeping.
const CACHED_DATA_KEYS_MAX: u64 = 100_000;
/// How much longer than its time to live an unwrapped data key may stay in memory.
const CACHE_SWEEP: Duration = Duration::from_secs(1);

/// The key provider that the use cases have, whoever holds the master key.
pub(super) type Keys = ReportedKeys<CachedKeys<ResilientKeys<Arc<dyn KeyProvider>>>>;

/// Takes the master keys out of the settings: one place has them.
pub(super) fn provider_chain(
    settings: &mut config::Keys,
    entropy: &Arc<dyn Entropy>,
    observer: Arc<dyn KmsObserver>,
) -> Keys {
    let provider = provider(&mut settings.mode, Arc::clone(entropy));
    let patience = ResilientConfig { retries_max: settings.retries_max };
    let resilient = ResilientKeys::new(provider, patience, Arc::clone(entropy), observer);
    let memory = CacheConfig {
        ttl: Duration::from_secs(settings.data_key_cache_ttl.get()),
        outage_ttl: Duration::from_secs(settings.data_key_cache_outage_ttl.get()),
        entries_max: CACHED_DATA_KEYS_MAX,
    };
    ReportedKeys::new(CachedKeys::new(resilient, memory))
}

fn provider(mode: &mut KmsMode, entropy: Arc<dyn Entropy>) -> Arc<dyn KeyProvider> {
    match mode {
        KmsMode::Aws { key_id } => Arc::new(AwsProvider::new(AwsConfig { key_id: std::mem::take(key_id) })),
        KmsMode::Local { master_key, previous } => Arc::new(match master_key.take() {
            Some(current) => LocalProvider::new(current, std::mem::take(previous), entropy),
            None => LocalProvider::ephemeral(entropy),
        }),
    }
}

/// Tries each thing that the vault asks of key management, once, and says how it went.
pub async fn check_keys(mut keys: config::Keys) -> Vec<CheckStep> {
    check(&*provider(&mut keys.mode, Arc::new(OsEntropy))).await
}

/// Wipes, at an interval, what the cache has no more use for. Never ends.
pub(super) async fn sweep(keys: Arc<Keys>) {
    loop {
        tokio::time::sleep(CACHE_SWEEP).await;
        keys.provider().evict_expired().await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::ffi::OsString;

    use hyperion_vault_kms::{EncryptionContext, KmsError};

    use super::*;
    use crate::config::Settings;
    use crate::telemetry::KmsMetrics;

    const OLD_KEY: (&str, &str) = ("VAULT_LOCAL_MASTER_KEY", "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=");
    const NEW_KEY: (&str, &str) = ("VAULT_LOCAL_MASTER_KEY", "BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ=");

    fn settings(vars: &[(&str, &str)]) -> config::Keys {
        let local = [("VAULT_KMS_MODE", "local")];
        // The first of two of the same name counts.
        let vars =
            vars.iter().chain(&local).map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let no_files = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        Settings::from_env(vars, no_files).unwrap_or_else(|errors| panic!("{errors:?}")).0.keys
    }

    fn chain(vars: &[(&str, &str)]) -> Keys {
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
        provider_chain(&mut settings(vars), &entropy, Arc::new(KmsMetrics::default()))
    }

    #[tokio::test]
    async fn a_changed_local_key_opens_what_the_former_wrapped_once_it_is_told_of_it() {
        let context = EncryptionContext::for_probe();
        let made = chain(&[OLD_KEY]).generate_data_key(&context).await.unwrap();
        let told = chain(&[NEW_KEY, ("VAULT_LOCAL_PREVIOUS_KEYS", OLD_KEY.1)]);
        let unwrapped = told.unwrap_data_key(&made.wrapped, &context).await.unwrap();
        assert_eq!(unwrapped.expose(), made.plaintext.expose());
        let rewrapped = told.rewrap_data_key(&made.wrapped, &context).await.unwrap();

        let untold = chain(&[NEW_KEY]);
        let refused = untold.unwrap_data_key(&made.wrapped, &context).await;
        assert!(matches!(refused, Err(KmsError::Misconfigured { .. })));
        assert!(untold.unwrap_data_key(&rewrapped, &context).await.is_ok());
    }

    #[tokio::test]
    async fn the_cache_is_as_it_was_set() {
        let context = EncryptionContext::for_probe();
        for (ttl, hits) in [("300", 1), ("0", 0)] {
            let keys = chain(&[OLD_KEY, ("VAULT_DEK_CACHE_TTL_SECS", ttl)]);
            let made = keys.generate_data_key(&context).await.unwrap();
            for _ in 0..2 {
                keys.unwrap_data_key(&made.wrapped, &context).await.unwrap();
            }
            assert_eq!(keys.provider().stats().hits, hits, "{ttl}");
        }
    }

    #[tokio::test]
    async fn checking_tries_the_provider_that_is_set() {
        let steps = check_keys(settings(&[OLD_KEY])).await;
        assert!(steps.len() >= 4 && steps.iter().all(|step| step.result.is_ok()), "{steps:?}");
    }
}
