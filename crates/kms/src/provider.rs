//! The port to a key management service.

use std::sync::Arc;

use async_trait::async_trait;
use hyperion_vault_core::time::Timestamp;
use hyperion_vault_crypto::{DataKey, EncryptionContext};

/// Makes, unwraps and re-wraps data keys under a master key that it alone holds.
#[async_trait]
pub trait KeyProvider: Send + Sync + 'static {
    /// A new random data key, in the clear and wrapped for `context`, under the current master key.
    ///
    /// # Errors
    /// [`KmsError`].
    async fn generate_data_key(&self, context: &EncryptionContext) -> Result<GeneratedDataKey, KmsError>;

    /// The data key that was wrapped for `context`. The master key is the one named in `wrapped`, whichever one
    /// the provider would make new keys under.
    ///
    /// # Errors
    /// [`KmsError`]. Never another key than the one that was wrapped.
    async fn unwrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<DataKey, KmsError>;

    /// The same data key, wrapped for the same `context` by the newest material of the current master key. It
    /// doesn't leave the provider in the clear.
    ///
    /// # Errors
    /// [`KmsError`].
    async fn rewrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<WrappedDataKey, KmsError>;

    /// The master key that new data keys are wrapped under, and its newest rotation.
    ///
    /// # Errors
    /// [`KmsError`].
    async fn current_key(&self) -> Result<CurrentKey, KmsError>;

    /// Whether keys can be made and unwrapped now.
    ///
    /// # Errors
    /// [`KmsError`] says why not.
    async fn health(&self) -> Result<(), KmsError>;

    /// False from when calls are given up as not getting through, until one gets through again.
    fn is_reachable(&self) -> bool {
        true
    }
}

/// A data key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedDataKey {
    /// The master key that wrapped it, in the provider's own words.
    pub key_id: String,
    /// What only the provider can read.
    pub bytes: Vec<u8>,
}

/// A new data key, in both its forms.
pub struct GeneratedDataKey {
    /// To seal with, once.
    pub plaintext: DataKey,
    /// To store.
    pub wrapped: WrappedDataKey,
}

/// The master key that new data keys are wrapped under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentKey {
    /// As it stands in [`WrappedDataKey::key_id`] of a new data key.
    pub key_id: String,
    /// When its material was last changed, by the provider's clock; absent when it never was, or can't be.
    pub rotated_at: Option<Timestamp>,
}

/// Why there is no data key, sorted by what can be done about it. `detail` is for the log: it names keys by
/// their ids and holds no key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KmsError {
    /// Try again later.
    #[error("key management is unavailable ({outage}): {detail}")]
    Unavailable { outage: Outage, detail: String },
    /// Denied, disabled, not found, or another master key: trying again changes nothing, the operator must.
    #[error("key management is misconfigured: {detail}")]
    Misconfigured { detail: String },
    /// The master key is the right one and says that it did not wrap this, not for this context: what is stored
    /// was altered or moved.
    #[error("wrapped data key is not authentic: {detail}")]
    Tampered { detail: String },
}

/// Why a provider can't be used for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outage {
    /// It was asked too much.
    Throttled,
    /// It didn't answer in time.
    TimedOut,
    /// There was no connection to it.
    Unreachable,
    /// It answered that it failed itself.
    Faulty,
    /// It was not asked: lately it couldn't be reached.
    CircuitOpen,
}

impl Outage {
    /// What the log and the metrics call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Outage::Throttled => "throttled",
            Outage::TimedOut => "timed out",
            Outage::Unreachable => "unreachable",
            Outage::Faulty => "faulty",
            Outage::CircuitOpen => "circuit open",
        }
    }
}

impl std::fmt::Display for Outage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[async_trait]
impl<P: KeyProvider + ?Sized> KeyProvider for Arc<P> {
    async fn generate_data_key(&self, context: &EncryptionContext) -> Result<GeneratedDataKey, KmsError> {
        (**self).generate_data_key(context).await
    }

    async fn unwrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<DataKey, KmsError> {
        (**self).unwrap_data_key(wrapped, context).await
    }

    async fn rewrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<WrappedDataKey, KmsError> {
        (**self).rewrap_data_key(wrapped, context).await
    }

    async fn current_key(&self) -> Result<CurrentKey, KmsError> {
        (**self).current_key().await
    }

    async fn health(&self) -> Result<(), KmsError> {
        (**self).health().await
    }

    fn is_reachable(&self) -> bool {
        (**self).is_reachable()
    }
}
