//! Gives the cluster its identity and its admin role, once.

use minicbor::{Decode, Encode};

use super::FEATURE_LEVEL;
use crate::name::RoleName;
use crate::policy::{ADMIN_ROLE, Role};
use crate::secret::Description;
use crate::state::table::{meta, roles};
use crate::state::{Effect, Outcome, Refusal, RowsMut, StateFault};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct InitializeCluster {
    /// 16 random bytes.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub cluster_id: [u8; 16],
}

impl InitializeCluster {
    pub(in crate::state) fn apply(
        &self,
        now: Timestamp,
        rows: &mut dyn RowsMut,
    ) -> Result<Outcome, StateFault> {
        if meta::cluster(rows)?.is_some() {
            return Ok(Refusal::ClusterInitialized.outcome());
        }
        meta::put_cluster(
            rows,
            &meta::Cluster { id: self.cluster_id, created_at: now, feature_level: FEATURE_LEVEL },
        )?;
        if let (Ok(name), Ok(description)) =
            (RoleName::parse(ADMIN_ROLE), Description::parse("Everything; built in"))
        {
            let admin =
                Role { name, description: Some(description), is_admin: true, rules: vec![], created_at: now };
            roles::put(rows, &admin)?;
            meta::count(rows, |counts| counts.roles += 1)?;
        }
        Ok(Effect::Done.outcome())
    }
}
