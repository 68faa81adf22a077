//! What every request goes through: its address, the lockout, a state to answer from, the endpoint, the record, the
//! headers.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderName, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use futures::FutureExt;
use hyperion_vault_api::endpoint::{Endpoint, Route};
use hyperion_vault_core::client_address::{ProxyTrust, resolve as resolve_client};

use super::call::Call;
use super::error::{Refused, unrecorded};
use super::freshness::{self, X_VAULT_INDEX};
use super::route::{Resolved, resolve};
use super::serve::Peer;
use super::{admin, answer, cluster, kms, probes, roles, secrets, tokens};
use crate::access::{Access, LockoutGuard};
use crate::audit::{Action, AuditLog, Outcome};
use crate::cluster::Cluster;
use crate::config::Consistency;
use crate::failure::Failure;
use crate::readiness::Readiness;
use crate::replica::Replica;
use crate::request_id::RequestIds;
use crate::rewrap::Rewrapping;
use crate::roles::Roles;
use crate::secrets::Secrets;
use crate::telemetry::Metrics;
use crate::tokens::Tokens;
use crate::trail::{End, Trail};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// What the endpoints are made of.
pub struct Api {
    pub access: Access,
    pub lockouts: LockoutGuard,
    pub secrets: Arc<Secrets>,
    pub roles: Roles,
    pub tokens: Tokens,
    pub cluster: Cluster,
    pub rewrapping: Rewrapping,
    pub replica: Arc<Replica>,
    /// Of a read that doesn't say.
    pub read_consistency: Consistency,
    pub audit: Arc<AuditLog>,
    pub readiness: Readiness,
    pub metrics: Arc<Metrics>,
    pub proxies: ProxyTrust,
    pub request_ids: RequestIds,
}

/// The API as a service.
pub fn router(api: Arc<Api>) -> Router {
    Router::new().fallback(handle).with_state(api)
}

/// Serves one request. It runs to its end even if the client hangs up (see `serve.rs`), so that nothing is
/// left halfway or without its record.
async fn handle(State(api): State<Arc<Api>>, request: Request) -> Response {
    let api = &*api;
    let begun = tokio::time::Instant::now();
    let resolved = resolve(request.method().as_str(), request.uri().path());
    let endpoint = match &resolved {
        Resolved::Endpoint { route, .. } => Some(route.endpoint),
        _ => None,
    };
    let request_id = api.request_ids.next();
    let mut response = match endpoint {
        Some(Endpoint::Health) => probes::health(),
        Some(Endpoint::Ready) => probes::ready(api).await,
        _ => serve_recorded(api, request, resolved, &request_id).await,
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Read now that the answer is made, so that it is never lower than what the answer shows.
    headers.insert(X_VAULT_INDEX, HeaderValue::from(api.replica.applied_index()));
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert(X_REQUEST_ID, value);
    }
    api.metrics.request(endpoint, response.status().as_u16(), begun.elapsed());
    response
}

async fn serve_recorded(api: &Api, request: Request, resolved: Resolved, request_id: &str) -> Response {
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().map(|peer| peer.0.ip());
    let Some(peer) = peer else { return answer::internal() };
    let client = client_address(peer, &parts.headers, &api.proxies);
    let known = client.as_ref().copied().unwrap_or(peer);
    let mut call = Call {
        client: known,
        trail: Trail::of_request(Arc::clone(&api.audit), request_id.to_owned(), known),
        parameter: String::new(),
        headers: parts.headers,
        query: parts.uri.query().map(str::to_owned),
        takes_consistency: false,
        body: Some(body),
    };
    let route = note_route(&mut call, resolved);
    let answered = match client {
        Ok(_) => admit(api, &mut call, route).await,
        Err(failure) => Err(Refused::Failure(failure)),
    };
    finish(api, call, answered, request_id).await
}

fn client_address(peer: IpAddr, headers: &HeaderMap, proxies: &ProxyTrust) -> Result<IpAddr, Failure> {
    let forwarded: Vec<&[u8]> = headers.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
    resolve_client(peer, &forwarded, proxies)
        .map_err(|_| Failure::Denied { message: "X-Forwarded-For can't be read" })
}

/// Tells the trail what is asked for, whether or not it will be let in.
fn note_route(call: &mut Call, resolved: Resolved) -> Result<&'static Route, Refused> {
    match resolved {
        Resolved::Endpoint { route, parameter } => {
            call.trail.asks(action(route.endpoint), route.success);
            // Nobody has shown who he is yet: what no name could be is not written down at his asking, so that
            // he can't fill the log with it.
            if !parameter.is_empty() && parameter.bytes().all(|byte| byte.is_ascii_graphic()) {
                call.trail.about(&parameter);
            }
            call.parameter = parameter;
            call.takes_consistency = route.endpoint.takes_consistency();
            Ok(route)
        }
        Resolved::NoSuchPath => Err(Refused::NoSuchPath),
        Resolved::OtherMethods(methods) => Err(Refused::Method(methods)),
    }
}

async fn admit(
    api: &Api,
    call: &mut Call,
    route: Result<&'static Route, Refused>,
) -> Result<Response, Refused> {
    api.lockouts.check(call.client)?;
    let route = route?;
    freshness::ensure(api, call).await?;
    let answered = AssertUnwindSafe(dispatch(api, route, call)).catch_unwind().await;
    let answered = answered.unwrap_or_else(|_| Err(Failure::internal("a handler panicked").into()));
    if counts_as_failure(&answered) {
        api.lockouts.record_failure(call.client);
    }
    answered
}

fn counts_as_failure(answered: &Result<Response, Refused>) -> bool {
    matches!(answered, Err(Refused::Failure(Failure::Unauthenticated { .. } | Failure::Denied { .. })))
}

/// Records how it ended. Without the record nothing leaves.
async fn finish(
    api: &Api,
    mut call: Call,
    answered: Result<Response, Refused>,
    request_id: &str,
) -> Response {
    let response = answered.unwrap_or_else(|refused| refused.into_response(request_id));
    let end = End { status: Some(response.status().as_u16()), outcome: outcome(response.status()) };
    match call.trail.finish(end).await {
        Ok(()) => response,
        Err(error) => {
            api.metrics.unrecorded();
            unrecorded(error, request_id)
        }
    }
}

fn outcome(status: StatusCode) -> Outcome {
    match status {
        status if status.is_success() => Outcome::Ok,
        StatusCode::UNAUTHORIZED => Outcome::Unauthenticated,
        StatusCode::FORBIDDEN => Outcome::Denied,
        StatusCode::NOT_FOUND => Outcome::NotFound,
        StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => Outcome::Conflict,
        StatusCode::PAYLOAD_TOO_LARGE => Outcome::TooLarge,
        StatusCode::TOO_MANY_REQUESTS => Outcome::LockedOut,
        StatusCode::SERVICE_UNAVAILABLE => Outcome::Unavailable,
        status if status.is_server_error() => Outcome::Error,
        _ => Outcome::Invalid,
    }
}

async fn dispatch(api: &Api, route: &Route, call: &mut Call) -> Result<Response, Refused> {
    match route.endpoint {
        Endpoint::CreateSecret => secrets::create(api, call).await,
        Endpoint::ListSecrets => secrets::list(api, call).await,
        Endpoint::ReadSecret => secrets::read(api, call).await,
        Endpoint::UpdateSecret => secrets::update(api, call).await,
        Endpoint::DeleteSecret => secrets::delete(api, call).await,
        Endpoint::RotateSecret => secrets::rotate(api, call).await,
        Endpoint::VerifySecret => secrets::verify(api, call).await,
        Endpoint::BatchReadSecrets => secrets::batch_read(api, call).await,
        Endpoint::ListVersions => secrets::versions(api, call).await,
        Endpoint::CreateRole => roles::create(api, call).await,
        Endpoint::ListRoles => roles::list(api, call).await,
        Endpoint::ReadRole => roles::read(api, call).await,
        Endpoint::DeleteRole => roles::delete(api, call).await,
        Endpoint::SetPermissions => roles::set_permissions(api, call).await,
        Endpoint::IssueToken => tokens::issue(api, call).await,
        Endpoint::ListTokens => tokens::list(api, call).await,
        Endpoint::RevokeToken => tokens::revoke(api, call).await,
        Endpoint::ReadAudit => admin::read_audit(api, call).await,
        Endpoint::ListLockouts => admin::list_lockouts(api, call).await,
        Endpoint::LiftLockout => admin::lift_lockout(api, call).await,
        Endpoint::ReadCluster => cluster::read(api, call).await,
        Endpoint::AddNode => cluster::add_node(api, call).await,
        Endpoint::PromoteNode => cluster::promote_node(api, call).await,
        Endpoint::RemoveNode => cluster::remove_node(api, call).await,
        Endpoint::StepDown => cluster::step_down(api, call).await,
        Endpoint::Rewrap => kms::rewrap(api, call).await,
        Endpoint::ReadRewrapStatus => kms::rewrap_status(api, call).await,
        Endpoint::Metrics => probes::metrics(api, call).await,
        Endpoint::Health => Ok(probes::health()),
        Endpoint::Ready => Ok(probes::ready(api).await),
    }
}

/// What an endpoint is called in the audit log.
fn action(endpoint: Endpoint) -> Action {
    match endpoint {
        Endpoint::CreateSecret => Action::SecretCreate,
        Endpoint::ListSecrets => Action::SecretList,
        Endpoint::ReadSecret => Action::SecretRead,
        Endpoint::UpdateSecret => Action::SecretUpdate,
        Endpoint::DeleteSecret => Action::SecretDelete,
        Endpoint::RotateSecret => Action::SecretRotate,
        Endpoint::VerifySecret => Action::SecretVerify,
        Endpoint::BatchReadSecrets => Action::SecretBatchRead,
        Endpoint::ListVersions => Action::SecretVersions,
        Endpoint::CreateRole => Action::RoleCreate,
        Endpoint::ListRoles => Action::RoleList,
        Endpoint::ReadRole => Action::RoleRead,
        Endpoint::DeleteRole => Action::RoleDelete,
        Endpoint::SetPermissions => Action::RoleSetPermissions,
        Endpoint::IssueToken => Action::TokenIssue,
        Endpoint::ListTokens => Action::TokenList,
        Endpoint::RevokeToken => Action::TokenRevoke,
        Endpoint::ReadAudit => Action::AuditRead,
        Endpoint::ListLockouts => Action::LockoutList,
        Endpoint::LiftLockout => Action::LockoutLift,
        Endpoint::ReadCluster => Action::ClusterRead,
        Endpoint::AddNode => Action::ClusterAddNode,
        Endpoint::PromoteNode => Action::ClusterPromoteNode,
        Endpoint::RemoveNode => Action::ClusterRemoveNode,
        Endpoint::StepDown => Action::ClusterStepDown,
        Endpoint::Rewrap => Action::KmsRewrap,
        Endpoint::ReadRewrapStatus => Action::KmsRewrapStatus,
        Endpoint::Metrics => Action::MetricsRead,
        Endpoint::Health | Endpoint::Ready => Action::Unknown,
    }
}
