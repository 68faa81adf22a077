//! The time of the cluster: the median of its members' clocks.
//!
//! One member whose clock is wrong, the leader or not, moves it no further than to the next member's clock. Of
//! each member this node keeps how far its wall clock stands from this node's monotonic one, so that between two
//! answers, and while nobody answers, the time goes on at the pace of this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyperion_vault_core::ports::Clock;
use hyperion_vault_core::time::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use super::quorum::has_quorum;
use crate::types::{Membership, StoredMembership};

/// What was learned of a member's clock counts for so long. Two quartz clocks part by 0.4 seconds in it (100 ppm).
const CLOCK_SAMPLE_LIFE: Duration = Duration::from_secs(3_600);

/// The clock of this node's cluster. Tells this node's own wall time where it is the only member.
pub(crate) struct ClusterClock {
    node_id: u64,
    wall: Arc<dyn Clock>,
    begun: Instant,
    known: Mutex<Known>,
    heard: watch::Sender<bool>,
}

/// What is known of the members' clocks.
#[derive(Default)]
struct Known {
    membership: Membership,
    /// The last sample of each node that ever answered, member or not.
    samples: BTreeMap<u64, Sample>,
}

/// What one answer says of a clock.
#[derive(Clone, Copy)]
struct Sample {
    /// From this node's monotonic clock to the member's wall clock.
    offset_ms: i64,
    taken: Instant,
}

impl ClusterClock {
    /// `wall`: this node's own clock.
    pub(crate) fn new(node_id: u64, wall: Arc<dyn Clock>) -> ClusterClock {
        ClusterClock {
            node_id,
            wall,
            begun: Instant::now(),
            known: Mutex::default(),
            heard: watch::Sender::new(false),
        }
    }

    /// This node's own wall clock.
    pub(crate) fn own(&self) -> Timestamp {
        self.wall.now()
    }

    /// Takes in what a member's clock showed in answer to a question: at the middle of the time that the answer
    /// took, give or take half of that time.
    pub(crate) fn heard(&self, peer: u64, showed: Timestamp, asked: Instant, answered: Instant) {
        let half_way = asked + answered.saturating_duration_since(asked) / 2;
        let offset_ms = signed(showed.as_unix_ms()).saturating_sub(self.monotonic_ms(half_way));
        self.known().samples.insert(peer, Sample { offset_ms, taken: answered });
        self.look();
    }

    pub(crate) fn set_membership(&self, membership: &StoredMembership) {
        self.known().membership = membership.membership().clone();
        self.look();
    }

    /// Whether this node knows the clocks of a majority of the voters. Before, the median may be of one clock.
    pub(crate) fn heard_majority(&self) -> bool {
        self.look()
    }

    /// Waits until [`ClusterClock::heard_majority`].
    pub(crate) async fn wait_heard(&self) {
        let mut heard = self.heard.subscribe();
        while !self.heard_majority() {
            // The sender lives as long as this clock.
            let _ = heard.changed().await;
        }
    }

    /// How far a member's clock is ahead of the cluster's, in milliseconds; this node's own by its own id. Absent
    /// for a member whose clock isn't known.
    pub(crate) fn skew_ms(&self, member: u64) -> Option<i64> {
        let now = Instant::now();
        let offsets = self.offsets(now);
        let median = lower_median(offsets.values().copied())?;
        offsets.get(&member).map(|offset| offset.saturating_sub(median))
    }

    /// Each known member's clock against this node's monotonic one.
    fn offsets(&self, now: Instant) -> BTreeMap<u64, i64> {
        let known = self.known();
        let member = |id: &u64| known.membership.get_node(id).is_some();
        let others = known.samples.iter().filter(|(id, sample)| member(id) && sample.counts_at(now));
        let mut offsets: BTreeMap<u64, i64> = others.map(|(id, sample)| (*id, sample.offset_ms)).collect();
        let own = signed(self.wall.now().as_unix_ms()).saturating_sub(self.monotonic_ms(now));
        offsets.insert(self.node_id, own);
        offsets
    }

    fn look(&self) -> bool {
        let heard: BTreeSet<u64> = self.offsets(Instant::now()).into_keys().collect();
        let majority = has_quorum(&self.known().membership, &heard);
        self.heard.send_if_modified(|known| std::mem::replace(known, majority) != majority);
        majority
    }

    fn monotonic_ms(&self, at: Instant) -> i64 {
        i64::try_from(at.saturating_duration_since(self.begun).as_millis()).unwrap_or(i64::MAX)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ClusterClock {
    fn now(&self) -> Timestamp {
        let now = Instant::now();
        let median = lower_median(self.offsets(now).into_values()).unwrap_or(0);
        let unix_ms = self.monotonic_ms(now).saturating_add(median);
        Timestamp::from_unix_ms(u64::try_from(unix_ms).unwrap_or(0))
    }
}

impl Sample {
    fn counts_at(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.taken) < CLOCK_SAMPLE_LIFE
    }
}

/// The middle of the values; the lower of the two middles, so that of two clocks nothing expires early.
fn lower_median(values: impl Iterator<Item = i64>) -> Option<i64> {
    let mut values: Vec<i64> = values.collect();
    values.sort_unstable();
    values.get(values.len().checked_sub(1)? / 2).copied()
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;
