//! The composition root: the only file that names every concrete adapter, and the order in which a node
//! starts and stops.

mod api;
mod keys;
mod place;
mod readings;
mod workers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyperion_vault_core::ports::{Clock, Entropy};
use hyperion_vault_raft::{DataDir, Node, NodeConfig, OnFault, StartError, tls as node_tls};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::access::TokenUses;
use crate::adapters::consensus::RaftConsensus;
use crate::audit::{AuditLog, AuditOpenError};
use crate::bootstrap::{FirstWork, StartFault};
use crate::config::{SecretText, Settings};
use crate::grants::Grants;
use crate::http::listen::{BindError, bind};
use crate::http::router;
use crate::http::serve::{ConnectionLimits, Drained, serve};
use crate::http::tls::{TlsError, server_config};
use crate::replica::Replica;
use crate::request_id::RequestIds;
use crate::sealing::Sealing;
use crate::secrets::Secrets;
use crate::target::CredentialTarget;
use crate::target::postgres::{AuthoritiesError, PostgresTarget};
use crate::telemetry::{KmsMetrics, Metrics};
use crate::worker::Supervisor;
use keys::Keys;

pub use hyperion_vault_kms::CheckStep;
pub use keys::check_keys;

/// How long a stop waits for rounds of the workers that have begun.
const WORKERS_END_WITHIN: Duration = Duration::from_secs(5);
/// How long a stop waits for another node to lead.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(3);
/// How long the start of a node on its own waits for the log to be replayed.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running vault.
pub struct App {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<Drained>,
    /// What a start still has to do once there is a cluster; `None` when it was done before serving.
    first_work: Option<JoinHandle<()>>,
    workers: Supervisor,
    sweeper: JoinHandle<()>,
    node: Arc<Node>,
    audit: Arc<AuditLog>,
}

/// Why a vault doesn't start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("TLS between the nodes: {0}")]
    NodeTls(#[from] node_tls::TlsError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Storage(#[from] StartError),
    #[error(transparent)]
    Audit(#[from] AuditOpenError),
    #[error("VAULT_TARGET_CA_FILE: {0}")]
    TargetAuthorities(#[from] AuthoritiesError),
    #[error("not ready: {0}")]
    NotReady(String),
    #[error(transparent)]
    FirstWork(StartFault),
}

/// Why a vault didn't stop cleanly. What was acknowledged is safe all the same: the log has it.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    #[error("closing the storage: {0}")]
    Storage(String),
    #[error("closing the audit log: {0}")]
    Audit(String),
}

/// What the parts of a node share.
struct Parts {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    request_ids: RequestIds,
    keys: Arc<Keys>,
    audit: Arc<AuditLog>,
    node: Arc<Node>,
    replica: Arc<Replica>,
    sealing: Arc<Sealing>,
    secrets: Arc<Secrets>,
    uses: Arc<TokenUses>,
    metrics: Arc<Metrics>,
    grants: Arc<Grants>,
    target: Arc<dyn CredentialTarget>,
}

impl App {
    /// Starts a vault and serves. `on_fault` learns of the failure that this node can't go on after. A node on its
    /// own is ready when this returns; one of several serves whatever can be served while it looks for the others.
    ///
    /// # Errors
    /// [`AppError`]; nothing is left running.
    pub async fn start(mut settings: Settings, on_fault: OnFault) -> Result<App, AppError> {
        let clock: Arc<dyn Clock> = Arc::new(crate::adapters::clock::SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(crate::adapters::entropy::OsEntropy);
        let tls = settings.tls.as_ref().map(server_config).transpose()?;
        let ephemeral_master_key = !settings.keys.is_lasting();
        let node_config = place::node_config(&settings, Arc::clone(&clock), &*entropy)?;
        let listener = bind(&settings.listen).await?;
        let parts = Parts::open(&mut settings, node_config, clock, entropy, on_fault).await?;
        let first_work = parts.first_work(settings.access.bootstrap_token.take(), ephemeral_master_key);
        if !parts.is_alone(&settings) {
            let first_work = tokio::spawn(first_work.done_in_time());
            return Ok(parts.run(settings, tls, listener, Some(first_work)));
        }
        match parts.prepare(first_work).await {
            Ok(first_work) => Ok(parts.run(settings, tls, listener, first_work)),
            Err(error) => {
                parts.close().await;
                Err(error)
            }
        }
    }

    /// Where the API listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops: has another node lead, accepts nothing new, finishes what is in flight (10 s at most), makes
    /// everything durable. What is in flight then goes to the new leader, so that nobody waits for an election.
    ///
    /// # Errors
    /// [`StopError`].
    pub async fn stop(self) -> Result<(), StopError> {
        if let Some(first_work) = &self.first_work {
            first_work.abort();
        }
        // A node that is alone has nobody to hand over to.
        if self.node.status().members.len() > 1 {
            self.node.hand_over(HAND_OVER_WITHIN).await;
        }
        self.stop.cancel();
        match self.serving.await {
            Ok(Drained::Complete) => {}
            Ok(Drained::Cut { requests }) => {
                tracing::warn!(requests, "cut requests that were still in flight");
            }
            Err(error) => tracing::error!(%error, "serving ended badly"),
        }
        if tokio::time::timeout(WORKERS_END_WITHIN, self.workers.ended()).await.is_err() {
            tracing::warn!("a worker was still busy and is left behind");
        }
        self.sweeper.abort();
        let storage = self.node.shutdown().await;
        let audit = self.audit.close().await;
        storage.map_err(|fault| StopError::Storage(fault.to_string()))?;
        audit.map_err(|error| StopError::Audit(error.to_string()))
    }
}

impl Parts {
    async fn open(
        settings: &mut Settings,
        node_config: NodeConfig,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        on_fault: OnFault,
    ) -> Result<Parts, AppError> {
        let target = PostgresTarget::new(Arc::clone(&entropy), settings.workers.target_ca_file.as_deref())?;
        let disk = Arc::new(DataDir::beside(&settings.storage.state_file)?);
        let audit = Arc::new(AuditLog::open(settings.audit.clone(), Arc::clone(&clock), settings.node.id)?);
        let node = Arc::new(Node::start(node_config, disk, Arc::clone(&clock), on_fault).await?);
        let kms_metrics = Arc::new(KmsMetrics::default());
        let observer = Arc::clone(&kms_metrics) as Arc<_>;
        let keys = Arc::new(keys::provider_chain(&mut settings.keys, &entropy, observer));
        let consensus = Arc::new(RaftConsensus(Arc::clone(&node)));
        let replica = Arc::new(Replica::new(consensus, node.cluster_clock()));
        let sealing = Arc::new(Sealing::new(Arc::clone(&keys) as Arc<_>, Arc::clone(&entropy)));
        let grants = Arc::new(Grants::default());
        Ok(Parts {
            secrets: Arc::new(Secrets::new(Arc::clone(&replica), Arc::clone(&sealing))),
            metrics: Arc::new(
                Metrics::new(readings::readings(&audit, &keys, &node, &grants)).with_kms(&kms_metrics),
            ),
            request_ids: RequestIds::new(Arc::clone(&entropy)),
            uses: Arc::new(TokenUses::default()),
            grants,
            target: Arc::new(target),
            clock,
            entropy,
            keys,
            audit,
            node,
            replica,
            sealing,
        })
    }

    /// Whether this node is the whole cluster and was not told of others.
    fn is_alone(&self, settings: &Settings) -> bool {
        !settings.node.has_others() && self.node.status().members.len() <= 1
    }

    fn first_work(&self, bootstrap_token: Option<SecretText>, ephemeral_master_key: bool) -> FirstWork {
        FirstWork {
            replica: Arc::clone(&self.replica),
            grants: Arc::clone(&self.grants),
            keys: Arc::clone(&self.keys) as Arc<_>,
            audit: Arc::clone(&self.audit),
            request_ids: self.request_ids.clone(),
            entropy: Arc::clone(&self.entropy),
            bootstrap_token,
            ephemeral_master_key,
        }
    }

    /// Waits until this node can answer, and does what a start has to do then. What key management keeps it from
    /// goes on beside serving.
    async fn prepare(&self, first_work: FirstWork) -> Result<Option<JoinHandle<()>>, AppError> {
        let ready = self.node.wait_ready(READY_WITHIN).await;
        ready.map_err(|error| AppError::NotReady(error.to_string()))?;
        match first_work.done().await {
            Ok(()) => Ok(None),
            Err(fault) if fault.is_about_keys() => Ok(Some(tokio::spawn(first_work.done_in_time()))),
            Err(fault) => Err(AppError::FirstWork(fault)),
        }
    }

    fn run(
        self,
        settings: Settings,
        tls: Option<Arc<ServerConfig>>,
        listener: TcpListener,
        first_work: Option<JoinHandle<()>>,
    ) -> App {
        let stop = CancellationToken::new();
        let address = listener.local_addr().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
        let workers = self.workers(&settings.workers, &stop);
        let sweeper = tokio::spawn(keys::sweep(Arc::clone(&self.keys)));
        let limits = ConnectionLimits::behind(&settings.access.proxies);
        let api = Arc::new(self.api(settings, &stop));
        let serving = serve(listener, tls, router(api), limits, stop.clone());
        App {
            address,
            stop,
            serving: tokio::spawn(serving),
            first_work,
            workers,
            sweeper,
            node: self.node,
            audit: self.audit,
        }
    }

    async fn close(&self) {
        if let Err(fault) = self.node.shutdown().await {
            tracing::error!(%fault, "closing after a failed start");
        }
        if let Err(error) = self.audit.close().await {
            tracing::error!(%error, "closing after a failed start");
        }
    }
}
