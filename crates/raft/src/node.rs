//! A running node: consensus over the storage of this crate, and the door to it.

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyperion_vault_core::ports::Clock;
use hyperion_vault_core::state::{Command, Outcome, Proposal};
use openraft::errors::{ClientWriteError, RaftError};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, sleep, timeout};

use crate::cluster::identity::Boot;
use crate::cluster::member::MemberNode;
use crate::config::{NodeConfig, PROPOSAL_BYTES_MAX, PROPOSE_TIMEOUT};
use crate::disk::Disk;
use crate::error::{NotReady, ProposeError, StartError};
use crate::fault::{Fault, FaultLatch, OnFault};
use crate::log_store::{LogStore, LogWriter};
use crate::room::DiskRoom;
use crate::snapshot::SnapshotDir;
use crate::state::{CheckpointPolicy, StateHandle, StateMachine, StateView, StateWriter};
use crate::stats::StorageStats;
use crate::status::{Leadership, NodeStatus, end_of_consensus, follow_leadership};
use crate::storage::Storage;
use crate::transport::NoPeers;
use crate::types::{EncodedProposal, TypeConfig};

pub(crate) type Raft = openraft::Raft<TypeConfig, StateMachine>;

/// Between two tries of a proposal that consensus sent away though this node seemed to lead.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// A command that was committed by a quorum and applied on this node.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Its place in the log.
    pub log_index: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// One member of the cluster, running in this process.
pub struct Node {
    raft: Raft,
    state: StateHandle,
    clock: Arc<dyn Clock>,
    leadership: watch::Receiver<Leadership>,
    recovered: watch::Receiver<bool>,
    room: Arc<DiskRoom>,
    stats: Arc<StorageStats>,
    latch: Arc<FaultLatch>,
    running: Mutex<Option<Running>>,
}

/// What a shutdown ends.
struct Running {
    tasks: JoinSet<()>,
    /// Calls the end of consensus a fault.
    guard: AbortHandle,
    snapshots: Arc<SnapshotDir>,
    log: LogWriter,
    state: StateWriter,
    /// Held, and with it the lock on the data directory, until the files are closed.
    _disk: Arc<dyn Disk>,
}

impl Node {
    /// Opens the files, resumes from them, and stands for election at once where this node is the only voter.
    /// Empty files become a cluster of one voter. `on_fault` learns of the first failure that this node can't go
    /// on after.
    ///
    /// # Errors
    /// [`StartError`]; nothing is acknowledged or served before this returns.
    pub async fn start(
        config: NodeConfig,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        on_fault: OnFault,
    ) -> Result<Node, StartError> {
        let consensus = Arc::new(config.consensus()?);
        let stats = Arc::new(StorageStats::default());
        let latch = FaultLatch::new(on_fault);
        let storage = open_storage(&config, Arc::clone(&disk), &stats).await?;

        let policy = CheckpointPolicy { page_bytes_max: config.checkpoint_bytes_max };
        let room = Arc::new(DiskRoom::new(Arc::clone(&stats), policy));
        room.look(&*disk);
        let no_thread = |error: std::io::Error| StartError::Raft(error.to_string());
        let (state, state_writer) =
            StateWriter::start(storage.state, policy, Arc::clone(&latch)).map_err(no_thread)?;
        let (log, log_writer) = LogStore::start(
            storage.log,
            storage.recovered,
            state.clone(),
            Arc::clone(&stats),
            Arc::clone(&latch),
        )
        .map_err(no_thread)?;
        let machine = StateMachine::new(
            state.clone(),
            Arc::clone(&storage.snapshots),
            Arc::clone(&stats),
            Arc::clone(&latch),
        );
        let raft = openraft::Raft::new(config.node_id, consensus, NoPeers, log, machine)
            .await
            .map_err(|error| not_resumed(&latch, &error))?;
        form_or_resume(&raft, &config, storage.boot).await.map_err(|error| not_resumed(&latch, &*error))?;

        let mut tasks = JoinSet::new();
        let leadership = follow_leadership(&raft, &mut tasks);
        let recovered = watch_recovery(&raft, &mut tasks);
        tasks.spawn(checkpoint_at_intervals(state.clone(), config.checkpoint_interval));
        tasks.spawn(Arc::clone(&room).keep_looking(Arc::clone(&disk)));
        let guard = tasks.spawn(guard_consensus(raft.clone(), Arc::clone(&latch)));
        let running = Mutex::new(Some(Running {
            tasks,
            guard,
            snapshots: storage.snapshots,
            log: log_writer,
            state: state_writer,
            _disk: disk,
        }));
        Ok(Node { raft, state, clock, leadership, recovered, room, stats, latch, running })
    }

    /// Has a command committed and applied. When this returns, it is durable on a quorum and [`Node::view`] shows
    /// it. Dropping the future doesn't take the command back.
    ///
    /// # Errors
    /// [`ProposeError`], within [`PROPOSE_TIMEOUT`].
    pub async fn propose(&self, command: Command) -> Result<Applied, ProposeError> {
        let mut submitted = false;
        match timeout(PROPOSE_TIMEOUT, self.submit(command, &mut submitted)).await {
            Ok(result) => result,
            Err(_) if self.latch.first().is_some() => Err(ProposeError::Halted),
            Err(_) if submitted => Err(ProposeError::NoQuorum),
            Err(_) => Err(ProposeError::NoLeader),
        }
    }

    async fn submit(&self, command: Command, submitted: &mut bool) -> Result<Applied, ProposeError> {
        let mut leadership = self.leadership.clone();
        let mut proposal = Proposal { stamp: self.clock.now(), command, origin: None };
        loop {
            leadership.wait_for(Leadership::is_here).await.map_err(|_| ProposeError::Halted)?;
            proposal.stamp = self.clock.now();
            let encoded = proposal.encode();
            if encoded.len() > PROPOSAL_BYTES_MAX {
                return Err(ProposeError::TooLarge { bytes: encoded.len() });
            }
            if !self.room.take(encoded.len()) {
                return Err(ProposeError::DiskFull);
            }
            *submitted = true;
            match self.raft.client_write(EncodedProposal(encoded.into())).await {
                Ok(written) => {
                    // A proposal always has an outcome; without one, the machine isn't ours.
                    let outcome = written.data.0.ok_or(ProposeError::Halted)?;
                    return Ok(Applied { log_index: written.log_id.index, outcome });
                }
                // Refused before it was appended: this node doesn't lead, or not yet.
                Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => *submitted = false,
                Err(RaftError::APIError(_)) => return Err(ProposeError::NoQuorum),
                Err(RaftError::Fatal(_)) => return Err(ProposeError::Halted),
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    /// The state as it is now on this node: costs no disk access and opens no transaction.
    #[must_use]
    pub fn view(&self) -> Arc<StateView> {
        self.state.view()
    }

    /// Where this node stands.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        NodeStatus::gather(&self.raft, &self.state, self.latch.first())
    }

    /// Whether this node leads, as far as it knows.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.takes_part() && self.leadership.borrow().is_here()
    }

    /// Who leads; changes as soon as this node learns of it. For work that only the leader may do.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Whether a leader is known and everything that was committed before the start is applied.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.takes_part() && *self.recovered.borrow() && self.leadership.borrow().leader.is_some()
    }

    /// Whether consensus still runs. What was last known of the leadership outlives it.
    fn takes_part(&self) -> bool {
        self.latch.first().is_none() && self.leadership.has_changed().is_ok()
    }

    /// Waits until [`Node::is_ready`], so that a restart never serves an older state than was served before it.
    ///
    /// # Errors
    /// [`NotReady`] after `limit`, or at once when the node has halted.
    pub async fn wait_ready(&self, limit: Duration) -> Result<(), NotReady> {
        let (mut recovered, mut leadership) = (self.recovered.clone(), self.leadership.clone());
        let ready = async {
            let applied = recovered.wait_for(|recovered| *recovered).await.is_ok();
            applied && leadership.wait_for(|leadership| leadership.leader.is_some()).await.is_ok()
        };
        match timeout(limit, ready).await {
            Ok(true) if self.takes_part() => Ok(()),
            _ => Err(NotReady { waited: limit }),
        }
    }

    /// What the storage did so far.
    #[must_use]
    pub fn stats(&self) -> &StorageStats {
        &self.stats
    }

    /// Takes a snapshot now, whatever the policy; returns before it is finished.
    ///
    /// # Errors
    /// [`ProposeError::Halted`].
    pub async fn request_snapshot(&self) -> Result<(), ProposeError> {
        self.raft.trigger().snapshot().await.map_err(|_| ProposeError::Halted)
    }

    /// Stops, makes everything durable and closes the files. Proposals still under way are answered
    /// [`ProposeError::Halted`]. A second call does nothing.
    ///
    /// # Errors
    /// The fault that a file met, now or before.
    pub async fn shutdown(&self) -> Result<(), Fault> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut running) = running else { return Ok(()) };
        running.guard.abort();
        if self.raft.shutdown().await.is_err() {
            tracing::warn!("consensus ended by a panic");
        }
        running.tasks.shutdown().await;
        running.snapshots.stop().await;
        let state = running.state.stop().await;
        let log = running.log.stop().await;
        match self.latch.first() {
            Some(first) => Err(first.clone()),
            None => state.and(log),
        }
    }
}

async fn open_storage(
    config: &NodeConfig,
    disk: Arc<dyn Disk>,
    stats: &Arc<StorageStats>,
) -> Result<Storage, StartError> {
    let (config, stats) = (config.clone(), Arc::clone(stats));
    tokio::task::spawn_blocking(move || Storage::open(&*disk, &config, &stats))
        .await
        .map_err(|error| StartError::Raft(error.to_string()))?
}

fn not_resumed(latch: &FaultLatch, error: &dyn std::error::Error) -> StartError {
    match latch.first() {
        Some(fault) => StartError::Fault(fault.clone()),
        None => StartError::Raft(error.to_string()),
    }
}

/// Forms a cluster of one where there is none. Where this node is the only voter there is nobody to wait for, so
/// it stands for election at once instead of after the election timeout.
async fn form_or_resume(
    raft: &Raft,
    config: &NodeConfig,
    boot: Boot,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if !raft.is_initialized().await? {
        let node = MemberNode { address: config.address.clone(), boot: Some(boot), votes: true };
        raft.initialize(BTreeMap::from([(config.node_id, node)])).await?;
    } else if raft.voter_ids().eq([config.node_id]) {
        raft.trigger().elect(false).await?;
    }
    Ok(())
}

/// Consensus that ends by itself takes the node with it: nobody else would see it.
async fn guard_consensus(raft: Raft, latch: Arc<FaultLatch>) {
    let reason = end_of_consensus(&raft).await;
    latch.raise(Fault::Consensus(reason));
}

fn watch_recovery(raft: &Raft, tasks: &mut JoinSet<()>) -> watch::Receiver<bool> {
    let (recovered, seen) = watch::channel(false);
    let raft = raft.clone();
    tasks.spawn(async move {
        if raft.wait_for_recovery(None).await.is_ok() {
            recovered.send_replace(true);
            // Kept open: a closed channel would read as a node that has halted.
            recovered.closed().await;
        }
    });
    seen
}

async fn checkpoint_at_intervals(state: StateHandle, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if state.checkpoint().await.is_err() {
            return;
        }
    }
}
