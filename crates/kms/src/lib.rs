//! Who holds the master key, and how data keys come from it.
//!
//! A [`KeyProvider`] makes data keys, unwraps and re-wraps them: [`AwsProvider`] under a key of AWS KMS,
//! [`LocalProvider`] under a master key of this process. [`ResilientKeys`] stands before any of them and bears with
//! one that is slow, throttled or away; [`CachedKeys`] before that remembers what it unwrapped for a while.

mod aws;
mod backoff;
mod cache;
mod check;
mod circuit;
mod local;
mod observe;
mod provider;
mod resilient;

pub use aws::{AwsConfig, AwsProvider};
pub use cache::{CacheConfig, CacheStats, CachedKeys};
pub use check::{CheckStep, check};
pub use hyperion_vault_crypto::EncryptionContext;
pub use local::{LocalProvider, MasterKeyError, parse_master_key};
pub use observe::{CallResult, KmsObserver, Operation};
pub use provider::{CurrentKey, GeneratedDataKey, KeyProvider, KmsError, Outage, WrappedDataKey};
pub use resilient::{ATTEMPT_MAX, CALL_MAX, ResilientConfig, ResilientKeys};
