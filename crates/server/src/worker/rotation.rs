//! Rotates automatic secrets when they are due.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::policy::permit_scheduled_rotation;
use hyperion_vault_core::state::table::rotation_due::{self, RotationDue};
use hyperion_vault_core::time::{Seconds, Timestamp};
use tokio_util::sync::CancellationToken;

use super::supervisor::{Job, Place};
use crate::audit::{Action, AuditLog, Outcome};
use crate::failure::Failure;
use crate::replica::Replica;
use crate::request_id::RequestIds;
use crate::secrets::Secrets;
use crate::telemetry::Metrics;
use crate::trail::{End, Trail};

/// Entries of the index that are read at once.
const PAGE_SECRETS: usize = 256;
/// Failing secrets that are remembered; more are tried in every round.
const FAILING_MAX: usize = 65_536;
/// Rotations under way at once: enough to share syncs, too few to be felt by requests.
const ROTATIONS_AT_ONCE: usize = 8;
/// First pause after a failed rotation; it doubles with each further one.
const BACKOFF_FIRST: Seconds = Seconds::new(1);
/// Longest pause after failed rotations.
const BACKOFF_MAX: Seconds = Seconds::new(300);
/// Pause when there is nothing to rotate at all; the supervisor's is shorter.
const NOTHING_DUE: Duration = Duration::from_secs(3_600);

/// Scheduled rotation.
pub struct Rotation {
    pub replica: Arc<Replica>,
    pub secrets: Arc<Secrets>,
    pub audit: Arc<AuditLog>,
    pub metrics: Arc<Metrics>,
    pub request_ids: RequestIds,
    pub backoff: Backoff,
    pub stop: CancellationToken,
}

#[async_trait]
impl Job for Rotation {
    fn name(&self) -> &'static str {
        "rotation"
    }

    fn place(&self) -> Place {
        Place::Leader
    }

    async fn round(&self) -> Duration {
        match self.rotate_due().await {
            Ok(pause) => pause,
            Err(failure) => {
                tracing::error!(detail = failure.detail(), "rotation: {failure}");
                NOTHING_DUE
            }
        }
    }
}

impl Rotation {
    /// Tries all that is due, the first due first, and says how long nothing will be. What fails keeps its
    /// place in the index and is passed over, so that it holds up nothing behind it.
    async fn rotate_due(&self) -> Result<Duration, Failure> {
        let now = self.replica.now(&self.replica.view())?;
        let mut next: Option<Timestamp> = None;
        let mut last = None;
        loop {
            let page = rotation_due::page(&*self.replica.view(), last.as_ref(), PAGE_SECRETS)?;
            let tried_at = |entry: &RotationDue| entry.at.max(self.backoff.not_before(&entry.name));
            let later = page.iter().map(tried_at).filter(|at| *at > now).min();
            next = [next, later].into_iter().flatten().min();
            let due_now = page.iter().filter(|entry| tried_at(entry) <= now);
            stream::iter(due_now)
                .for_each_concurrent(ROTATIONS_AT_ONCE, |entry| self.rotate_unless_stopping(entry, now))
                .await;
            let more = page.len() == PAGE_SECRETS && self.goes_on();
            last = page.into_iter().next_back().filter(|last| more && last.at <= now);
            if last.is_none() {
                return Ok(next.map_or(NOTHING_DUE, |at| Duration::from_millis(at.ms_since(now))));
            }
        }
    }

    async fn rotate_unless_stopping(&self, due: &RotationDue, now: Timestamp) {
        if self.goes_on() {
            self.rotate(due, now).await;
        }
    }

    fn goes_on(&self) -> bool {
        self.replica.is_leader() && !self.stop.is_cancelled()
    }

    async fn rotate(&self, due: &RotationDue, now: Timestamp) {
        let mut trail = Trail::of_worker(
            Arc::clone(&self.audit),
            self.request_ids.next(),
            "rotation",
            Action::SecretRotate,
        );
        trail.about(due.name.as_str());
        let done = self.secrets.rotate_due(permit_scheduled_rotation(&due.name), due.at, &mut trail).await;
        self.metrics.rotation(done.is_ok());
        let Err(failure) = done else { return self.backoff.succeeded(&due.name) };
        tracing::error!(secret = %due.name, detail = failure.detail(), "scheduled rotation failed: {failure}");
        self.backoff.failed(&due.name, now);
        let outcome = if failure.is_unavailability() { Outcome::Unavailable } else { Outcome::Error };
        if let Err(error) = trail.finish(End { status: None, outcome }).await {
            tracing::error!("rotation: {error}");
        }
    }
}

/// Keeps what fails from being tried again at once.
#[derive(Default)]
pub struct Backoff {
    failing: Mutex<BTreeMap<SecretName, (u32, Timestamp)>>,
}

impl Backoff {
    fn not_before(&self, name: &SecretName) -> Timestamp {
        self.lock().get(name).map_or(Timestamp::EPOCH, |(_, at)| *at)
    }

    fn failed(&self, name: &SecretName, now: Timestamp) {
        let mut failing = self.lock();
        if failing.len() >= FAILING_MAX {
            // Those whose time has come will fail anew, or are gone.
            failing.retain(|_, (_, at)| *at > now);
        }
        if failing.len() >= FAILING_MAX {
            return;
        }
        let failures = failing.get(name).map_or(0, |(failures, _)| *failures);
        let pause = BACKOFF_FIRST.get().saturating_mul(1 << failures.min(16)).min(BACKOFF_MAX.get());
        failing.insert(name.clone(), (failures + 1, now.plus(Seconds::new(pause))));
    }

    fn succeeded(&self, name: &SecretName) {
        self.lock().remove(name);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<SecretName, (u32, Timestamp)>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_tried_again_after_a_pause_that_doubles_up_to_five_minutes() {
        let (backoff, name) = (Backoff::default(), SecretName::parse("a").unwrap());
        let mut pauses = Vec::new();
        for _ in 0..10 {
            backoff.failed(&name, Timestamp::EPOCH);
            pauses.push(backoff.not_before(&name).as_unix_ms() / 1_000);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        backoff.succeeded(&name);
        assert_eq!(backoff.not_before(&name), Timestamp::EPOCH);
    }
}
