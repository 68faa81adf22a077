//! Raises the cluster's feature level, for good, once every member's build knows it.

use minicbor::{Decode, Encode};

use crate::state::feature_level::supported;
use crate::state::table::meta;
use crate::state::{Effect, Outcome, Refusal, RowsMut, StateFault};

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RaiseFeatureLevel {
    /// Not above what any member knows; one that meets more than it knows halts.
    #[n(0)]
    pub level: u32,
}

impl RaiseFeatureLevel {
    pub(in crate::state) fn apply(&self, rows: &mut dyn RowsMut) -> Result<Outcome, StateFault> {
        let level = supported(self.level)?;
        let Some(mut cluster) = meta::cluster(rows)? else {
            return Ok(Refusal::ClusterNotInitialized.outcome());
        };
        if level > cluster.feature_level {
            cluster.feature_level = level;
            meta::put_cluster(rows, &cluster)?;
        }
        Ok(Effect::Done.outcome())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::state::command::InitializeCluster;
    use crate::state::{Command, FEATURE_LEVEL, Proposal, UnsupportedLevel, apply, preview};
    use crate::time::Timestamp;

    type Table = BTreeMap<Vec<u8>, Vec<u8>>;

    fn run(rows: &mut Table, command: Command) -> Result<Outcome, StateFault> {
        apply(&Proposal { stamp: Timestamp::EPOCH, command, origin: None }, rows)
    }

    fn raise(rows: &mut Table, level: u32) -> Result<Outcome, StateFault> {
        run(rows, Command::RaiseFeatureLevel(RaiseFeatureLevel { level }))
    }

    fn initialized() -> Table {
        let mut rows = Table::new();
        run(&mut rows, Command::InitializeCluster(InitializeCluster { cluster_id: [1; 16] })).unwrap();
        rows
    }

    #[test]
    fn the_level_rises_and_nothing_else_of_the_cluster_changes() {
        let mut rows = initialized();
        let before = meta::cluster(&rows).unwrap().unwrap();
        assert_eq!(raise(&mut rows, 2), Ok(Effect::Done.outcome()));
        let after = meta::cluster(&rows).unwrap().unwrap();
        assert_eq!(after, meta::Cluster { feature_level: 2, ..before });
        assert_eq!(meta::feature_level(&rows), Ok(2));
    }

    #[test]
    fn the_level_never_falls() {
        let mut rows = initialized();
        raise(&mut rows, 2).unwrap();
        let raised = rows.clone();
        for level in [0, 1, 2] {
            assert_eq!(raise(&mut rows, level), Ok(Effect::Done.outcome()));
            assert_eq!(rows, raised, "{level}");
        }
    }

    #[test]
    fn without_a_cluster_there_is_no_level_to_raise() {
        let mut rows = Table::new();
        assert_eq!(raise(&mut rows, 2), Ok(Refusal::ClusterNotInitialized.outcome()));
        assert_eq!(meta::cluster(&rows), Ok(None));
        assert_eq!(meta::feature_level(&rows), Ok(1));
    }

    #[test]
    fn a_level_that_this_build_does_not_know_is_a_fault_and_no_refusal() {
        let level = FEATURE_LEVEL + 1;
        let fault = raise(&mut initialized(), level).unwrap_err();
        assert_eq!(fault, StateFault::Unsupported(UnsupportedLevel { level }));
        assert!(fault.to_string().contains("run a newer version"), "{fault}");
    }

    /// An older build that is started over the state of a newer one.
    #[test]
    fn on_rows_of_a_level_that_this_build_does_not_know_nothing_is_applied() {
        let mut rows = initialized();
        let cluster = meta::cluster(&rows).unwrap().unwrap();
        meta::put_cluster(&mut rows, &meta::Cluster { feature_level: FEATURE_LEVEL + 1, ..cluster }).unwrap();
        let command = Command::InitializeCluster(InitializeCluster { cluster_id: [1; 16] });
        let fault = StateFault::Unsupported(UnsupportedLevel { level: FEATURE_LEVEL + 1 });
        assert_eq!(preview(&command, Timestamp::EPOCH, &rows), Err(fault.clone()));
        assert_eq!(run(&mut rows, command), Err(fault.clone()));
        assert_eq!(meta::feature_level(&rows), Err(fault));
    }
}
