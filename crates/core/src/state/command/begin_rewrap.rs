//! Begins a pass: everything that isn't wrapped by the target is to be re-wrapped.

use minicbor::{Decode, Encode};

use crate::state::table::rewrap::{self, Pass, Rewrap};
use crate::state::{Effect, Outcome, Refusal, RowsMut, StateFault};
use crate::wrap::WrapEpoch;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct BeginRewrap {
    #[n(0)]
    pub target: WrapEpoch,
}

impl BeginRewrap {
    pub(in crate::state) fn apply(&self, rows: &mut dyn RowsMut) -> Result<Outcome, StateFault> {
        let former = rewrap::get(rows)?;
        if former.as_ref().is_some_and(|former| former.pass.is_some()) {
            return Ok(Refusal::RewrapRunning.outcome());
        }
        if former.as_ref().is_some_and(|former| self.is_before(&former.target)) {
            return Ok(Refusal::RotationPassed.outcome());
        }
        let number = former.as_ref().map_or(0, |former| former.passes).saturating_add(1);
        let rewrap = Rewrap {
            target: self.target.clone(),
            sweeps: true,
            completed_rotation_at: former.as_ref().and_then(|former| former.completed_rotation_at),
            passes: number,
            pass: Some(Pass { number, ..Pass::default() }),
            last: former.and_then(|former| former.last),
        };
        rewrap::put(rows, &rewrap)?;
        Ok(Effect::RewrapBegun { number }.outcome())
    }

    /// Whether the state knows a later rotation of the same key: an answer of the KMS that is out of date must not
    /// lead back.
    fn is_before(&self, target: &WrapEpoch) -> bool {
        self.target.kms_key_id == target.kms_key_id && self.target.rotation_at < target.rotation_at
    }
}
