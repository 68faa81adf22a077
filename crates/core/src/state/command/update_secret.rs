//! Changes a secret's metadata, its material, or both. Metadata alone keeps the version.

use minicbor::{Decode, Encode};

use super::version_chain;
use crate::name::SecretName;
use crate::rotation::next_rotation;
use crate::secret::{Description, SealedVersion, Secret, SecretId, VersionNumber};
use crate::state::table::secrets;
use crate::state::{Effect, Outcome, RowsMut, StateFault};
use crate::time::{Seconds, Timestamp};

/// Absent fields stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct UpdateSecret {
    #[n(0)]
    pub name: SecretName,
    #[n(1)]
    pub id: SecretId,
    /// The version that the proposer saw; `sealed` is sealed as the one after it.
    #[n(2)]
    pub expected: VersionNumber,
    #[n(3)]
    pub description: Option<Description>,
    #[n(4)]
    pub rotation_interval: Option<Seconds>,
    #[n(5)]
    pub grace_period: Option<Seconds>,
    #[n(6)]
    pub sealed: Option<SealedVersion>,
}

impl UpdateSecret {
    pub(in crate::state) fn apply(
        &self,
        now: Timestamp,
        rows: &mut dyn RowsMut,
    ) -> Result<Outcome, StateFault> {
        let mut secret = match version_chain::expected(rows, &self.name, self.id, self.expected)? {
            Ok(secret) => secret,
            Err(refusal) => return Ok(refusal.outcome()),
        };
        self.change_metadata(&mut secret);
        if let Some(sealed) = &self.sealed
            && let Err(refusal) = version_chain::advance(rows, &mut secret, sealed, now)?
        {
            return Ok(refusal.outcome());
        }
        if self.sealed.is_some() || self.rotation_interval.is_some() {
            let next = next_rotation(secret.rotation_interval, now);
            version_chain::reschedule(rows, &mut secret, next)?;
        }
        secret.updated_at = now;
        secrets::put(rows, &secret)?;
        Ok(Effect::Secret(Box::new(secret)).outcome())
    }

    fn change_metadata(&self, secret: &mut Secret) {
        if let Some(description) = &self.description {
            secret.description = Some(description.clone());
        }
        if let Some(interval) = self.rotation_interval {
            secret.rotation_interval = Some(interval);
        }
        if let Some(grace) = self.grace_period {
            secret.grace_period = grace;
        }
    }
}
