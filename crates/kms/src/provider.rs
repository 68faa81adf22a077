//! The port to a key management service.

use std::sync::Arc;

use async_trait::async_trait;
use hyperion_vault_crypto::{DataKey, EncryptionContext};

/// Makes and unwraps data keys under a master key that it alone holds.
#[async_trait]
pub trait KeyProvider: Send + Sync + 'static {
    /// A new random data key, in the clear and wrapped for `context`.
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

    /// Whether keys could be made and unwrapped now, without doing either.
    ///
    /// # Errors
    /// [`KmsError`] says why not.
    async fn health(&self) -> Result<(), KmsError>;
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

/// Why there is no data key, sorted by what can be done about it. `detail` is for the log: it names keys by
/// their ids and holds no key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KmsError {
    /// Throttled, timed out or down: try again later.
    #[error("key management is unavailable: {detail}")]
    Unavailable { detail: String },
    /// Denied, disabled, not found, or another master key: trying again changes nothing, the operator must.
    #[error("key management is misconfigured: {detail}")]
    Misconfigured { detail: String },
    /// The master key is the right one and says that it did not wrap this, not for this context: what is stored
    /// was altered or moved.
    #[error("wrapped data key is not authentic: {detail}")]
    Tampered { detail: String },
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

    async fn health(&self) -> Result<(), KmsError> {
        (**self).health().await
    }
}
