//! Runs the workers: each when it is due, on the leader only, until the node stops.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::replica::Replica;

/// A worker that is not the leader's looks this often whether it has become so.
const LEADERSHIP_POLL: Duration = Duration::from_millis(250);
/// Shortest time between two rounds, so that many changes make one round and what can't be done doesn't spin.
const ROUND_PAUSE: Duration = Duration::from_millis(20);

/// Pause after a round that panicked.
const PANIC_PAUSE: Duration = Duration::from_secs(10);

/// One worker's work.
#[async_trait]
pub trait Job: Send + Sync + 'static {
    /// For the log.
    fn name(&self) -> &'static str;

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
        let (replica, stop, sleep_max) = (Arc::clone(&self.replica), self.stop.clone(), self.sleep_max);
        let mut schedule_changes = self.replica.schedule_changes();
        self.running.spawn(async move {
            while !stop.is_cancelled() {
                let pause =
                    if replica.is_leader() { round(&job).await.min(sleep_max) } else { LEADERSHIP_POLL };
                tokio::time::sleep(ROUND_PAUSE).await;
                tokio::select! {
                    () = stop.cancelled() => {}
                    _ = schedule_changes.changed() => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
            tracing::debug!(worker = job.name(), "stopped");
        });
    }

    /// Waits until all jobs have ended.
    pub async fn ended(mut self) {
        while self.running.join_next().await.is_some() {}
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
