//! Creates a role.

use minicbor::{Decode, Encode};

use crate::grant::{self, GrantMac};
use crate::limits::ROLES_MAX;
use crate::name::RoleName;
use crate::policy::{Role, Rule};
use crate::secret::Description;
use crate::state::table::{meta, roles};
use crate::state::{Effect, Outcome, Refusal, RowsMut, StateFault};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct CreateRole {
    #[n(0)]
    pub name: RoleName,
    #[n(1)]
    pub description: Option<Description>,
    #[n(2)]
    pub is_admin: bool,
    /// At most `ROLE_RULES_MAX`.
    #[n(3)]
    pub rules: Vec<Rule>,
    /// Over [`CreateRole::granted`].
    #[n(4)]
    pub mac: Option<GrantMac>,
}

impl CreateRole {
    /// What the role will grant, as the bytes that its MAC is over.
    #[must_use]
    pub fn granted(&self) -> Vec<u8> {
        grant::of_role(&self.name, self.description.as_ref(), self.is_admin, &self.rules)
    }

    pub(in crate::state) fn apply(
        &self,
        now: Timestamp,
        rows: &mut dyn RowsMut,
    ) -> Result<Outcome, StateFault> {
        if roles::get(rows, &self.name)?.is_some() {
            return Ok(Refusal::RoleExists.outcome());
        }
        if meta::counts(rows)?.roles >= ROLES_MAX {
            return Ok(Refusal::TooManyRoles.outcome());
        }
        let role = Role {
            name: self.name.clone(),
            description: self.description.clone(),
            is_admin: self.is_admin,
            rules: self.rules.clone(),
            created_at: now,
            mac: self.mac,
        };
        roles::put(rows, &role)?;
        meta::count(rows, |counts| counts.roles += 1)?;
        Ok(Effect::Role(Box::new(role)).outcome())
    }
}
