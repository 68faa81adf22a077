//! Gives an automatic secret its next version, on schedule or on request. One with a target is rotated in steps.

use minicbor::{Decode, Encode};

use super::version_chain;
use crate::name::SecretName;
use crate::secret::{SealedVersion, SecretId, SecretKind, VersionNumber};
use crate::state::{Effect, Outcome, Refusal, RowsMut, StateFault};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RotateSecret {
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

impl RotateSecret {
    pub(in crate::state) fn apply(
        &self,
        now: Timestamp,
        rows: &mut dyn RowsMut,
    ) -> Result<Outcome, StateFault> {
        let mut secret = match version_chain::expected(rows, &self.name, self.id, self.expected)? {
            Ok(secret) => secret,
            Err(refusal) => return Ok(refusal.outcome()),
        };
        if secret.kind != SecretKind::Automatic {
            return Ok(Refusal::NotAutomatic.outcome());
        }
        if secret.target.is_some() {
            return Ok(Refusal::HasTarget.outcome());
        }
        let before = secret.clone();
        if let Err(refusal) = version_chain::advance(rows, &mut secret, &self.sealed, now)? {
            return Ok(refusal.outcome());
        }
        version_chain::rotated(rows, &mut secret, now)?;
        secret.updated_at = now;
        version_chain::save(rows, Some(&before), &secret)?;
        Ok(Effect::Secret(Box::new(secret)).outcome())
    }
}
