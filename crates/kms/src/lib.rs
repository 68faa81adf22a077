//! Who holds the master key, and how data keys come from it.
//!
//! A [`KeyProvider`] makes data keys and unwraps them again; [`LocalProvider`] does so under a master key of
//! this process. [`CachedKeys`] stands before any provider and remembers what it unwrapped for a while.

mod cache;
mod local;
mod provider;

pub use cache::{CacheConfig, CacheStats, CachedKeys};
pub use hyperion_vault_crypto::EncryptionContext;
pub use local::{LocalProvider, MasterKeyError, parse_master_key};
pub use provider::{CurrentKey, GeneratedDataKey, KeyProvider, KmsError, Outage, WrappedDataKey};
