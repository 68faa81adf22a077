//! Rotating a secret with a target on request. Whichever node is asked, the leader's worker makes the attempt: here the
//! next password is stored as a pending version, and waited for.

use std::time::Duration;

use hyperion_vault_core::policy::{Action, SecretPermit};
use hyperion_vault_core::rotation::RotationFault;
use hyperion_vault_core::secret::Secret;
use hyperion_vault_core::state::command::{HastenRotation, PrepareRotation};
use hyperion_vault_core::state::table::secrets;
use hyperion_vault_core::state::{Command, Effect, Refusal};
use tokio::time::Instant;

use super::rotatable;
use crate::failure::Failure;
use crate::ports::View;
use crate::replica::ChangeFailure;
use crate::secrets::key_wait::KeyWait;
use crate::secrets::{CHANGE_RETRIED_FOR, Opened, Secrets};
use crate::trail::Trail;

/// How long who asks for a rotation waits for the database: a client has his answer within half a minute.
const ANSWER_WITHIN: Duration = Duration::from_secs(25);
/// How often the outcome of a rotation is looked for, which the leader makes.
const LOOK_INTERVAL: Duration = Duration::from_millis(25);

impl Secrets {
    /// Has a pending version made current by the leader's worker, or prepared first, and waits for it.
    pub(super) async fn rotate_with_target(
        &self,
        permit: &SecretPermit,
        trail: &mut Trail,
    ) -> Result<Opened, Failure> {
        let name = permit.name_for(Action::Rotate)?;
        let give_up_at = Instant::now() + CHANGE_RETRIED_FOR;
        while Instant::now() < give_up_at {
            let (view, secret) = self.replica.consult(|view| rotatable(view, name)).await??;
            let asked = match secret.pending() {
                Some(_) => self.hasten(&secret, trail).await,
                None => self.prepare(&view, secret, trail).await,
            };
            match asked {
                Ok(pending) => return self.outcome_of(&pending).await,
                Err(ChangeFailure::Refused(Refusal::RotationPending | Refusal::NothingPending)) => {}
                Err(failure) if failure.is_race() => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(Failure::unavailable("the secret is being changed by many at once", "version conflicts"))
    }

    async fn hasten(&self, secret: &Secret, trail: &mut Trail) -> Result<Secret, ChangeFailure> {
        let command = HastenRotation { name: secret.name.clone(), id: secret.id, expected: secret.current };
        pending_secret(self.replica.change(Command::HastenRotation(command), trail).await?)
    }

    /// Stores the next version as pending.
    pub(super) async fn prepare<E: From<Failure> + From<ChangeFailure>>(
        &self,
        view: &View,
        secret: Secret,
        trail: &mut Trail,
    ) -> Result<Secret, E> {
        let wait = KeyWait::begin();
        let _lock = wait.lock(&self.replica, &secret.name).await?;
        let (_, sealed) = wait.of(self.seal_rotated(view, &secret)).await?;
        let command = PrepareRotation { name: secret.name, id: secret.id, expected: secret.current, sealed };
        Ok(pending_secret(self.replica.change(Command::PrepareRotation(command), trail).await?)?)
    }

    /// Waits in this node's view until the pending version is current or has failed once more.
    async fn outcome_of(&self, pending: &Secret) -> Result<Opened, Failure> {
        let failures = |secret: &Secret| secret.rotation.as_ref().map_or(0, |rotation| rotation.failures);
        let until = Instant::now() + ANSWER_WITHIN;
        loop {
            let view = self.replica.view();
            let found = secrets::get(&*view, &pending.name)?;
            let secret = found.filter(|found| found.id == pending.id).ok_or(Refusal::SecretNotFound)?;
            if secret.current > pending.current {
                return self.open_current(&view, &secret).await;
            }
            if failures(&secret) > failures(pending) {
                return Err(not_in_place(&secret));
            }
            if Instant::now() >= until {
                let message = "the new password is still being applied; its metadata tells how that goes";
                return Err(Failure::unavailable(message, "the leader hasn't ended the attempt"));
            }
            drop(view);
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

fn not_in_place(secret: &Secret) -> Failure {
    let fault = secret.rotation.as_ref().and_then(|rotation| rotation.last_fault);
    let why = fault.map_or("", RotationFault::message);
    let message = format!("the new password is not in place yet and will be tried again: {why}");
    Failure::unavailable(message, fault.map_or("", RotationFault::as_str))
}

/// The secret that a command on a pending version leaves behind.
pub(super) fn pending_secret(effect: Effect) -> Result<Secret, ChangeFailure> {
    match effect {
        Effect::Pending(secret) => Ok(*secret),
        _ => Err(Failure::internal("a command on a pending version had another effect").into()),
    }
}
