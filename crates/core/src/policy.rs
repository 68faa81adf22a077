//! Who may do what: roles, rules and the permits that an authorised step is made of.
//!
//! A use case takes the [`SecretPermit`] or [`AdminPermit`] that this file returned. Neither can be made
//! elsewhere, so a path that asked nobody doesn't compile. A permit shows its secret only
//! to the action that it was given for.

use minicbor::{Decode, Encode};

use crate::grant::{self, GrantMac};
use crate::limits::PATH_PATTERN_BYTES_MAX;
use crate::name::{NameError, RoleName, SecretName, TokenName, is_secret_name_byte};
use crate::secret::Description;
use crate::time::Timestamp;

/// The name of the role that every vault has and nobody can change.
pub const ADMIN_ROLE: &str = "admin";

/// What a rule lets a token do with the secrets on its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Action {
    #[n(0)]
    Create,
    #[n(1)]
    Update,
    #[n(2)]
    Delete,
    #[n(3)]
    Rotate,
    #[n(4)]
    Read,
    /// All of them.
    #[n(5)]
    Any,
}

impl Action {
    /// Every action and its text on the wire.
    pub const ALL: [(Action, &'static str); 6] = [
        (Action::Create, "create"),
        (Action::Update, "update"),
        (Action::Delete, "delete"),
        (Action::Rotate, "rotate"),
        (Action::Read, "read"),
        (Action::Any, "*"),
    ];

    #[must_use]
    pub fn parse(text: &str) -> Option<Action> {
        Action::ALL.iter().find(|(_, name)| *name == text).map(|(action, _)| *action)
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        Action::ALL.iter().find(|(action, _)| *action == self).map_or("", |(_, name)| name)
    }

    fn covers(self, asked: Action) -> bool {
        self == Action::Any || self == asked
    }
}

/// Which secrets a rule is about: one exact name, every name with a prefix (`db/*`), or every one (`*`).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct PathPattern(#[n(0)] String);

impl PathPattern {
    /// # Errors
    /// [`NameError`] when an exact path is no secret name, or a prefix has a character that no name has.
    pub fn parse(text: &str) -> Result<PathPattern, NameError> {
        match text.strip_suffix('*') {
            None => SecretName::parse(text).map(|_| ())?,
            Some(_) if text.len() > PATH_PATTERN_BYTES_MAX => {
                return Err(NameError::TooLong { max: PATH_PATTERN_BYTES_MAX });
            }
            Some(prefix) if !prefix.bytes().all(is_secret_name_byte) => {
                return Err(NameError::Character { allowed: "A-Z a-z 0-9 - _ . / and one closing *" });
            }
            Some(_) => {}
        }
        Ok(PathPattern(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn covers(&self, name: &SecretName) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => name.as_str().starts_with(prefix),
            None => name.as_str() == self.0,
        }
    }
}

/// One grant of a role.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Rule {
    #[n(0)]
    pub action: Action,
    #[n(1)]
    pub path: PathPattern,
}

/// A role, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Role {
    #[n(0)]
    pub name: RoleName,
    #[n(1)]
    pub description: Option<Description>,
    /// Everything, the rules aside.
    #[n(2)]
    pub is_admin: bool,
    #[n(3)]
    pub rules: Vec<Rule>,
    #[n(4)]
    pub created_at: Timestamp,
    /// Over [`Role::granted`]; absent for the built-in role, and where none was given: such a row grants nothing.
    #[n(5)]
    pub mac: Option<GrantMac>,
}

impl Role {
    /// The role that every cluster has from its start. What it grants is the law; its row carries no MAC.
    #[must_use]
    pub fn built_in(created_at: Timestamp) -> Option<Role> {
        let name = RoleName::parse(ADMIN_ROLE).ok()?;
        let description = Description::parse("Everything; built in").ok();
        Some(Role { name, description, is_admin: true, rules: vec![], created_at, mac: None })
    }

    /// What the row grants, as the bytes that its MAC is over.
    #[must_use]
    pub fn granted(&self) -> Vec<u8> {
        grant::of_role(&self.name, self.description.as_ref(), self.is_admin, &self.rules)
    }

    /// Made by the vault itself, and nobody's to change.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        self.name.as_str() == ADMIN_ROLE
    }
}

/// Who a request's token showed it to be.
#[derive(Debug, Clone)]
pub struct Principal {
    pub token: TokenName,
    pub role: Role,
}

/// The leave to take one action on one secret.
#[derive(Debug, Clone)]
pub struct SecretPermit {
    name: SecretName,
    action: Action,
}

impl SecretPermit {
    /// The secret it is for, if it is for this action too.
    ///
    /// # Errors
    /// [`Denied`] when it was given for another action.
    pub fn name_for(&self, action: Action) -> Result<&SecretName, Denied> {
        if self.action == action { Ok(&self.name) } else { Err(Denied) }
    }
}

/// The leave to manage roles, tokens, audit and the node.
#[derive(Debug, Clone)]
pub struct AdminPermit(());

/// The role has no rule that covers what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("permission denied")]
pub struct Denied;

impl Principal {
    /// # Errors
    /// [`Denied`] when no rule of the role covers the action on the name.
    pub fn authorize(&self, action: Action, name: &SecretName) -> Result<SecretPermit, Denied> {
        let granted = self.role.is_admin
            || self.role.rules.iter().any(|rule| rule.action.covers(action) && rule.path.covers(name));
        if granted { Ok(SecretPermit { name: name.clone(), action }) } else { Err(Denied) }
    }

    /// # Errors
    /// [`Denied`] when the role is not an admin role.
    pub fn authorize_admin(&self) -> Result<AdminPermit, Denied> {
        if self.role.is_admin { Ok(AdminPermit(())) } else { Err(Denied) }
    }

    /// Whether any rule, whatever its action, is about the name: what its metadata may be shown for.
    #[must_use]
    pub fn sees(&self, name: &SecretName) -> bool {
        self.role.is_admin || self.role.rules.iter().any(|rule| rule.path.covers(name))
    }
}

/// The read of a secret by its address alone, where the vault asks for no token. The caller has checked the
/// allowlist; this is the one permit that no role stands behind.
#[must_use]
pub fn permit_read_by_address(name: &SecretName) -> SecretPermit {
    SecretPermit { name: name.clone(), action: Action::Read }
}

/// The rotation that a secret's own schedule asks for, without a person behind it.
#[must_use]
pub fn permit_scheduled_rotation(name: &SecretName) -> SecretPermit {
    SecretPermit { name: name.clone(), action: Action::Rotate }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn principal(is_admin: bool, rules: &[(Action, &str)]) -> Principal {
        let rules = rules
            .iter()
            .map(|(action, path)| Rule { action: *action, path: PathPattern::parse(path).unwrap() })
            .collect();
        let role = Role {
            name: RoleName::parse("r").unwrap(),
            description: None,
            is_admin,
            rules,
            created_at: Timestamp::EPOCH,
            mac: None,
        };
        Principal { token: TokenName::parse("t").unwrap(), role }
    }

    fn name(text: &str) -> SecretName {
        SecretName::parse(text).unwrap()
    }

    #[test]
    fn a_rule_covers_its_exact_name_its_prefix_or_everything() {
        let exact = principal(false, &[(Action::Update, "db/a")]);
        assert!(exact.authorize(Action::Update, &name("db/a")).is_ok());
        assert!(exact.authorize(Action::Update, &name("db/ab")).is_err());
        let prefix = principal(false, &[(Action::Update, "db/*")]);
        assert!(prefix.authorize(Action::Update, &name("db/x/y")).is_ok());
        assert!(prefix.authorize(Action::Update, &name("db2/x")).is_err());
        let all = principal(false, &[(Action::Update, "*")]);
        assert!(all.authorize(Action::Update, &name("anything")).is_ok());
    }

    #[test]
    fn an_action_grants_itself_and_star_grants_all() {
        let update = principal(false, &[(Action::Update, "*")]);
        for (action, _) in Action::ALL {
            assert_eq!(update.authorize(action, &name("n")).is_ok(), action == Action::Update);
        }
        let any = principal(false, &[(Action::Any, "n")]);
        for (action, _) in Action::ALL {
            assert!(any.authorize(action, &name("n")).is_ok());
        }
    }

    #[test]
    fn rules_never_make_an_admin() {
        assert!(principal(false, &[(Action::Any, "*")]).authorize_admin().is_err());
        assert!(principal(true, &[]).authorize_admin().is_ok());
        assert!(principal(true, &[]).authorize(Action::Delete, &name("n")).is_ok());
    }

    #[test]
    fn a_role_without_rules_sees_nothing() {
        assert!(!principal(false, &[]).sees(&name("n")));
        assert!(principal(false, &[(Action::Rotate, "n")]).sees(&name("n")));
    }

    #[test]
    fn a_pattern_is_a_name_or_a_prefix_and_one_star() {
        for good in ["*", "a", "a/b", "a/*", "a*", "a/b-*"] {
            assert!(PathPattern::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "**", "a*b", "*a", "a b*", "/a", "a/", "../x"] {
            assert!(PathPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
