//! Tokens over HTTP.

use axum::http::StatusCode;
use axum::response::Response;
use hyperion_vault_api::text::SecretText;
use hyperion_vault_api::tokens::{IssueTokenRequest, IssuedToken, TokenInfo};
use hyperion_vault_core::name::{RoleName, TokenName};
use hyperion_vault_core::time::Seconds;

use super::answer;
use super::call::Call;
use super::error::Refused;
use super::guard;
use super::service::Api;
use crate::failure::Failure;
use crate::tokens::NewToken;

pub(super) async fn issue(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let (permit, request) = guard::admin_with::<IssueTokenRequest>(api, call).await?;
    let name = parse_name(&request.name, call)?;
    let role = RoleName::parse(&request.role).map_err(|error| Failure::Invalid(format!("role {error}")))?;
    let lifetime = request.expires_in_secs.map(Seconds::new);
    let new = NewToken::parse(name, role, lifetime, request.allowed_ips)?;
    let token = api.tokens.issue(permit, new, &mut call.trail).await?;
    let issued = IssuedToken { name: request.name, role: request.role, token: SecretText::new(token) };
    Ok(answer::secret_json(StatusCode::CREATED, issued.to_json()))
}

pub(super) async fn list(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let tokens = api.tokens.list(guard::admin(api, call)?)?;
    Ok(answer::json(StatusCode::OK, &tokens.iter().map(TokenInfo::from).collect::<Vec<_>>()))
}

pub(super) async fn revoke(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let permit = guard::admin(api, call)?;
    let name = parse_name(&call.parameter.clone(), call)?;
    api.tokens.revoke(permit, name, &mut call.trail).await?;
    Ok(answer::no_content())
}

fn parse_name(name: &str, call: &mut Call) -> Result<TokenName, Failure> {
    call.trail.about(name);
    TokenName::parse(name).map_err(|error| Failure::Invalid(format!("name {error}")))
}
