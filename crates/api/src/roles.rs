//! Roles on the wire.

use hyperion_vault_core::policy::{Role, Rule};
use serde::{Deserialize, Serialize};

use crate::json::Object;
use crate::time::rfc3339;

/// One rule: what may be done on which names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permission {
    pub action: String,
    pub path: String,
}

/// `POST /v1/roles`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateRoleRequest {
    pub name: String,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub is_admin: Option<bool>,
    #[serde(default)]
    pub permissions: Option<Vec<Object<Permission>>>,
}

/// `PUT /v1/roles/{name}/permissions`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetPermissionsRequest {
    pub permissions: Vec<Object<Permission>>,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleInfo {
    pub name: String,
    pub description: Option<String>,
    pub is_admin: bool,
    pub permissions: Vec<Permission>,
    pub created_at: String,
}

impl From<&Rule> for Permission {
    fn from(rule: &Rule) -> Permission {
        Permission { action: rule.action.as_str().to_owned(), path: rule.path.as_str().to_owned() }
    }
}

impl From<&Role> for RoleInfo {
    fn from(role: &Role) -> RoleInfo {
        RoleInfo {
            name: role.name.to_string(),
            description: role.description.as_ref().map(|text| text.as_str().to_owned()),
            is_admin: role.is_admin,
            permissions: role.rules.iter().map(Permission::from).collect(),
            created_at: rfc3339(role.created_at),
        }
    }
}
