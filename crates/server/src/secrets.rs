//! The use cases of secrets. Each takes the permit that the step before it was given.

mod change;
mod input;
mod key_wait;
mod read;
mod rotate;

use std::sync::Arc;
use std::time::Duration;

use hyperion_vault_core::secret::{Secret, VersionNumber};
use hyperion_vault_core::time::Timestamp;
use hyperion_vault_crypto::Material;

pub use input::{NewMaterial, NewSecret, SecretChange};
pub use read::{ListQuery, Page, Verdict};
pub use rotate::{AttemptFailure, FailedAttempt, Means, RotationStep};

use crate::replica::Replica;
use crate::sealing::Sealing;

/// How long a change is sealed and proposed anew because another node's came first. As long as a proposal may take:
/// a node far from the leader can lose many times in a row to those near it.
const CHANGE_RETRIED_FOR: Duration = Duration::from_secs(5);

/// A version of a secret, opened.
pub struct Opened {
    pub secret: Secret,
    pub version: VersionNumber,
    pub created_at: Timestamp,
    pub material: Material,
}

/// What can be done with secrets.
pub struct Secrets {
    replica: Arc<Replica>,
    sealing: Arc<Sealing>,
}

impl Secrets {
    #[must_use]
    pub fn new(replica: Arc<Replica>, sealing: Arc<Sealing>) -> Secrets {
        Secrets { replica, sealing }
    }
}
