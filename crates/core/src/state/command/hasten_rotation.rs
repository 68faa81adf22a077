//! Has a pending version tried again now instead of after its pause.

use minicbor::{Decode, Encode};

use super::version_chain;
use crate::name::SecretName;
use crate::secret::{SecretId, VersionNumber};
use crate::state::{Effect, Outcome, Refusal, RowsMut, StateFault};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct HastenRotation {
    #[n(0)]
    pub name: SecretName,
    #[n(1)]
    pub id: SecretId,
    /// The current version; the pending one is the one after it.
    #[n(2)]
    pub expected: VersionNumber,
}

impl HastenRotation {
    pub(in crate::state) fn apply(
        &self,
        now: Timestamp,
        rows: &mut dyn RowsMut,
    ) -> Result<Outcome, StateFault> {
        let before = match version_chain::expected(rows, &self.name, self.id, self.expected)? {
            Ok(secret) => secret,
            Err(refusal) => return Ok(refusal.outcome()),
        };
        if before.pending().is_none() {
            return Ok(Refusal::NothingPending.outcome());
        }
        let mut secret = before.clone();
        let rotation = secret.rotation.get_or_insert_default();
        rotation.next_attempt_at = Some(rotation.next_attempt_at.map_or(now, |at| at.min(now)));
        version_chain::save(rows, Some(&before), &secret)?;
        Ok(Effect::Pending(Box::new(secret)).outcome())
    }
}
