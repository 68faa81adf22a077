//! Rotating automatic secrets.

mod attempt;
mod target;

use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::policy::{Action, SecretPermit};
use hyperion_vault_core::secret::{SealedVersion, Secret, SecretFormat, SecretKind};
use hyperion_vault_core::state::command::RotateSecret;
use hyperion_vault_core::state::table::secrets;
use hyperion_vault_core::state::{Command, Refusal, StateFault};
use hyperion_vault_core::time::Timestamp;
use hyperion_vault_crypto::Material;
use tokio::time::Instant;

pub use attempt::{AttemptFailure, FailedAttempt, Means, RotationStep};

use super::change::{changed_secret, next_place};
use super::key_wait::KeyWait;
use super::{CHANGE_RETRIED_FOR, Opened, Secrets};
use crate::failure::Failure;
use crate::ports::View;
use crate::trail::Trail;
use attempt::next_username;

impl Secrets {
    /// Gives an automatic secret new material and answers with it; a username stays. With a target it is in place
    /// there too.
    ///
    /// # Errors
    /// [`Failure::Invalid`] for a manual secret; [`Failure::Unavailable`] when the target doesn't take it now.
    pub async fn rotate(&self, permit: SecretPermit, trail: &mut Trail) -> Result<Opened, Failure> {
        let name = permit.name_for(Action::Rotate)?;
        let (_, secret) = self.replica.consult(|view| rotatable(view, name)).await??;
        if secret.target.is_some() {
            return self.rotate_with_target(&permit, trail).await;
        }
        let wait = KeyWait::begin();
        let _lock = wait.lock(&self.replica, name).await?;
        let give_up_at = Instant::now() + CHANGE_RETRIED_FOR;
        while Instant::now() < give_up_at {
            let (view, secret) = self.replica.consult(|view| rotatable(view, name)).await??;
            if let Some(rotated) = self.rotate_once(&view, secret, wait, trail).await? {
                return Ok(rotated);
            }
        }
        Err(Failure::unavailable("the secret is being changed by many at once", "version conflicts"))
    }

    /// Rotates the secret if it still is due at `due_at`: its schedule may have changed, or somebody may have
    /// rotated it, since it was found due.
    ///
    /// # Errors
    /// As [`Secrets::rotate`].
    pub async fn rotate_due(
        &self,
        permit: SecretPermit,
        due_at: Timestamp,
        trail: &mut Trail,
    ) -> Result<(), Failure> {
        let name = permit.name_for(Action::Rotate)?;
        let wait = KeyWait::begin();
        let _lock = wait.lock(&self.replica, name).await?;
        let view = self.replica.view();
        match secrets::get(&*view, name)? {
            Some(secret) if secret.due_at() == Some(due_at) => {
                self.rotate_once(&view, secret, wait, trail).await.map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// `None`: another node's change came first.
    async fn rotate_once(
        &self,
        view: &View,
        secret: Secret,
        wait: KeyWait,
        trail: &mut Trail,
    ) -> Result<Option<Opened>, Failure> {
        let (material, sealed) = wait.of(self.seal_rotated(view, &secret)).await?;
        let command = Command::RotateSecret(RotateSecret {
            name: secret.name,
            id: secret.id,
            expected: secret.current,
            sealed,
        });
        match self.replica.change(command, trail).await {
            Ok(effect) => {
                let secret = changed_secret(effect)?;
                Ok(Some(Opened { version: secret.current, created_at: secret.updated_at, secret, material }))
            }
            Err(failure) if failure.is_race() => Ok(None),
            Err(other) => Err(other.into()),
        }
    }

    async fn seal_rotated(&self, view: &View, secret: &Secret) -> Result<(Material, SealedVersion), Failure> {
        let material = self.rotated_material(view, secret).await?;
        let sealed = self.sealing.seal(view, &next_place(secret), &material).await?;
        Ok((material, sealed))
    }

    async fn rotated_material(&self, view: &View, secret: &Secret) -> Result<Material, Failure> {
        let generated = self.sealing.generate_with(secret.generator.as_ref());
        match secret.format {
            SecretFormat::Opaque => Ok(Material::Opaque(generated)),
            SecretFormat::UserPass => match self.open_current(view, secret).await?.material {
                Material::UserPass { username, .. } => {
                    Ok(Material::UserPass { username: next_username(secret, username), password: generated })
                }
                Material::Opaque(_) => Err(Failure::internal("a userpass secret without a username")),
            },
        }
    }
}

/// The secret, if it is one that is rotated, and the view that it is from.
fn rotatable(view: &View, name: &SecretName) -> Result<Result<(View, Secret), Refusal>, StateFault> {
    Ok(match secrets::get(&**view, name)? {
        Some(secret) if secret.kind == SecretKind::Automatic => Ok((View::clone(view), secret)),
        Some(_) => Err(Refusal::NotAutomatic),
        None => Err(Refusal::SecretNotFound),
    })
}
