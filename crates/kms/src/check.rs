//! Tries each thing that the vault asks of a key provider, for people who set one up.

use std::time::Duration;

use hyperion_vault_crypto::EncryptionContext;
use tokio::time::{Instant, timeout};

use crate::provider::{GeneratedDataKey, KeyProvider, KmsError, Outage};

/// Longest time of one step: a cold start looks for region and credentials first.
const STEP_MAX: Duration = Duration::from_secs(10);

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckStep {
    pub name: &'static str,
    /// What AWS KMS asks for it.
    pub permission: &'static str,
    /// Whether the vault can't do without; the rest is for re-wrapping alone.
    pub required: bool,
    /// What was found, or why it didn't work.
    pub result: Result<String, KmsError>,
    pub took: Duration,
}

/// Makes a data key, unwraps it, makes sure that it isn't unwrapped for another place, and tries what re-wrapping
/// takes. Stores nothing. What needs a data key is left out where none can be made.
pub async fn check(provider: &dyn KeyProvider) -> Vec<CheckStep> {
    let context = EncryptionContext::for_probe();
    let (made, took) = step(provider.generate_data_key(&context)).await;
    let found = made.as_ref().map(|made| made.wrapped.key_id.clone()).map_err(KmsError::clone);
    let mut steps = vec![required("make a data key", "kms:GenerateDataKey", found, took)];
    if let Ok(made) = made {
        steps.push(unwrapped(provider, &made, &context).await);
        steps.push(refused_elsewhere(provider, &made).await);
        steps.extend(for_rewrapping(provider, &made, &context).await);
    }
    steps
}

async fn unwrapped(
    provider: &dyn KeyProvider,
    made: &GeneratedDataKey,
    context: &EncryptionContext,
) -> CheckStep {
    let (unwrapped, took) = step(provider.unwrap_data_key(&made.wrapped, context)).await;
    let found = unwrapped.and_then(|key| match key.expose() == made.plaintext.expose() {
        true => Ok("the same key".to_owned()),
        false => Err(KmsError::Tampered { detail: "another data key came back".to_owned() }),
    });
    required("unwrap it", "kms:Decrypt", found, took)
}

/// A provider that doesn't bind the encryption context would let a wrapped key be moved.
async fn refused_elsewhere(provider: &dyn KeyProvider, made: &GeneratedDataKey) -> CheckStep {
    let elsewhere = EncryptionContext::for_integrity_key(&[0; 16]);
    let (unwrapped, took) = step(provider.unwrap_data_key(&made.wrapped, &elsewhere)).await;
    let found = match unwrapped {
        Err(KmsError::Tampered { .. }) => Ok("refused, as it must be".to_owned()),
        Err(other) => Err(other),
        Ok(_) => Err(KmsError::Misconfigured {
            detail: "it was unwrapped: the encryption context isn't bound".to_owned(),
        }),
    };
    required("unwrap it for another place", "kms:Decrypt", found, took)
}

async fn for_rewrapping(
    provider: &dyn KeyProvider,
    made: &GeneratedDataKey,
    context: &EncryptionContext,
) -> [CheckStep; 2] {
    let (current, took) = step(provider.current_key()).await;
    let found = current.map(|current| match current.rotated_at {
        Some(_) => "rotated before".to_owned(),
        None => "never rotated".to_owned(),
    });
    let rotations = optional("list the key's rotations", "kms:ListKeyRotations", found, took);
    let (rewrapped, took) = step(provider.rewrap_data_key(&made.wrapped, context)).await;
    let found = rewrapped.map(|rewrapped| rewrapped.key_id);
    [rotations, optional("re-wrap it", "kms:ReEncryptFrom, kms:ReEncryptTo", found, took)]
}

async fn step<T>(calling: impl Future<Output = Result<T, KmsError>>) -> (Result<T, KmsError>, Duration) {
    let begun = Instant::now();
    let answered = timeout(STEP_MAX, calling).await.unwrap_or_else(|_| {
        let detail = format!("no answer within {} s", STEP_MAX.as_secs());
        Err(KmsError::Unavailable { outage: Outage::TimedOut, detail })
    });
    (answered, begun.elapsed())
}

fn required(
    name: &'static str,
    permission: &'static str,
    result: Result<String, KmsError>,
    took: Duration,
) -> CheckStep {
    CheckStep { name, permission, required: true, result, took }
}

fn optional(
    name: &'static str,
    permission: &'static str,
    result: Result<String, KmsError>,
    took: Duration,
) -> CheckStep {
    CheckStep { required: false, ..required(name, permission, result, took) }
}
