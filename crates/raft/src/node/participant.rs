//! What the door of a node and the inbox for its peers share: consensus, the state, and the way to the others.

use std::sync::Arc;

use tokio::sync::watch;

use super::Raft;
use super::barrier::Rounds;
use super::pending::Pending;
use crate::cluster::clock::ClusterClock;
use crate::cluster::identity::Boot;
use crate::cluster::roster::Roster;
use crate::fault::FaultLatch;
use crate::log_store::LineageStore;
use crate::room::DiskRoom;
use crate::snapshot::SnapshotDir;
use crate::state::StateHandle;
use crate::status::Leadership;

/// This node as it takes part in its cluster.
pub(crate) struct Participant {
    pub(crate) boot: Boot,
    pub(crate) feature_level: u32,
    pub(crate) raft: Raft,
    pub(crate) state: StateHandle,
    pub(crate) snapshots: Arc<SnapshotDir>,
    pub(crate) lineage: LineageStore,
    pub(crate) roster: Arc<Roster>,
    pub(crate) clock: Arc<ClusterClock>,
    pub(crate) room: Arc<DiskRoom>,
    pub(crate) latch: Arc<FaultLatch>,
    pub(crate) pending: Arc<Pending>,
    pub(crate) rounds: Rounds,
    pub(crate) leadership: watch::Receiver<Leadership>,
}

impl Participant {
    pub(crate) fn node_id(&self) -> u64 {
        *self.raft.node_id()
    }

    pub(crate) fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Whether consensus still runs. What was last known of the leadership outlives it.
    pub(crate) fn takes_part(&self) -> bool {
        self.latch.first().is_none() && self.leadership.has_changed().is_ok()
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.takes_part() && self.leadership.borrow().is_here()
    }
}
