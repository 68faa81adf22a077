//! Rotations of secrets with targets while they are under way, and what becomes of any that fails.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::ports::Entropy;
use hyperion_vault_core::rotation::retry_after_ms;
use hyperion_vault_core::secret::Secret;
use hyperion_vault_core::state::Command;
use hyperion_vault_core::state::command::FailRotation;
use hyperion_vault_core::time::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use crate::audit::{Action, Outcome};
use crate::failure::Failure;
use crate::replica::Replica;
use crate::secrets::{AttemptFailure, FailedAttempt, Means, Secrets};
use crate::telemetry::Metrics;
use crate::trail::{End, Trail};

/// Attempts under way at once; each holds a connection or two to a database.
const ATTEMPTS_AT_ONCE: usize = 16;
/// How often an attempt looks whether its node still leads: well within a heartbeat.
const LEADERSHIP_LOOK: Duration = Duration::from_millis(25);

/// The attempts of this node.
pub struct Attempts {
    pub(super) means: Means,
    replica: Arc<Replica>,
    secrets: Arc<Secrets>,
    metrics: Arc<Metrics>,
    entropy: Arc<dyn Entropy>,
    stop: CancellationToken,
    places: Semaphore,
    /// Of whom an attempt is under way: one at a time for each.
    running: Mutex<BTreeSet<SecretName>>,
    backoff: Backoff,
}

impl Attempts {
    #[must_use]
    pub fn new(
        means: Means,
        replica: Arc<Replica>,
        secrets: Arc<Secrets>,
        metrics: Arc<Metrics>,
        entropy: Arc<dyn Entropy>,
        stop: CancellationToken,
    ) -> Attempts {
        Attempts {
            means,
            replica,
            secrets,
            metrics,
            entropy,
            stop,
            places: Semaphore::new(ATTEMPTS_AT_ONCE),
            running: Mutex::default(),
            backoff: Backoff::default(),
        }
    }

    /// Begins an attempt beside everything else, unless one is under way. It is dropped where it is when this node
    /// leads no more or stops; whoever leads then goes on with it.
    pub(super) fn start(self: Arc<Self>, secret: Secret) {
        if !self.running().insert(secret.name.clone()) {
            return;
        }
        tokio::spawn(async move {
            let _running = Running { attempts: &self, name: secret.name.clone() };
            tokio::select! {
                () = self.make(secret) => {}
                () = self.is_not_ours() => {}
            }
        });
    }

    async fn make(&self, secret: Secret) {
        // Never closed.
        let Ok(_place) = self.places.acquire().await else { return };
        let name = secret.name.clone();
        let made = self.secrets.attempt(secret, &self.means).await;
        self.metrics.rotation(made.is_ok());
        match made {
            Ok(()) => self.succeeded(&name),
            Err(failed) => {
                let mut trail = self.means.trail(Action::SecretRotate, &name);
                self.failed(failed, &mut trail).await;
            }
        }
    }

    async fn is_not_ours(&self) {
        while self.replica.is_leader() && !self.stop.is_cancelled() {
            tokio::time::sleep(LEADERSHIP_LOOK).await;
        }
    }

    pub(super) fn not_before(&self, name: &SecretName) -> Timestamp {
        self.backoff.not_before(name)
    }

    pub(super) fn succeeded(&self, name: &SecretName) {
        self.backoff.succeeded(name);
    }

    /// Has the log, the audit log and the state tell that a rotation failed, and when it is tried again.
    pub(super) async fn failed(&self, failed: FailedAttempt, trail: &mut Trail) {
        let FailedAttempt { secret, attempt, failure } = failed;
        let kind = secret.target.as_ref().map_or("none", |target| target.kind.as_str());
        self.metrics.rotation_fault(kind, failure.fault().as_str());
        tracing::error!(secret = %secret.name, "scheduled rotation failed: {failure}");
        let outcome = if failure.fault().is_unavailability() { Outcome::Unavailable } else { Outcome::Error };
        trail.detail(failure.fault().message());
        if let Err(error) = trail.finish(End { status: None, outcome }).await {
            tracing::error!("rotation: {error}");
        }
        if let Err(unnoted) = self.note(&secret, attempt, &failure).await {
            tracing::warn!(secret = %secret.name, "the state could not be told of it: {unnoted}");
            let now = self.replica.now(&self.replica.view()).unwrap_or_default();
            self.backoff.failed(&secret.name, now);
        }
    }

    async fn note(
        &self,
        secret: &Secret,
        attempt: Option<u32>,
        failure: &AttemptFailure,
    ) -> Result<(), Failure> {
        let mut random = [0; 8];
        self.entropy.fill(&mut random);
        let failures = secret.rotation.as_ref().map_or(0, |rotation| rotation.failures);
        let command = FailRotation {
            name: secret.name.clone(),
            id: secret.id,
            expected: secret.current,
            attempt,
            fault: failure.fault(),
            retry_after_ms: retry_after_ms(failures, u64::from_be_bytes(random)),
        };
        // A refusal says that somebody else went on with it.
        self.replica.propose_recorded(Command::FailRotation(command)).await.map(|_| ())
    }

    fn running(&self) -> MutexGuard<'_, BTreeSet<SecretName>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes an attempt off the list, however it ends.
struct Running<'a> {
    attempts: &'a Attempts,
    name: SecretName,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.attempts.running().remove(&self.name);
    }
}
