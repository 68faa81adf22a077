//! Probes and metrics over HTTP.

use axum::http::StatusCode;
use axum::response::Response;

use super::answer;
use super::call::Call;
use super::error::Refused;
use super::service::Api;

/// The process lives.
pub(super) fn health() -> Response {
    answer::text(StatusCode::OK, "ok")
}

/// Requests can be served: leader known, state caught up, key management usable, audit writable.
pub(super) async fn ready(api: &Api) -> Response {
    match api.readiness.check().await {
        Ok(()) => answer::text(StatusCode::OK, "ready"),
        Err(reason) => answer::text(StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

/// For whoever may read secrets by address, or an admin.
pub(super) async fn metrics(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    if call.bearer().is_some() {
        super::guard::admin(api, call)?;
    } else {
        api.access.check_address(call.client, &mut call.trail)?;
        call.no_query()?;
    }
    Ok(answer::metrics(api.metrics.encode()?))
}
