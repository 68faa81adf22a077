//! Replaces the rules of a role.

use minicbor::{Decode, Encode};

use crate::grant::{self, GrantMac};
use crate::name::RoleName;
use crate::policy::{Role, Rule};
use crate::state::table::roles;
use crate::state::{Effect, Outcome, Refusal, RowsMut, StateFault};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SetRules {
    #[n(0)]
    pub name: RoleName,
    /// At most `ROLE_RULES_MAX`.
    #[n(1)]
    pub rules: Vec<Rule>,
    /// Over [`SetRules::granted`].
    #[n(2)]
    pub mac: Option<GrantMac>,
    /// When the role that the MAC was made for was created; another one of its name is not it.
    #[n(3)]
    pub created_at: Option<Timestamp>,
}

impl SetRules {
    /// What `role` will grant with these rules, as the bytes that its MAC is over.
    #[must_use]
    pub fn granted(&self, role: &Role) -> Vec<u8> {
        grant::of_role(&role.name, role.description.as_ref(), role.is_admin, &self.rules)
    }

    pub(in crate::state) fn apply(&self, rows: &mut dyn RowsMut) -> Result<Outcome, StateFault> {
        let Some(mut role) = roles::get(rows, &self.name)? else {
            return Ok(Refusal::RoleNotFound.outcome());
        };
        if role.is_built_in() {
            return Ok(Refusal::RoleBuiltIn.outcome());
        }
        if self.created_at.is_some_and(|created_at| created_at != role.created_at) {
            return Ok(Refusal::RoleNotFound.outcome());
        }
        role.rules = self.rules.clone();
        role.mac = self.mac;
        roles::put(rows, &role)?;
        Ok(Effect::Role(Box::new(role)).outcome())
    }
}
