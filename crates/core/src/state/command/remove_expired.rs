//! Removes versions whose grace is over. What has not expired on the replicated clock stays, whoever asks.

use minicbor::{Decode, Encode};

use crate::name::SecretName;
use crate::rotation::expired;
use crate::state::table::expiry_due::{self, ExpiryDue};
use crate::state::table::{meta, secrets, versions};
use crate::state::{Effect, Outcome, RowsMut, StateFault};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RemoveExpired {
    /// At most `COMMAND_ITEMS_MAX`, as the index names them.
    #[n(0)]
    pub due: Vec<ExpiryDue>,
}

impl RemoveExpired {
    pub(in crate::state) fn apply(
        &self,
        now: Timestamp,
        rows: &mut dyn RowsMut,
    ) -> Result<Outcome, StateFault> {
        let mut removed = Vec::new();
        for due in &self.due {
            if remove(due, now, rows)? {
                removed.push((due.name.clone(), due.version));
            }
        }
        let count = removed.len() as u64;
        meta::count(rows, |counts| counts.versions = counts.versions.saturating_sub(count))?;
        Ok(Effect::Removed(removed).outcome())
    }
}

fn remove(due: &ExpiryDue, now: Timestamp, rows: &mut dyn RowsMut) -> Result<bool, StateFault> {
    let Some(version) = versions::get(rows, &due.name, due.version)? else { return Ok(false) };
    if version.expires_at != Some(due.at) || !expired(version.expires_at, now) {
        return Ok(false);
    }
    versions::remove(rows, &due.name, due.version, &version)?;
    expiry_due::remove(rows, due)?;
    forget_one(rows, &due.name)?;
    Ok(true)
}

fn forget_one(rows: &mut dyn RowsMut, name: &SecretName) -> Result<(), StateFault> {
    let Some(mut secret) = secrets::get(rows, name)? else { return Ok(()) };
    secret.stored_versions = secret.stored_versions.saturating_sub(1);
    secrets::put(rows, &secret)
}
