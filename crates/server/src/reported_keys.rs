//! A key provider that says in the log what its operator has to mend.
//!
//! A denied permission or a disabled key fails every request alike. That is worth one line now and then, with the
//! reason in it, and not one a request.

use async_trait::async_trait;
use hyperion_vault_crypto::{DataKey, EncryptionContext};
use hyperion_vault_kms::{CurrentKey, GeneratedDataKey, KeyProvider, KmsError, WrappedDataKey};

use crate::said::Said;

/// Any provider, with what is wrong about its set-up logged.
pub struct ReportedKeys<P> {
    provider: P,
    said: Said,
}

impl<P: KeyProvider> ReportedKeys<P> {
    #[must_use]
    pub fn new(provider: P) -> ReportedKeys<P> {
        ReportedKeys { provider, said: Said::default() }
    }

    /// The provider behind it.
    #[must_use]
    pub fn provider(&self) -> &P {
        &self.provider
    }

    fn report<T>(&self, answered: Result<T, KmsError>) -> Result<T, KmsError> {
        if let Err(error @ KmsError::Misconfigured { detail }) = &answered
            && self.said.is_news(detail)
        {
            tracing::error!("{error}");
        }
        answered
    }
}

#[async_trait]
impl<P: KeyProvider> KeyProvider for ReportedKeys<P> {
    async fn generate_data_key(&self, context: &EncryptionContext) -> Result<GeneratedDataKey, KmsError> {
        self.report(self.provider.generate_data_key(context).await)
    }

    async fn unwrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<DataKey, KmsError> {
        self.report(self.provider.unwrap_data_key(wrapped, context).await)
    }

    async fn rewrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<WrappedDataKey, KmsError> {
        self.report(self.provider.rewrap_data_key(wrapped, context).await)
    }

    async fn current_key(&self) -> Result<CurrentKey, KmsError> {
        self.report(self.provider.current_key().await)
    }

    async fn health(&self) -> Result<(), KmsError> {
        self.report(self.provider.health().await)
    }

    fn is_reachable(&self) -> bool {
        self.provider.is_reachable()
    }
}
