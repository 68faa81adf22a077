//! What a start makes sure of, once this node has a state: that the master key opens what is stored, that the
//! cluster has its identity, and that it has its first admin.

use std::sync::Arc;
use std::time::Duration;

use hyperion_vault_core::ports::Entropy;
use hyperion_vault_core::state::command::{Bootstrap, InitializeCluster};
use hyperion_vault_core::state::table::meta;
use hyperion_vault_core::state::{Command, Refusal};
use hyperion_vault_core::token::TokenFingerprint;

use crate::audit::{Action, AuditLog, Outcome};
use crate::config::SecretText;
use crate::failure::Failure;
use crate::readiness::KeyFault;
use crate::replica::{ChangeFailure, Replica};
use crate::request_id::RequestIds;
use crate::secrets::Secrets;
use crate::trail::{End, Trail};

/// The worker that a start is in the audit log.
const START: &str = "start";
/// How often a start looks whether it can go on.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Pause after a try that failed; it doubles with each further one.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// What is still to be done of a start.
pub(crate) struct FirstWork {
    pub(crate) replica: Arc<Replica>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) audit: Arc<AuditLog>,
    pub(crate) request_ids: RequestIds,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) bootstrap_token: Option<SecretText>,
    /// Where it is noted that the master key is another one; `None` where it isn't meant to open anything.
    pub(crate) key_fault: Option<Arc<KeyFault>>,
}

impl FirstWork {
    /// Does it as soon as it can be done, however long that takes: the others may come hours later.
    pub(crate) async fn done_in_time(self) {
        let mut pause = RETRY_FIRST;
        loop {
            while self.replica.can_be_prepared().is_err() {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
            match self.done().await {
                Ok(()) => return,
                Err(failure) => {
                    tracing::warn!(detail = failure.detail(), "first start: {failure}; trying again");
                }
            }
            tokio::time::sleep(pause).await;
            pause = RETRY_MAX.min(pause * 2);
        }
    }

    /// # Errors
    /// [`Failure`] when something could not be tried. That somebody else came first, or that the vault has an
    /// admin, is none.
    pub(crate) async fn done(&self) -> Result<(), Failure> {
        self.try_key().await;
        self.initialize_cluster().await?;
        if let Some(token) = &self.bootstrap_token {
            self.take_bootstrap_token(token).await?;
        }
        self.replica.note_prepared();
        Ok(())
    }

    /// Whether what is stored was sealed under another master key than the one that was set.
    async fn try_key(&self) {
        let Some(fault) = &self.key_fault else { return };
        let Err(failure) = self.secrets.try_stored_key().await else { return };
        let detail = failure.detail().unwrap_or_default();
        tracing::error!(detail, "a stored secret can't be opened: is this the master key of this vault?");
        // Noted by an earlier try is noted well enough.
        let _ =
            fault.set(format!("a stored secret can't be opened with the master key that is set: {detail}"));
    }

    /// Gives the cluster its identity, if it has none. That is the leader's; the others wait until they see it.
    async fn initialize_cluster(&self) -> Result<(), Failure> {
        while meta::cluster(&*self.replica.view())?.is_none() {
            if self.replica.is_leader() {
                let mut cluster_id = [0; 16];
                self.entropy.fill(&mut cluster_id);
                let command = Command::InitializeCluster(InitializeCluster { cluster_id });
                self.make_sure(command, Action::ClusterInitialize, &Refusal::ClusterInitialized).await?;
            } else {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        }
        Ok(())
    }

    /// A refusal is logged and stops nothing: the vault has an admin.
    async fn take_bootstrap_token(&self, token: &SecretText) -> Result<(), Failure> {
        let fingerprint = TokenFingerprint::of(token.expose().as_bytes());
        let command = Command::Bootstrap(Bootstrap { fingerprint, mac: None });
        match self.make_sure(command, Action::TokenBootstrap, &Refusal::BootstrapTaken).await? {
            Made::Now => tracing::info!("the bootstrap token is now the admin token bootstrap-admin"),
            Made::Before => {}
            Made::Refused(refusal) => tracing::warn!("VAULT_BOOTSTRAP_TOKEN was not taken: {refusal}"),
        }
        Ok(())
    }

    /// Makes a change, unless `before` says that it was made before.
    async fn make_sure(&self, command: Command, action: Action, before: &Refusal) -> Result<Made, Failure> {
        let mut trail = Trail::of_worker(Arc::clone(&self.audit), self.request_ids.next(), START, action);
        match self.replica.change(command, &mut trail).await {
            Ok(_) => Ok(Made::Now),
            Err(ChangeFailure::Refused(refusal)) if refusal == *before => {
                trail.take_back(Outcome::Conflict).await?;
                Ok(Made::Before)
            }
            Err(ChangeFailure::Refused(refusal)) => {
                trail.finish(End { status: None, outcome: Outcome::Conflict }).await?;
                Ok(Made::Refused(refusal))
            }
            Err(ChangeFailure::Failed(failure)) => {
                trail.take_back(Outcome::Unavailable).await?;
                Err(failure)
            }
        }
    }
}

/// How making sure of a change ended.
enum Made {
    Now,
    Before,
    Refused(Refusal),
}
