//! What a start makes sure of, once this node has a state: that the cluster has its identity and an integrity key,
//! that this node can open that key, and that there is a first admin.
//!
//! Requests are let in as soon as the first is so. Tokens count once all is: before, what they may do can't be told.

use std::sync::Arc;
use std::time::Duration;

use hyperion_vault_core::ports::Entropy;
use hyperion_vault_core::state::command::{Bootstrap, InitializeCluster, InstallIntegrityKey};
use hyperion_vault_core::state::table::meta::WrappedIntegrityKey;
use hyperion_vault_core::state::table::{meta, roles, secrets, tokens};
use hyperion_vault_core::state::{Command, Refusal, StateFault};
use hyperion_vault_core::token::TokenFingerprint;
use hyperion_vault_kms::{KeyProvider, KmsError};

use crate::audit::{Action, AuditLog, Outcome};
use crate::config::SecretText;
use crate::failure::Failure;
use crate::grants::{Grants, make_integrity_key, open_integrity_key};
use crate::ports::View;
use crate::replica::{ChangeFailure, Replica};
use crate::request_id::RequestIds;
use crate::said::Said;
use crate::trail::{End, Trail};

/// The worker that a start is in the audit log.
const START: &str = "start";
/// How often a start looks whether it can go on.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Pause after a try that failed; it doubles with each further one. No token counts meanwhile, so it stays short.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// What is still to be done of a start.
pub struct FirstWork {
    pub replica: Arc<Replica>,
    pub grants: Arc<Grants>,
    pub keys: Arc<dyn KeyProvider>,
    pub audit: Arc<AuditLog>,
    pub request_ids: RequestIds,
    pub entropy: Arc<dyn Entropy>,
    pub bootstrap_token: Option<SecretText>,
    /// Whether the master key is another one at each start, and opens nothing from before.
    pub ephemeral_master_key: bool,
}

/// Why a start isn't done. Messages are for people.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    #[error("the cluster's integrity key can't be made: {0}")]
    KeyNotMade(KmsError),
    #[error("the cluster's integrity key can't be opened: {0}")]
    KeyNotOpened(KmsError),
    #[error(
        "the cluster's integrity key can't be opened: the master key is a random one, made at this start; set \
         VAULT_LOCAL_MASTER_KEY and begin with an empty data directory"
    )]
    KeyOfEarlierRun,
    #[error(
        "the cluster's integrity key is missing from a state that holds secrets or grants: the data directory was \
         altered, or is that of a build without integrity keys; roles and tokens can't be checked"
    )]
    KeyMissing,
    #[error("first start: {0}")]
    Failed(#[from] Failure),
}

impl StartFault {
    /// Whether it is all about keys. Reads that need no token go on without them.
    #[must_use]
    pub fn is_about_keys(&self) -> bool {
        !matches!(self, StartFault::Failed(_))
    }

    fn detail(&self) -> Option<&str> {
        match self {
            StartFault::Failed(failure) => failure.detail(),
            _ => None,
        }
    }
}

impl From<StateFault> for StartFault {
    fn from(fault: StateFault) -> StartFault {
        StartFault::Failed(fault.into())
    }
}

impl FirstWork {
    /// Does it as soon as it can be done, however long that takes: the others may come hours later, and so may key
    /// management.
    pub async fn done_in_time(self) {
        let (said, mut pause) = (Said::default(), RETRY_FIRST);
        loop {
            while self.replica.can_be_prepared().is_err() {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
            let Err(fault) = self.done().await else { return };
            if said.is_news(&fault.to_string()) {
                tracing::error!(detail = fault.detail(), "{fault}; trying again");
            }
            tokio::time::sleep(pause).await;
            pause = RETRY_MAX.min(pause * 2);
        }
    }

    /// # Errors
    /// [`StartFault`] when something could not be done. That somebody else came first, or that the vault has an
    /// admin, is none.
    pub async fn done(&self) -> Result<(), StartFault> {
        let done = self.try_all().await;
        match &done {
            Ok(()) => self.grants.put_in_force(),
            Err(fault) => self.grants.note_fault(fault.to_string()),
        }
        done
    }

    async fn try_all(&self) -> Result<(), StartFault> {
        let cluster_id = self.cluster_id().await?;
        let wrapped = self.integrity_key(&cluster_id).await?;
        self.replica.note_prepared();
        let opened = open_integrity_key(&*self.keys, wrapped, &cluster_id).await;
        self.grants.open(opened.map_err(|error| self.not_opened(error))?);
        if let Some(token) = &self.bootstrap_token {
            self.take_bootstrap_token(token).await?;
        }
        Ok(())
    }

    fn not_opened(&self, error: KmsError) -> StartFault {
        match error {
            KmsError::Misconfigured { .. } if self.ephemeral_master_key => StartFault::KeyOfEarlierRun,
            other => StartFault::KeyNotOpened(other),
        }
    }

    /// The cluster's identity. If it has none, the leader gives it one; the others wait until they see it.
    async fn cluster_id(&self) -> Result<[u8; 16], StartFault> {
        loop {
            if let Some(cluster) = meta::cluster(&*self.replica.view())? {
                return Ok(cluster.id);
            }
            if self.replica.is_leader() {
                let mut cluster_id = [0; 16];
                self.entropy.fill(&mut cluster_id);
                let command = Command::InitializeCluster(InitializeCluster { cluster_id });
                self.make_sure(command, Action::ClusterInitialize, &Refusal::ClusterInitialized).await?;
            } else {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        }
    }

    /// The cluster's integrity key, as it is stored. If it has none, the leader makes it; the others wait until they
    /// see it. A state that should have one and doesn't is given none, but reads of it go on.
    async fn integrity_key(&self, cluster_id: &[u8; 16]) -> Result<WrappedIntegrityKey, StartFault> {
        loop {
            // Not kept while waiting: a view keeps the state's old pages.
            match look_for_key(&self.replica.view())? {
                Look::Found(key) => return Ok(key),
                Look::Missing => {
                    self.replica.note_prepared();
                    return Err(StartFault::KeyMissing);
                }
                Look::NotYet => {}
            }
            if self.replica.is_leader() {
                self.install_integrity_key(cluster_id).await?;
            } else {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        }
    }

    async fn install_integrity_key(&self, cluster_id: &[u8; 16]) -> Result<(), StartFault> {
        let made = make_integrity_key(&*self.keys, self.replica.view(), cluster_id).await?;
        let key = made.map_err(StartFault::KeyNotMade)?;
        let command = Command::InstallIntegrityKey(InstallIntegrityKey { key });
        match self.make_sure(command, Action::IntegrityKeyInstall, &Refusal::IntegrityKeyExists).await? {
            Made::Now | Made::Before => Ok(()),
            Made::Refused(refusal) => Err(Failure::from(refusal).into()),
        }
    }

    /// A refusal is logged and stops nothing: the vault has an admin.
    async fn take_bootstrap_token(&self, token: &SecretText) -> Result<(), StartFault> {
        let fingerprint = TokenFingerprint::of(token.expose().as_bytes());
        let mut bootstrap = Bootstrap { fingerprint, mac: None };
        let granted =
            bootstrap.granted().ok_or_else(|| Failure::internal("the bootstrap token has no name"))?;
        bootstrap.mac = Some(self.grants.mac(&granted)?);
        let command = Command::Bootstrap(bootstrap);
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

/// What a state has of an integrity key.
enum Look {
    Found(WrappedIntegrityKey),
    /// None, and nothing either that one would have been needed for.
    NotYet,
    /// None, where there is what can't have come about without one.
    Missing,
}

/// Looks at the rows themselves: their counts stand on the same disk, for anybody to change.
fn look_for_key(view: &View) -> Result<Look, StateFault> {
    if let Some(key) = meta::integrity_key(&**view)? {
        return Ok(Look::Found(key));
    }
    let pristine = secrets::page(&**view, "", None, 1)?.is_empty()
        && tokens::all(&**view)?.is_empty()
        && roles::all(&**view)?.iter().all(|role| role.is_built_in());
    Ok(if pristine { Look::NotYet } else { Look::Missing })
}
