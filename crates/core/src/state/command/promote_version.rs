//! Makes the pending version the current one: the database was seen to let the role log in with it.

use minicbor::{Decode, Encode};

use super::version_chain;
use crate::name::SecretName;
use crate::secret::{SecretId, VersionNumber};
use crate::state::table::versions;
use crate::state::{Effect, Outcome, RowsMut, StateFault};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PromoteVersion {
    #[n(0)]
    pub name: SecretName,
    #[n(1)]
    pub id: SecretId,
    /// The current version; the pending one is the one after it.
    #[n(2)]
    pub expected: VersionNumber,
    /// The attempt by which it was seen. One that another took over from promotes nothing.
    #[n(3)]
    pub attempt: u32,
}

impl PromoteVersion {
    pub(in crate::state) fn apply(
        &self,
        now: Timestamp,
        rows: &mut dyn RowsMut,
    ) -> Result<Outcome, StateFault> {
        let before = match version_chain::attempted(rows, &self.name, self.id, self.expected, self.attempt)? {
            Ok(secret) => secret,
            Err(refusal) => return Ok(refusal.outcome()),
        };
        let mut secret = before.clone();
        version_chain::supersede(rows, &mut secret, now)?;
        if let Some(mut promoted) = versions::get(rows, &secret.name, secret.current)? {
            promoted.created_at = now;
            versions::amend(rows, &secret.name, secret.current, &promoted)?;
        }
        version_chain::rotated(rows, &mut secret, now)?;
        secret.updated_at = now;
        version_chain::save(rows, Some(&before), &secret)?;
        Ok(Effect::Secret(Box::new(secret)).outcome())
    }
}
