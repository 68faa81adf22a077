//! Ends a pass. The rotation counts as dealt with only when nothing is left to re-wrap.

use minicbor::{Decode, Encode};

use crate::state::table::rewrap::{self, EndedPass};
use crate::state::{Effect, Outcome, Refusal, RowsMut, StateFault};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct EndRewrap {
    /// The number of the pass.
    #[n(0)]
    pub pass: u64,
}

impl EndRewrap {
    pub(in crate::state) fn apply(
        &self,
        now: Timestamp,
        rows: &mut dyn RowsMut,
    ) -> Result<Outcome, StateFault> {
        let Some(mut rewrap) = rewrap::get(rows)? else { return Ok(Refusal::RewrapEnded.outcome()) };
        let Some(pass) = rewrap.pass.take().filter(|pass| pass.number == self.pass) else {
            return Ok(Refusal::RewrapEnded.outcome());
        };
        let complete = rewrap::pending(rows)?.is_nothing();
        if complete {
            rewrap.completed_rotation_at = rewrap.target.rotation_at;
        }
        let ended = EndedPass { pass, target: rewrap.target.clone(), ended_at: now, complete };
        rewrap.last = Some(ended.clone());
        rewrap::put(rows, &rewrap)?;
        Ok(Effect::RewrapEnded(Box::new(ended)).outcome())
    }
}
