//! Replaces the rules of a role.

use minicbor::{Decode, Encode};

use crate::name::RoleName;
use crate::policy::Rule;
use crate::state::table::roles;
use crate::state::{Effect, Outcome, Refusal, RowsMut, StateFault};

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SetRules {
    #[n(0)]
    pub name: RoleName,
    /// At most `ROLE_RULES_MAX`.
    #[n(1)]
    pub rules: Vec<Rule>,
}

impl SetRules {
    pub(in crate::state) fn apply(&self, rows: &mut dyn RowsMut) -> Result<Outcome, StateFault> {
        let Some(mut role) = roles::get(rows, &self.name)? else {
            return Ok(Refusal::RoleNotFound.outcome());
        };
        if role.is_built_in() {
            return Ok(Refusal::RoleBuiltIn.outcome());
        }
        role.rules = self.rules.clone();
        roles::put(rows, &role)?;
        Ok(Effect::Role(Box::new(role)).outcome())
    }
}
