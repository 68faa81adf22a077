//! Roles over HTTP.

use axum::http::StatusCode;
use axum::response::Response;
use hyperion_vault_api::json::Object;
use hyperion_vault_api::roles::{CreateRoleRequest, Permission, RoleInfo, SetPermissionsRequest};
use hyperion_vault_core::name::RoleName;
use hyperion_vault_core::policy::{Action, PathPattern, Rule};
use hyperion_vault_core::secret::Description;

use super::answer;
use super::call::Call;
use super::error::Refused;
use super::guard;
use super::service::Api;
use crate::failure::Failure;
use crate::roles::NewRole;

pub(super) async fn create(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let (permit, request) = guard::admin_with::<CreateRoleRequest>(api, call).await?;
    let new = NewRole {
        name: parse_name(&request.name, call)?,
        description: request
            .description
            .as_deref()
            .map(Description::parse)
            .transpose()
            .map_err(|error| Failure::Invalid(error.to_string()))?,
        is_admin: request.is_admin.unwrap_or(false),
        rules: parse_rules(&request.permissions.unwrap_or_default())?,
    };
    let role = api.roles.create(permit, new, &mut call.trail).await?;
    Ok(answer::json(StatusCode::CREATED, &RoleInfo::from(&role)))
}

pub(super) async fn list(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let roles = api.roles.list(guard::admin(api, call)?)?;
    Ok(answer::json(StatusCode::OK, &roles.iter().map(RoleInfo::from).collect::<Vec<_>>()))
}

pub(super) async fn read(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let permit = guard::admin(api, call)?;
    let name = parse_parameter(call)?;
    let role = api.roles.read(permit, &name, &mut call.trail)?;
    Ok(answer::json(StatusCode::OK, &RoleInfo::from(&role)))
}

pub(super) async fn set_permissions(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    guard::admin(api, call)?;
    let name = parse_parameter(call)?;
    let request: SetPermissionsRequest = call.json().await?;
    let permit = guard::admin(api, call)?;
    let rules = parse_rules(&request.permissions)?;
    let role = api.roles.set_rules(permit, name, rules, &mut call.trail).await?;
    Ok(answer::json(StatusCode::OK, &RoleInfo::from(&role)))
}

pub(super) async fn delete(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let permit = guard::admin(api, call)?;
    let name = parse_parameter(call)?;
    api.roles.delete(permit, name, &mut call.trail).await?;
    Ok(answer::no_content())
}

fn parse_parameter(call: &mut Call) -> Result<RoleName, Failure> {
    let name = call.parameter.clone();
    parse_name(&name, call)
}

fn parse_name(name: &str, call: &mut Call) -> Result<RoleName, Failure> {
    call.trail.about(name);
    RoleName::parse(name).map_err(|error| Failure::Invalid(format!("name {error}")))
}

fn parse_rules(permissions: &[Object<Permission>]) -> Result<Vec<Rule>, Failure> {
    let rules = permissions.iter().enumerate();
    rules.map(|(index, Object(permission))| parse_rule(index, permission)).collect()
}

fn parse_rule(index: usize, permission: &Permission) -> Result<Rule, Failure> {
    let action = Action::parse(&permission.action).ok_or_else(|| {
        let known: Vec<_> = Action::ALL.iter().map(|(_, text)| *text).collect();
        Failure::Invalid(format!("permissions[{index}].action must be one of {}", known.join(", ")))
    })?;
    let path = PathPattern::parse(&permission.path)
        .map_err(|error| Failure::Invalid(format!("permissions[{index}].path {error}")))?;
    Ok(Rule { action, path })
}
