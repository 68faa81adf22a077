//! The use cases of roles.

use std::sync::Arc;

use hyperion_vault_core::limits::ROLE_RULES_MAX;
use hyperion_vault_core::name::RoleName;
use hyperion_vault_core::policy::{AdminPermit, Role, Rule};
use hyperion_vault_core::secret::Description;
use hyperion_vault_core::state::command::{CreateRole, DeleteRole, SetRules};
use hyperion_vault_core::state::table::roles;
use hyperion_vault_core::state::{Command, Effect, Refusal, StateFault};

use crate::failure::Failure;
use crate::grants::Grants;
use crate::ports::View;
use crate::replica::{ChangeFailure, Replica};
use crate::trail::Trail;

/// How often rules are set anew because another node replaced the role meanwhile.
const SET_RULES_TRIES_MAX: usize = 5;

/// What can be done with roles.
pub struct Roles {
    replica: Arc<Replica>,
    grants: Arc<Grants>,
}

/// A role to be created.
pub struct NewRole {
    pub name: RoleName,
    pub description: Option<Description>,
    pub is_admin: bool,
    pub rules: Vec<Rule>,
}

impl Roles {
    #[must_use]
    pub fn new(replica: Arc<Replica>, grants: Arc<Grants>) -> Roles {
        Roles { replica, grants }
    }

    /// # Errors
    /// [`Failure::Conflict`] when the name is taken; [`Failure::Invalid`] for too many rules.
    pub async fn create(&self, _: AdminPermit, new: NewRole, trail: &mut Trail) -> Result<Role, Failure> {
        let mut create = CreateRole {
            name: new.name,
            description: new.description,
            is_admin: new.is_admin,
            rules: limited(new.rules)?,
            mac: None,
        };
        create.mac = Some(self.grants.mac(&create.granted())?);
        let _lock = self.replica.lock_grants().await;
        changed_role(self.replica.change(Command::CreateRole(create), trail).await?)
    }

    /// All roles, by name. One whose row was altered is left out: what it says isn't so.
    ///
    /// # Errors
    /// [`Failure`] when the state can't be read.
    pub fn list(&self, _: AdminPermit) -> Result<Vec<Role>, Failure> {
        let roles = roles::all(&*self.replica.view())?.into_iter();
        roles.filter_map(|role| self.grants.authentic_role(role).map(Result::ok).transpose()).collect()
    }

    /// # Errors
    /// [`Failure::NotFound`]; [`Failure::Internal`] when its row was altered.
    pub fn read(&self, _: AdminPermit, name: &RoleName, trail: &mut Trail) -> Result<Role, Failure> {
        let role = roles::get(&*self.replica.view(), name)?.ok_or(Refusal::RoleNotFound)?;
        self.authentic(role, trail)
    }

    /// Replaces the rules of a role; what its tokens may do changes with them at once.
    ///
    /// # Errors
    /// [`Failure::NotFound`]; [`Failure::Conflict`] for the built-in role; [`Failure::Internal`] when its row was
    /// altered, which must not be vouched for.
    pub async fn set_rules(
        &self,
        _: AdminPermit,
        name: RoleName,
        rules: Vec<Rule>,
        trail: &mut Trail,
    ) -> Result<Role, Failure> {
        let rules = limited(rules)?;
        let _lock = self.replica.lock_grants().await;
        for _ in 0..SET_RULES_TRIES_MAX {
            let role = self.replica.consult(|view| found(view, &name)).await??;
            let set_rules = self.vouched_for(role, rules.clone(), trail)?;
            match self.replica.change(Command::SetRules(set_rules), trail).await {
                // By now this node has seen what came first: another role of the name, or none.
                Err(ChangeFailure::Refused(Refusal::RoleNotFound)) => {}
                other => return changed_role(other?),
            }
        }
        Err(Failure::unavailable("the role is being replaced by many at once", "role conflicts"))
    }

    /// # Errors
    /// [`Failure::NotFound`]; [`Failure::Conflict`] for the built-in role and for one with unrevoked tokens.
    pub async fn delete(&self, _: AdminPermit, name: RoleName, trail: &mut Trail) -> Result<(), Failure> {
        let _lock = self.replica.lock_grants().await;
        changed_role(self.replica.change(Command::DeleteRole(DeleteRole { name }), trail).await?).map(|_| ())
    }

    /// The command that gives the role these rules. The MAC is over the whole role: whoever wrote the rest of it
    /// must have been the vault.
    fn vouched_for(&self, role: Role, rules: Vec<Rule>, trail: &mut Trail) -> Result<SetRules, Failure> {
        let role = self.authentic(role, trail)?;
        let (name, created_at) = (role.name.clone(), Some(role.created_at));
        let mut set_rules = SetRules { name, rules, mac: None, created_at };
        if !role.is_built_in() {
            set_rules.mac = Some(self.grants.mac(&set_rules.granted(&role))?);
        }
        Ok(set_rules)
    }

    fn authentic(&self, role: Role, trail: &mut Trail) -> Result<Role, Failure> {
        self.grants.authentic_role(role)?.map_err(|altered| {
            trail.detail("altered role row");
            Failure::internal(altered)
        })
    }
}

fn found(view: &View, name: &RoleName) -> Result<Result<Role, Refusal>, StateFault> {
    Ok(roles::get(&**view, name)?.ok_or(Refusal::RoleNotFound))
}

/// The role that a command on roles leaves behind, or left.
fn changed_role(effect: Effect) -> Result<Role, Failure> {
    match effect {
        Effect::Role(role) => Ok(*role),
        _ => Err(Failure::internal("a command on a role had another effect")),
    }
}

fn limited(rules: Vec<Rule>) -> Result<Vec<Rule>, Failure> {
    if rules.len() > ROLE_RULES_MAX {
        return Err(Failure::Invalid(format!("a role has at most {ROLE_RULES_MAX} permissions")));
    }
    Ok(rules)
}
