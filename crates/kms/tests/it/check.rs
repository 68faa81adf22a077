//! What people are told who set up a key provider.

use async_trait::async_trait;
use hyperion_vault_crypto::DataKey;
use hyperion_vault_kms::{
    CurrentKey, EncryptionContext, GeneratedDataKey, KeyProvider, KmsError, LocalProvider, Operation,
    WrappedDataKey, check,
};

use crate::fixture::{context, local_provider};

/// Lacks the permission for one operation, or doesn't bind the context.
struct Lacking {
    local: LocalProvider,
    lacks: Option<Operation>,
    binds: bool,
}

impl Lacking {
    fn permit(&self, operation: Operation) -> Result<(), KmsError> {
        match self.lacks == Some(operation) {
            true => Err(KmsError::Misconfigured { detail: "denied".to_owned() }),
            false => Ok(()),
        }
    }

    /// The context that the wrap is held against.
    fn bound(&self, stated: &EncryptionContext) -> EncryptionContext {
        if self.binds { stated.clone() } else { context("whatever", 1) }
    }
}

#[async_trait]
impl KeyProvider for Lacking {
    async fn generate_data_key(&self, stated: &EncryptionContext) -> Result<GeneratedDataKey, KmsError> {
        self.permit(Operation::Generate)?;
        self.local.generate_data_key(&self.bound(stated)).await
    }

    async fn unwrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        stated: &EncryptionContext,
    ) -> Result<DataKey, KmsError> {
        self.permit(Operation::Unwrap)?;
        self.local.unwrap_data_key(wrapped, &self.bound(stated)).await
    }

    async fn rewrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        stated: &EncryptionContext,
    ) -> Result<WrappedDataKey, KmsError> {
        self.permit(Operation::Rewrap)?;
        self.local.rewrap_data_key(wrapped, &self.bound(stated)).await
    }

    async fn current_key(&self) -> Result<CurrentKey, KmsError> {
        self.permit(Operation::CurrentKey)?;
        self.local.current_key().await
    }

    async fn health(&self) -> Result<(), KmsError> {
        Ok(())
    }
}

/// The permissions of the steps that failed, and how many steps were made.
async fn failed(lacks: Option<Operation>, binds: bool) -> (Vec<&'static str>, usize) {
    let steps = check(&Lacking { local: local_provider(), lacks, binds }).await;
    let failed = steps.iter().filter(|step| step.result.is_err()).map(|step| step.permission).collect();
    (failed, steps.len())
}

#[tokio::test]
async fn all_is_well_where_nothing_is_missing() {
    assert_eq!(failed(None, true).await, (vec![], 5));
}

#[tokio::test]
async fn every_missing_permission_is_named() {
    let without = |operation| failed(Some(operation), true);
    assert_eq!(without(Operation::Generate).await, (vec!["kms:GenerateDataKey"], 1));
    assert_eq!(without(Operation::Unwrap).await, (vec!["kms:Decrypt", "kms:Decrypt"], 5));
    assert_eq!(without(Operation::CurrentKey).await, (vec!["kms:ListKeyRotations"], 5));
    assert_eq!(without(Operation::Rewrap).await, (vec!["kms:ReEncryptFrom, kms:ReEncryptTo"], 5));
}

#[tokio::test]
async fn a_provider_that_unwraps_for_any_place_is_found_out() {
    let steps = check(&Lacking { local: local_provider(), lacks: None, binds: false }).await;
    let failed: Vec<_> = steps.iter().filter(|step| step.result.is_err()).map(|step| step.name).collect();
    assert_eq!(failed, ["unwrap it for another place"]);
}

#[tokio::test]
async fn only_what_rewrapping_takes_can_be_done_without() {
    let steps = check(&Lacking { local: local_provider(), lacks: None, binds: true }).await;
    let optional: Vec<_> = steps.iter().filter(|step| !step.required).map(|step| step.permission).collect();
    assert_eq!(optional, ["kms:ListKeyRotations", "kms:ReEncryptFrom, kms:ReEncryptTo"]);
}
