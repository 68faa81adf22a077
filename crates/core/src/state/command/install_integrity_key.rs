//! Gives the cluster its integrity key, once, before there is anything that it would vouch for.

use minicbor::{Decode, Encode};

use crate::state::table::meta::{self, WrappedIntegrityKey};
use crate::state::{Effect, Outcome, Refusal, RowsMut, StateFault};

/// Roles of a cluster that has only the built-in one.
const BUILT_IN_ROLES: u64 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct InstallIntegrityKey {
    #[n(0)]
    pub key: WrappedIntegrityKey,
}

impl InstallIntegrityKey {
    /// Refused where there are secrets or grants: whoever takes the key's row from a disk must not be given a new
    /// key, over rows that he wrote.
    pub(in crate::state) fn apply(&self, rows: &mut dyn RowsMut) -> Result<Outcome, StateFault> {
        if meta::cluster(rows)?.is_none() {
            return Ok(Refusal::ClusterNotInitialized.outcome());
        }
        if meta::integrity_key(rows)?.is_some() {
            return Ok(Refusal::IntegrityKeyExists.outcome());
        }
        let counts = meta::counts(rows)?;
        if counts.secrets > 0 || counts.tokens > 0 || counts.roles > BUILT_IN_ROLES {
            return Ok(Refusal::NotPristine.outcome());
        }
        meta::put_integrity_key(rows, &self.key)?;
        Ok(Effect::Done.outcome())
    }
}
