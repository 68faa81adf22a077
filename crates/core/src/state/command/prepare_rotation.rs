//! Stores the next version of a secret with a target as its pending one: before the database learns of a password, a
//! quorum has it.

use minicbor::{Decode, Encode};

use super::version_chain;
use crate::limits::STORED_VERSIONS_MAX;
use crate::name::SecretName;
use crate::rotation::PendingVersion;
use crate::secret::{SealedVersion, Secret, SecretId, SecretKind, VersionNumber};
use crate::state::{Effect, Outcome, Refusal, RowsMut, StateFault};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PrepareRotation {
    #[n(0)]
    pub name: SecretName,
    #[n(1)]
    pub id: SecretId,
    /// The version that the proposer saw; `sealed` is sealed as the one after it.
    #[n(2)]
    pub expected: VersionNumber,
    #[n(3)]
    pub sealed: SealedVersion,
}

impl PrepareRotation {
    pub(in crate::state) fn apply(
        &self,
        now: Timestamp,
        rows: &mut dyn RowsMut,
    ) -> Result<Outcome, StateFault> {
        let before = match version_chain::expected(rows, &self.name, self.id, self.expected)? {
            Ok(secret) => secret,
            Err(refusal) => return Ok(refusal.outcome()),
        };
        if let Err(refusal) = check(&before) {
            return Ok(refusal.outcome());
        }
        let mut secret = before.clone();
        version_chain::store_next(rows, &mut secret, &self.sealed, now)?;
        let rotation = secret.rotation.get_or_insert_default();
        rotation.pending = Some(PendingVersion { prepared_at: now, attempts: 0, attempt_until: None });
        rotation.next_attempt_at = Some(now);
        version_chain::save(rows, Some(&before), &secret)?;
        Ok(Effect::Pending(Box::new(secret)).outcome())
    }
}

fn check(secret: &Secret) -> Result<(), Refusal> {
    if secret.kind != SecretKind::Automatic {
        Err(Refusal::NotAutomatic)
    } else if secret.target.is_none() {
        Err(Refusal::NoTarget)
    } else if secret.pending().is_some() {
        Err(Refusal::RotationPending)
    } else if secret.stored_versions >= STORED_VERSIONS_MAX {
        Err(Refusal::TooManyVersions)
    } else {
        Ok(())
    }
}
