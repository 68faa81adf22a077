//! Rotates automatic secrets when they are due.

mod attempts;
mod backoff;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use hyperion_vault_core::policy::permit_scheduled_rotation;
use hyperion_vault_core::rotation::spread_ms;
use hyperion_vault_core::secret::Secret;
use hyperion_vault_core::state::StateFault;
use hyperion_vault_core::state::table::rotation_due::{self, RotationDue};
use hyperion_vault_core::state::table::secrets;
use hyperion_vault_core::time::Timestamp;
use tokio_util::sync::CancellationToken;

use super::supervisor::{Job, Place};
use crate::audit::Action;
use crate::failure::Failure;
use crate::replica::Replica;
use crate::secrets::{AttemptFailure, FailedAttempt, Secrets};
use crate::telemetry::Metrics;

pub use attempts::Attempts;

/// Entries of the index that are read at once.
const PAGE_SECRETS: usize = 256;
/// Rotations under way at once: enough to share syncs, too few to be felt by requests.
const ROTATIONS_AT_ONCE: usize = 8;
/// Pause when there is nothing to rotate at all; the supervisor's is shorter.
const NOTHING_DUE: Duration = Duration::from_secs(3_600);

/// Scheduled rotation.
pub struct Rotation {
    pub replica: Arc<Replica>,
    pub secrets: Arc<Secrets>,
    pub metrics: Arc<Metrics>,
    /// Rotations that a database has a part in.
    pub attempts: Arc<Attempts>,
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
    /// Tries all that is due, the first due first, and says how long nothing will be. What fails gets a later place
    /// in the index; what can't be given one keeps it and is passed over, so that it holds up nothing behind it.
    async fn rotate_due(&self) -> Result<Duration, Failure> {
        let now = self.replica.now(&self.replica.view())?;
        let mut next: Option<Timestamp> = None;
        let mut last = None;
        loop {
            let page = rotation_due::page(&*self.replica.view(), last.as_ref(), PAGE_SECRETS)?;
            let (mut due_now, mut later) = (Vec::new(), Vec::new());
            for entry in &page {
                match self.starts_at(entry, now)? {
                    (Some(secret), at) if at <= now => due_now.push((entry, secret)),
                    (_, at) => later.push(at.max(entry.at)),
                }
            }
            next = later.into_iter().chain(next).min();
            stream::iter(due_now)
                .for_each_concurrent(ROTATIONS_AT_ONCE, |(due, secret)| {
                    self.rotate_unless_stopping(due, secret)
                })
                .await;
            let more = page.len() == PAGE_SECRETS && self.goes_on();
            last = page.into_iter().next_back().filter(|last| more && last.at <= now);
            if last.is_none() {
                return Ok(next.map_or(NOTHING_DUE, |at| Duration::from_millis(at.ms_since(now).max(1))));
            }
        }
    }

    /// When the rotation begins, and of what, if that is looked at by now already.
    fn starts_at(
        &self,
        due: &RotationDue,
        now: Timestamp,
    ) -> Result<(Option<Secret>, Timestamp), StateFault> {
        if due.at > now {
            return Ok((None, due.at));
        }
        let Some(secret) = secrets::get(&*self.replica.view(), &due.name)? else { return Ok((None, now)) };
        let not_before = self.attempts.not_before(&due.name);
        // What is tried again has been spread by its pause.
        let spread = match (secret.next_rotation_at == Some(due.at), secret.rotation_interval) {
            (true, Some(interval)) => spread_ms(&due.name, due.at, interval),
            _ => 0,
        };
        Ok((Some(secret), due.at.plus_ms(spread).max(not_before)))
    }

    async fn rotate_unless_stopping(&self, due: &RotationDue, secret: Secret) {
        if !self.goes_on() {
            return;
        }
        if secret.target.is_some() {
            // Databases have patience of their own; nothing waits for them.
            Arc::clone(&self.attempts).start(secret);
        } else {
            self.rotate(due, secret).await;
        }
    }

    fn goes_on(&self) -> bool {
        self.replica.is_leader() && !self.stop.is_cancelled()
    }

    async fn rotate(&self, due: &RotationDue, secret: Secret) {
        let mut trail = self.attempts.means.trail(Action::SecretRotate, &due.name);
        let done = self.secrets.rotate_due(permit_scheduled_rotation(&due.name), due.at, &mut trail).await;
        self.metrics.rotation(done.is_ok());
        match done {
            Ok(()) => self.attempts.succeeded(&due.name),
            Err(failure) => {
                let failed = FailedAttempt { secret, attempt: None, failure: AttemptFailure::from(failure) };
                self.attempts.failed(failed, &mut trail).await;
            }
        }
    }
}
