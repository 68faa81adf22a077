//! Creating, changing and deleting secrets.

use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::policy::{Action, SecretPermit};
use hyperion_vault_core::secret::{SealedVersion, Secret, VersionNumber};
use hyperion_vault_core::state::command::{CreateSecret, DeleteSecret, UpdateSecret};
use hyperion_vault_core::state::table::secrets;
use hyperion_vault_core::state::{Command, Effect, Refusal, StateFault};
use hyperion_vault_crypto::AssociatedData;
use tokio::time::Instant;

use super::key_wait::KeyWait;
use super::{CHANGE_RETRIED_FOR, NewMaterial, NewSecret, Opened, SecretChange, Secrets};
use crate::failure::Failure;
use crate::ports::View;
use crate::trail::Trail;

impl Secrets {
    /// Creates a secret and answers with it.
    ///
    /// # Errors
    /// [`Failure::Conflict`] when the name is taken; [`Failure::Invalid`] when material is missing.
    pub async fn create(
        &self,
        permit: SecretPermit,
        new: NewSecret,
        trail: &mut Trail,
    ) -> Result<Opened, Failure> {
        let name = permit.name_for(Action::Create)?;
        let wait = KeyWait::begin();
        let _lock = wait.lock(&self.replica, name).await?;
        self.replica.consult(|view| untaken(view, name)).await??;
        let material =
            new.material.complete(new.kind, || self.sealing.generate_with(new.generator.as_ref()))?;
        let id = self.sealing.new_id();
        let place = AssociatedData { secret_id: &id, name, version: VersionNumber::FIRST };
        let sealed = wait.of(self.sealing.seal(&self.replica.view(), &place, &material)).await?;
        let command = Command::CreateSecret(CreateSecret {
            name: name.clone(),
            id,
            kind: new.kind,
            format: material.format(),
            description: new.description,
            rotation_interval: new.rotation_interval,
            grace_period: new.grace_period,
            sealed,
            target: new.target,
            generator: new.generator,
        });
        let secret = changed_secret(self.replica.change(command, trail).await?)?;
        Ok(Opened { version: secret.current, created_at: secret.updated_at, secret, material })
    }

    /// Changes metadata, material or both, and answers with the secret as it then is.
    ///
    /// # Errors
    /// [`Failure::Precondition`] when `If-Match` names another version; [`Failure::Invalid`] when the change
    /// doesn't fit the secret.
    pub async fn update(
        &self,
        permit: SecretPermit,
        change: SecretChange,
        trail: &mut Trail,
    ) -> Result<Secret, Failure> {
        let name = permit.name_for(Action::Update)?;
        let wait = KeyWait::begin();
        let _lock = wait.lock(&self.replica, name).await?;
        let give_up_at = Instant::now() + CHANGE_RETRIED_FOR;
        while Instant::now() < give_up_at {
            let (view, secret) = self.replica.consult(|view| changeable(view, name, &change)).await??;
            let sealed = match &change.material {
                Some(material) => Some(wait.of(self.seal_next(&view, &secret, material)).await?),
                None => None,
            };
            match self.replica.change(update_command(&secret, &change, sealed), trail).await {
                Ok(effect) => return changed_secret(effect),
                Err(failure) if failure.is_race() => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(Failure::unavailable("the secret is being changed by many at once", "version conflicts"))
    }

    /// Deletes a secret and all its versions.
    ///
    /// # Errors
    /// [`Failure::NotFound`].
    pub async fn delete(&self, permit: SecretPermit, trail: &mut Trail) -> Result<(), Failure> {
        let name = permit.name_for(Action::Delete)?;
        let _lock = self.replica.lock_name(name).await;
        let command = Command::DeleteSecret(DeleteSecret { name: name.clone() });
        self.replica.change(command, trail).await?;
        Ok(())
    }

    async fn seal_next(
        &self,
        view: &View,
        secret: &Secret,
        material: &NewMaterial,
    ) -> Result<SealedVersion, Failure> {
        let current = match material.needs_current() {
            true => Some(self.open_current(view, secret).await?.material),
            false => None,
        };
        let material = material.carry_over(current.as_ref())?;
        self.sealing.seal(view, &next_place(secret), &material).await
    }
}

/// What the secret's next version is sealed as.
pub(super) fn next_place(secret: &Secret) -> AssociatedData<'_> {
    AssociatedData { secret_id: &secret.id, name: &secret.name, version: secret.current.next() }
}

fn untaken(view: &View, name: &SecretName) -> Result<Result<(), Refusal>, StateFault> {
    Ok(if secrets::get(&**view, name)?.is_none() { Ok(()) } else { Err(Refusal::SecretExists) })
}

/// The secret, if it is one that the change can be made to, and the view that it is from.
fn changeable(
    view: &View,
    name: &SecretName,
    change: &SecretChange,
) -> Result<Result<(View, Secret), Failure>, StateFault> {
    let Some(secret) = secrets::get(&**view, name)? else { return Ok(Err(Refusal::SecretNotFound.into())) };
    Ok(change.check_against(&secret).map(|()| (View::clone(view), secret)))
}

fn update_command(secret: &Secret, change: &SecretChange, sealed: Option<SealedVersion>) -> Command {
    Command::UpdateSecret(UpdateSecret {
        name: secret.name.clone(),
        id: secret.id,
        expected: secret.current,
        description: change.description.clone(),
        rotation_interval: change.rotation_interval,
        grace_period: change.grace_period,
        sealed,
        target: change.target.clone(),
        generator: change.generator.clone(),
        // Only where it matters: members of an earlier version don't know the word.
        is_applied: (change.material.is_some() && secret.target.is_some()).then_some(change.is_applied),
    })
}

/// The secret that a command on secrets leaves behind.
pub(super) fn changed_secret(effect: Effect) -> Result<Secret, Failure> {
    match effect {
        Effect::Secret(secret) => Ok(*secret),
        _ => Err(Failure::internal("a command on a secret had another effect")),
    }
}
