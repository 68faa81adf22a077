//! What a start makes sure of: the cluster has its identity, and its first admin.

use std::sync::Arc;

use hyperion_vault_core::ports::Entropy;
use hyperion_vault_core::state::command::{Bootstrap, InitializeCluster};
use hyperion_vault_core::state::table::meta;
use hyperion_vault_core::state::{Command, Refusal};
use hyperion_vault_core::token::TokenFingerprint;

use crate::audit::{Action, AuditLog, Outcome};
use crate::config::SecretText;
use crate::failure::Failure;
use crate::replica::{ChangeFailure, Replica};
use crate::request_id::RequestIds;
use crate::trail::{End, Trail};

/// The worker that a start is in the audit log.
const START: &str = "start";

/// Gives the cluster its identity, if it has none.
///
/// # Errors
/// [`Failure`]. Somebody else having come first is none.
pub(crate) async fn initialize_cluster(
    replica: &Replica,
    entropy: &dyn Entropy,
    mut trail: Trail,
) -> Result<(), Failure> {
    if meta::cluster(&*replica.view())?.is_some() {
        return Ok(());
    }
    let mut cluster_id = [0; 16];
    entropy.fill(&mut cluster_id);
    let command = Command::InitializeCluster(InitializeCluster { cluster_id });
    match replica.change(command, &mut trail).await {
        Ok(_) | Err(ChangeFailure::Refused(Refusal::ClusterInitialized)) => Ok(()),
        Err(other) => Err(other.into()),
    }
}

/// Takes the bootstrap token. A refusal is logged and stops nothing: the vault has an admin.
///
/// # Errors
/// [`Failure`] when it could not be tried.
pub(crate) async fn take_bootstrap_token(
    replica: &Replica,
    token: &SecretText,
    mut trail: Trail,
) -> Result<(), Failure> {
    let fingerprint = TokenFingerprint::of(token.expose().as_bytes());
    match replica.change(Command::Bootstrap(Bootstrap { fingerprint }), &mut trail).await {
        Ok(_) => tracing::info!("the bootstrap token is now the admin token bootstrap-admin"),
        Err(ChangeFailure::Refused(Refusal::BootstrapTaken)) => {}
        Err(ChangeFailure::Refused(refusal)) => {
            tracing::warn!("VAULT_BOOTSTRAP_TOKEN was not taken: {refusal}");
            trail.finish(End { status: None, outcome: Outcome::Conflict }).await?;
        }
        Err(other) => return Err(other.into()),
    }
    Ok(())
}

/// The trail of something that a start does.
pub(crate) fn start_trail(audit: &Arc<AuditLog>, request_ids: &RequestIds, action: Action) -> Trail {
    Trail::of_worker(Arc::clone(audit), request_ids.next(), START, action)
}
