//! openraft's own suite, over the real log and the real state.

use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::{LogStore, LogWriter, PurgeGate};
use crate::config::NodeConfig;
use crate::disk::DataDir;
use crate::fault::{Fault, FaultLatch};
use crate::node::Pending;
use crate::state::{CheckpointPolicy, StateMachine, StateWriter};
use crate::stats::StorageStats;
use crate::storage::Storage;
use crate::types::TypeConfig;

/// The suite purges logs of which nothing was applied.
struct Unguarded;

impl PurgeGate for Unguarded {
    async fn admits(&self, _index: u64) -> Result<bool, Fault> {
        Ok(true)
    }

    fn applied(&self) -> Option<u64> {
        None
    }
}

struct OnDisk;

type Guard = (TempDir, LogWriter, StateWriter);

impl StoreBuilder<TypeConfig, LogStore<Unguarded>, StateMachine, Guard> for OnDisk {
    async fn build(&self) -> Result<(Guard, LogStore<Unguarded>, StateMachine), StorageError<TypeConfig>> {
        let directory = tempfile::tempdir().unwrap();
        let disk = DataDir::open(directory.path()).unwrap();
        let stats = Arc::new(StorageStats::default());
        let storage = Storage::open(&disk, &NodeConfig::new(1, [7; 40]), &stats).unwrap();
        let latch = FaultLatch::new(Arc::new(|fault| panic!("{fault}")));
        let policy = CheckpointPolicy { page_bytes_max: 1 };
        let (state, state_writer) = StateWriter::start(storage.state, policy, Arc::clone(&latch)).unwrap();
        let (log, log_writer) = LogStore::start(
            storage.log,
            storage.recovered,
            Unguarded,
            Arc::clone(&stats),
            Arc::clone(&latch),
        )
        .unwrap();
        let machine = StateMachine::new(state, storage.snapshots, stats, latch, Pending::new(1, 1));
        Ok(((directory, log_writer, state_writer), log, machine))
    }
}

#[tokio::test]
async fn the_storage_passes_the_suite_of_openraft() {
    Suite::test_all(OnDisk).await.unwrap();
}
