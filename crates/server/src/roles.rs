//! The use cases of roles.

use std::sync::Arc;

use hyperion_vault_core::limits::ROLE_RULES_MAX;
use hyperion_vault_core::name::RoleName;
use hyperion_vault_core::policy::{AdminPermit, Role, Rule};
use hyperion_vault_core::secret::Description;
use hyperion_vault_core::state::command::{CreateRole, DeleteRole, SetRules};
use hyperion_vault_core::state::table::roles;
use hyperion_vault_core::state::{Command, Effect, Refusal};

use crate::failure::Failure;
use crate::replica::Replica;
use crate::trail::Trail;

/// What can be done with roles.
pub struct Roles {
    replica: Arc<Replica>,
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
    pub fn new(replica: Arc<Replica>) -> Roles {
        Roles { replica }
    }

    /// # Errors
    /// [`Failure::Conflict`] when the name is taken; [`Failure::Invalid`] for too many rules.
    pub async fn create(&self, _: AdminPermit, new: NewRole, trail: &mut Trail) -> Result<Role, Failure> {
        let command = Command::CreateRole(CreateRole {
            name: new.name,
            description: new.description,
            is_admin: new.is_admin,
            rules: limited(new.rules)?, mac: None,
        });
        self.change(command, trail).await
    }

    /// # Errors
    /// [`Failure`] when the state can't be read.
    pub fn list(&self, _: AdminPermit) -> Result<Vec<Role>, Failure> {
        Ok(roles::all(&*self.replica.view())?)
    }

    /// # Errors
    /// [`Failure::NotFound`].
    pub fn read(&self, _: AdminPermit, name: &RoleName) -> Result<Role, Failure> {
        Ok(roles::get(&*self.replica.view(), name)?.ok_or(Refusal::RoleNotFound)?)
    }

    /// Replaces the rules of a role; what its tokens may do changes with them at once.
    ///
    /// # Errors
    /// [`Failure::NotFound`]; [`Failure::Conflict`] for the built-in role.
    pub async fn set_rules(
        &self,
        _: AdminPermit,
        name: RoleName,
        rules: Vec<Rule>,
        trail: &mut Trail,
    ) -> Result<Role, Failure> {
        self.change(Command::SetRules(SetRules { name, rules: limited(rules)?, mac: None, created_at: None }), trail).await
    }

    /// # Errors
    /// [`Failure::NotFound`]; [`Failure::Conflict`] for the built-in role and for one with unrevoked tokens.
    pub async fn delete(&self, _: AdminPermit, name: RoleName, trail: &mut Trail) -> Result<(), Failure> {
        self.change(Command::DeleteRole(DeleteRole { name }), trail).await.map(|_| ())
    }

    async fn change(&self, command: Command, trail: &mut Trail) -> Result<Role, Failure> {
        let _lock = self.replica.lock_grants().await;
        match self.replica.change(command, trail).await? {
            Effect::Role(role) => Ok(*role),
            _ => Err(Failure::internal("a command on a role had another effect")),
        }
    }
}

fn limited(rules: Vec<Rule>) -> Result<Vec<Rule>, Failure> {
    if rules.len() > ROLE_RULES_MAX {
        return Err(Failure::Invalid(format!("a role has at most {ROLE_RULES_MAX} permissions")));
    }
    Ok(rules)
}
