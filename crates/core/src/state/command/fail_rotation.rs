//! Notes that a rotation failed, why, and when it is tried again. What is current stays so, and what is pending too.

use minicbor::{Decode, Encode};

use super::version_chain;
use crate::limits::RETRY_AFTER_MS_MAX;
use crate::name::SecretName;
use crate::rotation::RotationFault;
use crate::secret::{Secret, SecretId, SecretKind, VersionNumber};
use crate::state::{Effect, Outcome, Refusal, RowsMut, StateFault};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct FailRotation {
    #[n(0)]
    pub name: SecretName,
    #[n(1)]
    pub id: SecretId,
    /// The current version.
    #[n(2)]
    pub expected: VersionNumber,
    /// The attempt that failed, where something is pending; absent where it didn't come that far.
    #[n(3)]
    pub attempt: Option<u32>,
    #[n(4)]
    pub fault: RotationFault,
    /// At most [`RETRY_AFTER_MS_MAX`].
    #[n(5)]
    pub retry_after_ms: u64,
}

impl FailRotation {
    pub(in crate::state) fn apply(
        &self,
        now: Timestamp,
        rows: &mut dyn RowsMut,
    ) -> Result<Outcome, StateFault> {
        let before = match self.failed(rows)? {
            Ok(secret) => secret,
            Err(refusal) => return Ok(refusal.outcome()),
        };
        let mut secret = before.clone();
        let rotation = secret.rotation.get_or_insert_default();
        rotation.failures = rotation.failures.saturating_add(1);
        rotation.last_fault = Some(self.fault);
        rotation.next_attempt_at = Some(now.plus_ms(self.retry_after_ms.min(RETRY_AFTER_MS_MAX)));
        match &mut rotation.pending {
            Some(pending) => pending.attempt_until = None,
            None => rotation.last_attempt_at = Some(now),
        }
        version_chain::save(rows, Some(&before), &secret)?;
        Ok(Effect::Pending(Box::new(secret)).outcome())
    }

    fn failed(&self, rows: &dyn RowsMut) -> Result<Result<Secret, Refusal>, StateFault> {
        if let Some(attempt) = self.attempt {
            return version_chain::attempted(rows, &self.name, self.id, self.expected, attempt);
        }
        let found = version_chain::expected(rows, &self.name, self.id, self.expected)?;
        Ok(found.and_then(|secret| match secret {
            secret if secret.kind != SecretKind::Automatic => Err(Refusal::NotAutomatic),
            secret if secret.pending().is_some() => Err(Refusal::RotationPending),
            secret => Ok(secret),
        }))
    }
}
