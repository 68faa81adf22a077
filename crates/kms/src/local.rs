//! Key management within this process, for development and for a node that has no service to turn to.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hyperion_vault_core::ports::Entropy;
use hyperion_vault_crypto::{
    DataKey, EncryptionContext, KEY_BYTES, MasterKey, NONCE_BYTES, UnwrapError, unwrap, wrap,
};
use zeroize::Zeroizing;

use crate::provider::{CurrentKey, GeneratedDataKey, KeyProvider, KmsError, Outage, WrappedDataKey};

/// Padding may be there or not: tools differ, and the length tells enough.
const PADDING_OPTIONAL: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD_BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, PADDING_OPTIONAL);
const URL_SAFE_BASE64: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, PADDING_OPTIONAL);

/// Why a text is not a master key. It is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeyError {
    #[error("is not base64")]
    NotBase64,
    #[error("must be the base64 of {KEY_BYTES} bytes, but is that of {bytes}")]
    Length { bytes: usize },
}

/// Reads a master key: base64 (RFC 4648) of exactly 32 bytes, in the standard or the URL-safe alphabet, with or
/// without padding, white space around it passed over (`openssl rand -base64 32` ends its line).
///
/// # Errors
/// [`MasterKeyError`].
pub fn parse_master_key(text: &str) -> Result<MasterKey, MasterKeyError> {
    let text = text.trim();
    let base64 = if text.contains(['-', '_']) { URL_SAFE_BASE64 } else { STANDARD_BASE64 };
    // Room for all from the start: growing would leave a copy of the key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    base64.decode_vec(text, &mut bytes).map_err(|_| MasterKeyError::NotBase64)?;
    let key = <&[u8; KEY_BYTES]>::try_from(bytes.as_slice());
    key.map(MasterKey::from_bytes).map_err(|_| MasterKeyError::Length { bytes: bytes.len() })
}

/// Wraps data keys under a master key of its own.
pub struct LocalProvider {
    master_key: MasterKey,
    /// Those before it: they open what they wrapped, and wrap nothing new.
    previous: Vec<MasterKey>,
    entropy: Arc<dyn Entropy>,
}

impl LocalProvider {
    /// Under the master key given, the same on every node of a cluster. What `previous` ones wrapped is opened too.
    #[must_use]
    pub fn new(master_key: MasterKey, previous: Vec<MasterKey>, entropy: Arc<dyn Entropy>) -> LocalProvider {
        LocalProvider { master_key, previous, entropy }
    }

    /// Under a random master key that nobody keeps: what is sealed can't be opened after this process, nor by
    /// another node.
    #[must_use]
    pub fn ephemeral(entropy: Arc<dyn Entropy>) -> LocalProvider {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        entropy.fill(bytes.as_mut_slice());
        LocalProvider::new(MasterKey::from_bytes(&bytes), Vec::new(), entropy)
    }

    /// The id that data keys made here carry. It says nothing about the master key.
    #[must_use]
    pub fn key_id(&self) -> &str {
        self.master_key.key_id()
    }

    fn wrap(&self, plaintext: &DataKey, context: &EncryptionContext) -> Result<WrappedDataKey, KmsError> {
        let mut nonce = [0; NONCE_BYTES];
        self.entropy.fill(&mut nonce);
        let bytes = wrap(&self.master_key, nonce, context, plaintext)
            .map_err(|error| KmsError::Unavailable { outage: Outage::Faulty, detail: error.to_string() })?;
        Ok(WrappedDataKey { key_id: self.key_id().to_owned(), bytes })
    }

    fn unknown(&self, key_id: &str) -> KmsError {
        let detail = format!(
            "data key was wrapped under {key_id}, but the master key is {}{}; set the key that wrapped it, as \
             VAULT_LOCAL_MASTER_KEY or among VAULT_LOCAL_PREVIOUS_KEYS",
            self.key_id(),
            if self.previous.is_empty() { "" } else { " and it isn't among the previous ones" }
        );
        KmsError::Misconfigured { detail }
    }

    fn refused(&self, wrapped: &WrappedDataKey, error: UnwrapError) -> KmsError {
        KmsError::Tampered { detail: format!("{error} (key {})", wrapped.key_id) }
    }
}

#[async_trait]
impl KeyProvider for LocalProvider {
    async fn generate_data_key(&self, context: &EncryptionContext) -> Result<GeneratedDataKey, KmsError> {
        let plaintext = DataKey::filled_by(|key| self.entropy.fill(key));
        let wrapped = self.wrap(&plaintext, context)?;
        Ok(GeneratedDataKey { plaintext, wrapped })
    }

    async fn unwrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<DataKey, KmsError> {
        let known = std::iter::once(&self.master_key).chain(&self.previous);
        let Some(master_key) = known.into_iter().find(|key| key.key_id() == wrapped.key_id) else {
            return Err(self.unknown(&wrapped.key_id));
        };
        unwrap(master_key, &wrapped.bytes, context).map_err(|error| self.refused(wrapped, error))
    }

    async fn rewrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<WrappedDataKey, KmsError> {
        let plaintext = self.unwrap_data_key(wrapped, context).await?;
        self.wrap(&plaintext, context)
    }

    async fn current_key(&self) -> Result<CurrentKey, KmsError> {
        Ok(CurrentKey { key_id: self.key_id().to_owned(), rotated_at: None })
    }

    async fn health(&self) -> Result<(), KmsError> {
        Ok(())
    }
}
