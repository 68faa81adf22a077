//! Takes the master key's newest rotation as the one to compare later ones with. Nothing is re-wrapped for it.

use minicbor::{Decode, Encode};

use crate::state::table::rewrap::{self, Rewrap};
use crate::state::{Effect, Outcome, Refusal, RowsMut, StateFault};
use crate::wrap::WrapEpoch;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct AdoptRotation {
    #[n(0)]
    pub target: WrapEpoch,
}

impl AdoptRotation {
    pub(in crate::state) fn apply(&self, rows: &mut dyn RowsMut) -> Result<Outcome, StateFault> {
        if rewrap::get(rows)?.is_some() {
            return Ok(Refusal::RotationAdopted.outcome());
        }
        let baseline = Rewrap {
            target: self.target.clone(),
            sweeps: false,
            completed_rotation_at: self.target.rotation_at,
            passes: 0,
            pass: None,
            last: None,
        };
        rewrap::put(rows, &baseline)?;
        Ok(Effect::Done.outcome())
    }
}
