//! Deletes a role that no unrevoked token has.

use minicbor::{Decode, Encode};

use crate::name::RoleName;
use crate::state::table::{meta, role_tokens, roles};
use crate::state::{Effect, Outcome, Refusal, RowsMut, StateFault};

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct DeleteRole {
    #[n(0)]
    pub name: RoleName,
}

impl DeleteRole {
    pub(in crate::state) fn apply(&self, rows: &mut dyn RowsMut) -> Result<Outcome, StateFault> {
        let Some(role) = roles::get(rows, &self.name)? else {
            return Ok(Refusal::RoleNotFound.outcome());
        };
        if role.is_built_in() {
            return Ok(Refusal::RoleBuiltIn.outcome());
        }
        if role_tokens::any(rows, &self.name)? {
            return Ok(Refusal::RoleInUse.outcome());
        }
        roles::remove(rows, &self.name)?;
        meta::count(rows, |counts| counts.roles = counts.roles.saturating_sub(1))?;
        Ok(Effect::Role(Box::new(role)).outcome())
    }
}
