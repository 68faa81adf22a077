//! Gives an automatic secret its next version, on schedule or on request.

use minicbor::{Decode, Encode};

use super::version_chain;
use crate::name::SecretName;
use crate::rotation::next_rotation;
use crate::secret::{SealedVersion, SecretId, SecretKind, VersionNumber};
use crate::state::table::secrets;
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
        if let Err(refusal) = version_chain::advance(rows, &mut secret, &self.sealed, now)? {
            return Ok(refusal.outcome());
        }
        let next = next_rotation(secret.rotation_interval, now);
        version_chain::reschedule(rows, &mut secret, next)?;
        secret.updated_at = now;
        secrets::put(rows, &secret)?;
        Ok(Effect::Secret(Box::new(secret)).outcome())
    }
}
