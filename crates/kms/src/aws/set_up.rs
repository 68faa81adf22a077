//! What the SDK has to know before it can ask: the region, who asks, and how long things may take.
//!
//! The SDK's own look-ups end at the machine's metadata service. Where there is none, its packets may vanish, and the
//! SDK would wait for half a minute. Here nothing of it outlasts an attempt.

use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::identity::IdentityCache;
use aws_config::imds;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_kms::Client;

use crate::provider::KmsError;
use crate::resilient::ATTEMPT_MAX;

/// Longest time until a connection stands.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// Longest time for credentials, wherever they come from: an attempt still has to say that there are none.
const CREDENTIALS_MAX: Duration = Duration::from_millis(1_500);
/// Longest time for each of two steps with the metadata service, which is on the same machine or next to it.
const METADATA_STEP_MAX: Duration = Duration::from_millis(400);

/// A client for the region of the environment, of the profile, of the key's ARN or of the machine, in this order.
///
/// # Errors
/// [`KmsError::Misconfigured`] when none of them tells the region.
pub(super) async fn connect(key_id: &str) -> Result<Client, KmsError> {
    let region = region(key_id).await.ok_or_else(no_region)?;
    // Made here, because the loader's own would ask the metadata service at length.
    let credentials =
        DefaultCredentialsChain::builder().region(region.clone()).imds_client(metadata()).build().await;
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT_MAX).operation_attempt_timeout(ATTEMPT_MAX).build();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(region)
        .credentials_provider(credentials)
        .identity_cache(IdentityCache::lazy().load_timeout(CREDENTIALS_MAX).build())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::disabled())
        .load()
        .await;
    Ok(Client::new(&config))
}

async fn region(key_id: &str) -> Option<Region> {
    let machine = imds::region::ImdsRegionProvider::builder().imds_client(metadata()).build();
    RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .or_else(region_of(key_id))
        .or_else(machine)
        .region()
        .await
}

/// That of an ARN: `arn:<partition>:kms:<region>:<account>:<key>`.
fn region_of(key_id: &str) -> Option<Region> {
    let mut parts = key_id.split(':');
    let is_key = parts.next() == Some("arn") && parts.nth(1) == Some("kms");
    let region = parts.next().filter(|region| is_key && !region.is_empty())?;
    Some(Region::new(region.to_owned()))
}

fn metadata() -> imds::Client {
    let client = imds::Client::builder().max_attempts(1);
    client.connect_timeout(METADATA_STEP_MAX).read_timeout(METADATA_STEP_MAX).build()
}

fn no_region() -> KmsError {
    let detail = "there is no AWS region; set AWS_REGION, or VAULT_KMS_KEY_ID to the key's ARN".to_owned();
    KmsError::Misconfigured { detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_tells_its_region_and_nothing_else_does() {
        let region = |key_id| region_of(key_id).map(|region| region.to_string());
        for arn in ["arn:aws:kms:eu-central-1:123456789012:key/k", "arn:aws-cn:kms:eu-central-1:1:alias/a"] {
            assert_eq!(region(arn).as_deref(), Some("eu-central-1"), "{arn}");
        }
        for other in [
            "",
            "k",
            "alias/vault",
            "alias/arn:aws:kms:eu",
            "arn:aws:s3:eu-central-1:1:b",
            "arn:aws:kms::1:k",
        ] {
            assert_eq!(region(other), None, "{other}");
        }
    }
}
