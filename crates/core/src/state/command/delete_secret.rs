//! Deletes a secret and all its versions.

use minicbor::{Decode, Encode};

use super::version_chain;
use crate::name::SecretName;
use crate::state::table::expiry_due::{self, ExpiryDue};
use crate::state::table::{meta, rotation_due, secrets, versions};
use crate::state::{Effect, Outcome, Refusal, RowsMut, StateFault};

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct DeleteSecret {
    #[n(0)]
    pub name: SecretName,
}

impl DeleteSecret {
    pub(in crate::state) fn apply(&self, rows: &mut dyn RowsMut) -> Result<Outcome, StateFault> {
        let Some(secret) = secrets::get(rows, &self.name)? else {
            return Ok(Refusal::SecretNotFound.outcome());
        };
        let removed = self.remove_versions(rows)?;
        if let Some(due) = version_chain::entry(&secret) {
            rotation_due::remove(rows, &due)?;
        }
        secrets::remove(rows, &self.name)?;
        meta::count(rows, |counts| {
            counts.secrets = counts.secrets.saturating_sub(1);
            counts.versions = counts.versions.saturating_sub(removed);
        })?;
        Ok(Effect::Secret(Box::new(secret)).outcome())
    }

    fn remove_versions(&self, rows: &mut dyn RowsMut) -> Result<u64, StateFault> {
        let mut removed = 0;
        for (number, version) in versions::of_secret(rows, &self.name)? {
            if let Some(at) = version.expires_at {
                expiry_due::remove(rows, &ExpiryDue { at, name: self.name.clone(), version: number })?;
            }
            versions::remove(rows, &self.name, number, &version)?;
            removed += 1;
        }
        Ok(removed)
    }
}
