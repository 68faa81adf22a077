//! Opens a node's two files together, and refuses any pair that wasn't made by this node.

use std::sync::Arc;

use crate::cluster::identity::Boot;
use crate::config::NodeConfig;
use crate::disk::Disk;
use crate::disk::header::Identity;
use crate::error::StartError;
use crate::log_store::{LogFile, Recovered};
use crate::snapshot::SnapshotDir;
use crate::state::StateFile;
use crate::stats::StorageStats;

/// The files of a node, open.
pub(crate) struct Storage {
    /// Who this start is.
    pub(crate) boot: Boot,
    pub(crate) log: LogFile,
    pub(crate) recovered: Recovered,
    pub(crate) state: StateFile,
    pub(crate) snapshots: Arc<SnapshotDir>,
}

impl Storage {
    /// Blocks. Makes what isn't there; the log comes first, so that a state without a log always means a lost one.
    pub(crate) fn open(
        disk: &dyn Disk,
        config: &NodeConfig,
        stats: &Arc<StorageStats>,
    ) -> Result<Storage, StartError> {
        let (log, log_identity) = LogFile::open(disk, stats)?;
        let (state, state_identity) = StateFile::open(disk, config.state_cache_bytes, stats)?;
        let identity = match (log_identity, state_identity) {
            (None, Some(_)) => return Err(StartError::LogLost),
            (Some(log), Some(state)) if log != state => return Err(StartError::Mixed),
            (Some(log), _) => log,
            (None, None) => Identity { node_id: config.node_id, disk_id: config.draws.disk_id },
        };
        if identity.node_id != config.node_id {
            return Err(StartError::OtherNode { found: identity.node_id, configured: config.node_id });
        }
        if log_identity.is_none() {
            log.initialise(&identity)?;
        }
        if state_identity.is_none() {
            state.initialise(&identity)?;
        }
        let snapshots = SnapshotDir::open(disk.snapshots())
            .map_err(|source| StartError::DataDir { path: disk.snapshots().to_owned(), source })?;
        let count = log.count_start()?;
        Ok(Storage {
            boot: Boot { disk_id: identity.disk_id, count, nonce: config.draws.boot_nonce },
            recovered: log.recover()?,
            log,
            state: state.recover()?,
            snapshots: Arc::new(snapshots),
        })
    }
}
