//! How much may still be proposed before the disk is full.
//!
//! A write that finds no space ends the node, and so does each start after it: reads would be gone with the writes.
//! So proposals end earlier, and a reserve is left for what is under way, for checkpoints and for a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::disk::Disk;
use crate::state::CheckpointPolicy;
use crate::stats::StorageStats;

/// Left free beside the pages that wait for a checkpoint: the proposals that were taken but not yet written, the
/// pages around them, and the terms of a few restarts.
const DISK_RESERVE_BYTES: u64 = 32 * 1024 * 1024;
/// The disk is looked at this often.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// What a proposal takes on disk for each of its bytes until the next look: it is written to the log and to the
/// state, and to each with as much again around it.
const DISK_BYTES_PER_BYTE: u64 = 4;

/// What the disk takes beyond the reserve; counted down between two looks, so that no burst outruns them.
pub(crate) struct DiskRoom {
    stats: Arc<StorageStats>,
    policy: CheckpointPolicy,
    left_bytes: AtomicU64,
    was_full: AtomicBool,
}

impl DiskRoom {
    pub(crate) fn new(stats: Arc<StorageStats>, policy: CheckpointPolicy) -> DiskRoom {
        let (left_bytes, was_full) = (AtomicU64::new(0), AtomicBool::new(false));
        DiskRoom { stats, policy, left_bytes, was_full }
    }

    /// Takes room for a proposal of this many bytes; `false` when there is none.
    pub(crate) fn take(&self, proposal_bytes: usize) -> bool {
        let needed = (proposal_bytes as u64).saturating_mul(DISK_BYTES_PER_BYTE);
        let left = |left: u64| left.checked_sub(needed);
        self.left_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok()
    }

    /// Looks at the disk. One that can't tell has room: writing will tell.
    pub(crate) fn look(&self, disk: &dyn Disk) {
        let free = disk.free_bytes().unwrap_or(u64::MAX);
        let state_bytes = self.stats.state_file_bytes.get();
        let reserve = DISK_RESERVE_BYTES.saturating_add(self.policy.unsynced_bytes_max(state_bytes));
        self.left_bytes.store(free.saturating_sub(reserve), Ordering::Relaxed);
        self.note(free, reserve);
    }

    /// Looks again and again. The disk belongs to this future alone, so that ending it lets go of the files.
    pub(crate) async fn keep_looking(self: Arc<Self>, disk: Arc<dyn Disk>) {
        let mut ticks = interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look(&*disk);
        }
    }

    fn note(&self, free_bytes: u64, reserve_bytes: u64) {
        let full = free_bytes <= reserve_bytes;
        match (self.was_full.swap(full, Ordering::Relaxed), full) {
            (false, true) => {
                tracing::error!(free_bytes, reserve_bytes, "the disk is nearly full: changes are refused");
            }
            (true, false) => tracing::info!(free_bytes, "the disk has room again: changes are taken"),
            _ => {}
        }
    }
}
