//! A running node: consensus over the storage of this crate, and the door to it.

mod barrier;
mod inbox;
mod members;
mod participant;
mod pending;
mod propose;
mod standing;
mod start;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyperion_vault_core::ports::Clock;
use hyperion_vault_core::state::{Command, Outcome};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

pub(crate) use participant::Participant;
pub(crate) use pending::Pending;
pub use standing::Standing;

use crate::cluster::change::MembershipError;
use crate::cluster::status::ClusterStatus;
use crate::config::NodeConfig;
use crate::disk::Disk;
use crate::error::{NotReady, ProposeError, StartError};
use crate::fault::{Fault, OnFault};
use crate::log_store::LogWriter;
use crate::snapshot::SnapshotDir;
use crate::state::{StateMachine, StateView, StateWriter};
use crate::stats::StorageStats;
use crate::status::{Leadership, NodeStatus};
use crate::transport::message::MemberChange;
use crate::types::TypeConfig;

pub(crate) type Raft = openraft::Raft<TypeConfig, StateMachine>;

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
    participant: Arc<Participant>,
    standing: watch::Receiver<Standing>,
    stats: Arc<StorageStats>,
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
    /// Opens the files and resumes from them. Where this node is the only voter it stands for election at once;
    /// empty files of a node without peers become a cluster of one, those of a node with peers wait until the
    /// cluster is formed or lets it in. `clock` is this node's own; `on_fault` learns of the first failure that
    /// this node can't go on after.
    ///
    /// # Errors
    /// [`StartError`]; nothing is acknowledged or served before this returns.
    pub async fn start(
        config: NodeConfig,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        on_fault: OnFault,
    ) -> Result<Node, StartError> {
        start::start(config, disk, clock, on_fault).await
    }

    /// Has a command committed and applied, by way of the leader where that is another node, and once however
    /// often it has to be sent. When this returns, it is durable on a quorum and [`Node::view`] shows it. Dropping
    /// the future doesn't take the command back.
    ///
    /// # Errors
    /// [`ProposeError`], within [`PROPOSE_TIMEOUT`](crate::PROPOSE_TIMEOUT).
    pub async fn propose(&self, command: Command) -> Result<Applied, ProposeError> {
        self.participant.propose(command).await
    }

    /// Makes the next [`Node::view`] linearizable: waits until this node has applied everything that was
    /// acknowledged, by whichever node, before this was called. Answers the index that this is.
    ///
    /// # Errors
    /// [`ProposeError`], within [`PROPOSE_TIMEOUT`](crate::PROPOSE_TIMEOUT) and a little.
    pub async fn barrier(&self) -> Result<u64, ProposeError> {
        let limit = crate::config::PROPOSE_TIMEOUT;
        let reached = async {
            let index = self.participant.rounds.read_index().await?;
            if self.applies(index).await { Ok(index) } else { Err(ProposeError::Halted) }
        };
        timeout(limit, reached).await.unwrap_or(Err(ProposeError::NoQuorum))
    }

    /// Waits until this node has applied the entry at `index`.
    ///
    /// # Errors
    /// [`NotReady`] after `limit`, or at once when the node has halted.
    pub async fn wait_applied(&self, index: u64, limit: Duration) -> Result<(), NotReady> {
        match timeout(limit, self.applies(index)).await {
            Ok(true) => Ok(()),
            _ => Err(NotReady { waited: limit }),
        }
    }

    /// Waits until this node has applied the entry at `index`; `false` when it never will.
    async fn applies(&self, index: u64) -> bool {
        let mut applied = self.participant.state.applied();
        applied.wait_for(|applied| *applied >= Some(index)).await.is_ok()
    }

    /// Index of the last entry that views show; 0 before the first.
    #[must_use]
    pub fn applied_index(&self) -> u64 {
        self.view().applied_index().unwrap_or(0)
    }

    /// The state as it is now on this node: costs no disk access and opens no transaction.
    #[must_use]
    pub fn view(&self) -> Arc<StateView> {
        self.participant.state.view()
    }

    /// The time of the cluster: the median of its members' clocks.
    #[must_use]
    pub fn cluster_clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.participant.clock) as Arc<dyn Clock>
    }

    /// Where this node stands.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        let participant = &self.participant;
        NodeStatus::gather(&participant.raft, &participant.state, participant.latch.first())
    }

    /// All members as this node sees them.
    #[must_use]
    pub fn cluster(&self) -> ClusterStatus {
        self.participant.cluster_status()
    }

    /// Changes the members, by way of the leader.
    ///
    /// # Errors
    /// [`MembershipError`].
    pub async fn change_members(&self, change: MemberChange) -> Result<(), MembershipError> {
        self.participant.change_members(change).await
    }

    /// Gives the leadership away, if this node has it, and waits until another leads; for a planned stop.
    pub async fn hand_over(&self, within: Duration) {
        self.participant.hand_over(within).await;
    }

    /// Whether this node leads, as far as it knows.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.participant.is_leader()
    }

    /// Who leads; changes as soon as this node learns of it. For work that only the leader may do.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.participant.leadership()
    }

    /// Whether this node has a state to answer from, and why not.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Whether a leader is known and this node has caught up with it since it was started.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let leader_known = self.participant.leadership.borrow().leader.is_some();
        self.participant.takes_part() && leader_known && *self.standing.borrow() == Standing::Ready
    }

    /// Waits until [`Node::is_ready`], so that a restart never serves an older state than was served before it.
    ///
    /// # Errors
    /// [`NotReady`] after `limit`, or at once when the node has halted.
    pub async fn wait_ready(&self, limit: Duration) -> Result<(), NotReady> {
        let (mut standing, mut leadership) = (self.standing.clone(), self.leadership());
        let ready = async {
            let caught_up = standing.wait_for(|standing| *standing == Standing::Ready).await.is_ok();
            caught_up && leadership.wait_for(|leadership| leadership.leader.is_some()).await.is_ok()
        };
        match timeout(limit, ready).await {
            Ok(true) if self.participant.takes_part() => Ok(()),
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
        self.participant.raft.trigger().snapshot().await.map_err(|_| ProposeError::Halted)
    }

    /// Stops, makes everything durable and closes the files. Proposals still under way are answered
    /// [`ProposeError::Halted`] or not at all. A second call does nothing.
    ///
    /// # Errors
    /// The fault that a file met, now or before.
    pub async fn shutdown(&self) -> Result<(), Fault> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut running) = running else { return Ok(()) };
        running.guard.abort();
        if self.participant.raft.shutdown().await.is_err() {
            tracing::warn!("consensus ended by a panic");
        }
        running.tasks.shutdown().await;
        running.snapshots.stop().await;
        let state = running.state.stop().await;
        let log = running.log.stop().await;
        match self.participant.latch.first() {
            Some(first) => Err(first.clone()),
            None => state.and(log),
        }
    }
}
