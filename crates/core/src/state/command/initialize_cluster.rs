//! Gives the cluster its identity and its admin role, once.

use minicbor::{Decode, Encode};

use crate::policy::Role;
use crate::state::table::{meta, roles};
use crate::state::{Effect, FIRST_FEATURE_LEVEL, Outcome, Refusal, RowsMut, StateFault};
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
        // Never the level of the build that applies this: members of different builds would part.
        let feature_level = FIRST_FEATURE_LEVEL;
        meta::put_cluster(rows, &meta::Cluster { id: self.cluster_id, created_at: now, feature_level })?;
        if let Some(admin) = Role::built_in(now) {
            roles::put(rows, &admin)?;
            meta::count(rows, |counts| counts.roles += 1)?;
        }
        Ok(Effect::Done.outcome())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::state::FEATURE_LEVEL;

    /// The level written was that of the build that applied the command, so that members of different builds made
    /// different rows of one log entry.
    #[test]
    fn a_cluster_begins_at_the_first_level_whatever_build_applies_its_first_command() {
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        InitializeCluster { cluster_id: [1; 16] }.apply(Timestamp::EPOCH, &mut rows).unwrap();
        assert_eq!(meta::cluster(&rows).unwrap().unwrap().feature_level, 1);
        const { assert!(FEATURE_LEVEL > 1, "or this test tells nothing") };
    }
}
