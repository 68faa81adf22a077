//! Runs the workers: each when it is due, where it is to run, until the node stops.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::replica::Replica;

/// The leader's workers look this often who leads, and whether something was changed by way of another node.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Shortest time between two rounds, so that many changes make one round and what can't be done doesn't spin.
const ROUND_PAUSE: Duration = Duration::from_millis(20);

/// Pause after a round that panicked.
const PANIC_PAUSE: Duration = Duration::from_secs(10);

/// Which nodes do a work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The leader, for all. Its work is on the replicated state and comes up when that changes.
    Leader,
    /// Each node for itself, at its own pace.
    EveryNode,
}

/// One worker's work.
#[async_trait]
pub trait Job: Send + Sync + 'static {
    /// For the log.
    fn name(&self) -> &'static str;

    fn place(&self) -> Place;

    /// Does what is due and says how long nothing will be, as far as is known.
    async fn round(&self) -> Duration;
}

/// Runs jobs.
pub struct Supervisor {
    replica: Arc<Replica>,
    /// Longest time between two rounds.
    sleep_max: Duration,
    stop: CancellationToken,
    running: JoinSet<()>,
}

impl Supervisor {
    #[must_use]
    pub fn new(replica: Arc<Replica>, sleep_max: Duration, stop: CancellationToken) -> Supervisor {
        Supervisor { replica, sleep_max, stop, running: JoinSet::new() }
    }

    /// Runs the job until the supervisor's token is cancelled; a round that has begun is finished.
    pub fn run(&mut self, job: impl Job) {
        let mut pace = Pace {
            replica: Arc::clone(&self.replica),
            schedule_changes: self.replica.schedule_changes(),
            place: job.place(),
        };
        let (stop, sleep_max) = (self.stop.clone(), self.sleep_max);
        self.running.spawn(async move {
            while !stop.is_cancelled() {
                pace.until_its_turn(&stop).await;
                let seen = pace.replica.applied_index();
                if stop.is_cancelled() {
                    break;
                }
                let pause = round(&job).await.min(sleep_max);
                tokio::time::sleep(ROUND_PAUSE).await;
                stop.run_until_cancelled(pace.until_due(pause, seen)).await;
            }
            tracing::debug!(worker = job.name(), "stopped");
        });
    }

    /// Waits until all jobs have ended.
    pub async fn ended(mut self) {
        while self.running.join_next().await.is_some() {}
    }
}

/// When a job's next round is.
struct Pace {
    replica: Arc<Replica>,
    schedule_changes: watch::Receiver<u64>,
    place: Place,
}

impl Pace {
    /// A job that is not this node's looks again and again whether it has become so.
    async fn until_its_turn(&self, stop: &CancellationToken) {
        while self.place == Place::Leader && !self.replica.is_leader() && !stop.is_cancelled() {
            stop.run_until_cancelled(tokio::time::sleep(LOOK_INTERVAL)).await;
        }
    }

    /// Until the pause is over, or something may have become due earlier: changed on this node, which is told at
    /// once, or by way of another, which shows in how far the state has come since `seen`.
    async fn until_due(&mut self, pause: Duration, seen: u64) {
        let due_at = Instant::now() + pause;
        if self.place == Place::EveryNode {
            return tokio::time::sleep_until(due_at).await;
        }
        while Instant::now() < due_at && self.replica.is_leader() {
            tokio::select! {
                _ = self.schedule_changes.changed() => return,
                () = tokio::time::sleep_until(due_at.min(Instant::now() + LOOK_INTERVAL)) => {}
            }
            if self.replica.applied_index() != seen {
                return;
            }
        }
    }
}

/// One round of a job. A defect in it must not end the worker, and with it rotation or expiry, for good.
async fn round(job: &impl Job) -> Duration {
    let done = AssertUnwindSafe(job.round()).catch_unwind().await;
    done.unwrap_or_else(|_| {
        tracing::error!(worker = job.name(), "a round panicked");
        PANIC_PAUSE
    })
}
