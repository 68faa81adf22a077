//! Announces an attempt to apply a pending version: from here on the database may have its password.

use minicbor::{Decode, Encode};

use super::version_chain;
use crate::limits::ATTEMPT_MAX;
use crate::name::SecretName;
use crate::secret::{SecretId, VersionNumber};
use crate::state::{Effect, Outcome, Refusal, RowsMut, StateFault};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct BeginAttempt {
    #[n(0)]
    pub name: SecretName,
    #[n(1)]
    pub id: SecretId,
    /// The current version; the pending one is the one after it.
    #[n(2)]
    pub expected: VersionNumber,
}

impl BeginAttempt {
    /// An attempt that is running is taken over: it applies the same password, and what it comes to counts no more.
    pub(in crate::state) fn apply(
        &self,
        now: Timestamp,
        rows: &mut dyn RowsMut,
    ) -> Result<Outcome, StateFault> {
        let before = match version_chain::expected(rows, &self.name, self.id, self.expected)? {
            Ok(secret) => secret,
            Err(refusal) => return Ok(refusal.outcome()),
        };
        let mut secret = before.clone();
        let Some(rotation) = &mut secret.rotation else { return Ok(Refusal::NothingPending.outcome()) };
        let Some(pending) = &mut rotation.pending else { return Ok(Refusal::NothingPending.outcome()) };
        pending.attempts = pending.attempts.saturating_add(1);
        pending.attempt_until = Some(now.plus(ATTEMPT_MAX));
        rotation.last_attempt_at = Some(now);
        version_chain::save(rows, Some(&before), &secret)?;
        Ok(Effect::Pending(Box::new(secret)).outcome())
    }
}
