//! AWS KMS, by its official SDK.
//!
//! Who asks, where and through which endpoint is the SDK's own matter: it reads `AWS_*`, the profile, or the
//! machine's metadata service. What it retries by itself is turned off; [`ResilientKeys`](crate::ResilientKeys)
//! does that for every provider.

mod failure;
mod set_up;

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::{Blob, DateTime};
use aws_sdk_kms::types::DataKeySpec;
use hyperion_vault_core::time::Timestamp;
use hyperion_vault_crypto::{DataKey, EncryptionContext};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use crate::provider::{CurrentKey, GeneratedDataKey, KeyProvider, KmsError, Outage, WrappedDataKey};
use failure::{failure, has_no_rotations};
use set_up::connect;

/// Pages of rotations that are read at most: a key has at most one rotation on demand a day, and 100 stand on a page.
const ROTATION_PAGES_MAX: usize = 1_000;

/// How AWS KMS is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsConfig {
    /// Id, ARN or alias of the key that wraps new data keys.
    pub key_id: String,
}

/// Data keys under a key of AWS KMS.
pub struct AwsProvider {
    /// As configured.
    key_id: String,
    client: OnceCell<Client>,
}

impl AwsProvider {
    /// Asks nobody anything yet: a service that is away is met by the first call.
    #[must_use]
    pub fn new(config: AwsConfig) -> AwsProvider {
        AwsProvider { key_id: config.key_id, client: OnceCell::new() }
    }

    /// With a client that the caller has set up.
    #[must_use]
    pub fn with_client(config: AwsConfig, client: Client) -> AwsProvider {
        AwsProvider { key_id: config.key_id, client: OnceCell::new_with(Some(client)) }
    }

    async fn client(&self) -> Result<&Client, KmsError> {
        self.client.get_or_try_init(|| connect(&self.key_id)).await
    }

    /// The newest of the key's rotations. `key_arn`: this call takes no alias.
    async fn newest_rotation(&self, key_arn: &str) -> Result<Option<Timestamp>, KmsError> {
        let client = self.client().await?;
        let mut pages = client.list_key_rotations().key_id(key_arn).into_paginator().send();
        let mut newest = None;
        for _ in 0..ROTATION_PAGES_MAX {
            let Some(page) = pages.next().await else { break };
            let page = match page {
                Err(error) if has_no_rotations(&error) => return Ok(None),
                page => page.map_err(|error| failure(&error, "kms:ListKeyRotations", key_arn))?,
            };
            let dates = page.rotations().iter().filter_map(|rotation| rotation.rotation_date());
            newest = dates.filter_map(timestamp).chain(newest).max();
        }
        Ok(newest)
    }
}

#[async_trait]
impl KeyProvider for AwsProvider {
    async fn generate_data_key(&self, context: &EncryptionContext) -> Result<GeneratedDataKey, KmsError> {
        let asked = self.client().await?.generate_data_key().key_id(&self.key_id);
        let asked = asked.key_spec(DataKeySpec::Aes256).set_encryption_context(Some(pairs(context)));
        let answer =
            asked.send().await.map_err(|error| failure(&error, "kms:GenerateDataKey", &self.key_id))?;
        Ok(GeneratedDataKey {
            plaintext: data_key(answer.plaintext)?,
            wrapped: wrapped(answer.key_id, answer.ciphertext_blob)?,
        })
    }

    async fn unwrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<DataKey, KmsError> {
        let asked = self.client().await?.decrypt().key_id(&wrapped.key_id);
        let asked = asked.ciphertext_blob(Blob::new(wrapped.bytes.as_slice()));
        let answer = asked.set_encryption_context(Some(pairs(context))).send().await;
        data_key(answer.map_err(|error| failure(&error, "kms:Decrypt", &wrapped.key_id))?.plaintext)
    }

    async fn rewrap_data_key(
        &self,
        from: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<WrappedDataKey, KmsError> {
        let asked = self.client().await?.re_encrypt();
        let asked = asked.source_key_id(&from.key_id).ciphertext_blob(Blob::new(from.bytes.as_slice()));
        let asked = asked.set_source_encryption_context(Some(pairs(context)));
        let asked = asked.destination_key_id(&self.key_id);
        let answer = asked.set_destination_encryption_context(Some(pairs(context))).send().await;
        let answer = answer.map_err(|error| {
            failure(
                &error,
                "kms:ReEncryptFrom, kms:ReEncryptTo",
                &format!("{} to {}", from.key_id, self.key_id),
            )
        })?;
        wrapped(answer.key_id, answer.ciphertext_blob)
    }

    /// Learns the ARN from a data key that it throws away: that takes no further permission, and an alias shows
    /// which key it stands for now.
    async fn current_key(&self) -> Result<CurrentKey, KmsError> {
        let made = self.generate_data_key(&EncryptionContext::for_probe()).await?;
        let rotated_at = self.newest_rotation(&made.wrapped.key_id).await?;
        Ok(CurrentKey { key_id: made.wrapped.key_id, rotated_at })
    }

    async fn health(&self) -> Result<(), KmsError> {
        self.generate_data_key(&EncryptionContext::for_probe()).await.map(|_| ())
    }
}

fn pairs(context: &EncryptionContext) -> HashMap<String, String> {
    context.pairs().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The SDK's copy is wiped; those that its parser and TLS made are not in our hands.
fn data_key(plaintext: Option<Blob>) -> Result<DataKey, KmsError> {
    let bytes = Zeroizing::new(plaintext.map(Blob::into_inner).unwrap_or_default());
    let key = bytes.as_slice().try_into().map(DataKey::from_bytes);
    key.map_err(|_| incomplete("a data key of 32 bytes"))
}

fn wrapped(key_id: Option<String>, ciphertext: Option<Blob>) -> Result<WrappedDataKey, KmsError> {
    match (key_id, ciphertext) {
        (Some(key_id), Some(ciphertext)) => Ok(WrappedDataKey { key_id, bytes: ciphertext.into_inner() }),
        _ => Err(incomplete("a wrapped data key and the key that wrapped it")),
    }
}

fn incomplete(what: &str) -> KmsError {
    KmsError::Unavailable { outage: Outage::Faulty, detail: format!("AWS KMS answered without {what}") }
}

/// AWS writes seconds with a fraction, as a floating-point number: what is a little less than a whole millisecond is
/// one.
fn timestamp(date: &DateTime) -> Option<Timestamp> {
    let ms = date
        .secs()
        .checked_mul(1_000)?
        .checked_add(i64::from(date.subsec_nanos().saturating_add(500_000) / 1_000_000))?;
    u64::try_from(ms).ok().map(Timestamp::from_unix_ms)
}
