//! Where rotations apply new passwords: the port to a database whose role has the password of a secret.

use async_trait::async_trait;
use hyperion_vault_core::rotation::RotationFault;
use hyperion_vault_core::target::{DatabaseIdentifier, Target};
use hyperion_vault_crypto::Plaintext;

pub mod postgres;

/// Who logs in to change a role's password.
pub struct Login {
    pub username: DatabaseIdentifier,
    pub password: Plaintext,
}

/// Whether the database lets a role log in with a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// It is the role's password.
    Accepted,
    /// It is not.
    Refused,
}

/// Why a target could not be asked, or said no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", fault.message())]
pub struct TargetFault {
    pub fault: RotationFault,
    /// For the log: which host, and the database's code of the error. Never what a statement or an answer held.
    pub detail: String,
}

/// Databases that hold the passwords of secrets.
#[async_trait]
pub trait CredentialTarget: Send + Sync + 'static {
    /// Sets the password of `role`. Whether it did is not known after an error: ask [`CredentialTarget::prove`].
    /// Dropped, it may still do so. Bounded in time.
    ///
    /// # Errors
    /// [`TargetFault`].
    async fn apply(
        &self,
        target: &Target,
        login: &Login,
        role: &DatabaseIdentifier,
        new_password: &Plaintext,
    ) -> Result<(), TargetFault>;

    /// Whether `role` can log in with `password`. Bounded in time.
    ///
    /// # Errors
    /// [`TargetFault`] when that can't be told.
    async fn prove(
        &self,
        target: &Target,
        role: &DatabaseIdentifier,
        password: &Plaintext,
    ) -> Result<Proof, TargetFault>;
}
