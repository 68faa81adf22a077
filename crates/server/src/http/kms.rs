//! Key management over HTTP.

use axum::http::StatusCode;
use axum::response::Response;
use hyperion_vault_api::kms::{EndedRewrapPass, RewrapAnswer, RewrapPass, RewrapStatus};
use hyperion_vault_api::time::rfc3339;
use hyperion_vault_core::state::table::rewrap::{EndedPass, Pass};
use hyperion_vault_core::time::Timestamp;

use super::answer;
use super::call::Call;
use super::error::Refused;
use super::guard;
use super::service::Api;
use crate::rewrap::Overview;

pub(super) async fn rewrap(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let permit = guard::admin(api, call)?;
    let ended = api.rewrapping.force(permit, &mut call.trail).await?;
    let Pass { scanned, rewrapped, failed, .. } = ended.pass;
    let target_rotation_at = time(ended.target.rotation_at);
    Ok(answer::json(StatusCode::OK, &RewrapAnswer { scanned, rewrapped, failed, target_rotation_at }))
}

pub(super) async fn rewrap_status(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let permit = guard::admin(api, call)?;
    Ok(answer::json(StatusCode::OK, &status(api.rewrapping.overview(permit).await?)))
}

fn status(overview: Overview) -> RewrapStatus {
    let Overview { enabled, agreed, pending, latest_rotation_at } = overview;
    let pass = agreed.as_ref().and_then(|agreed| agreed.pass);
    let last = agreed.as_ref().and_then(|agreed| agreed.last.as_ref());
    RewrapStatus {
        enabled,
        busy: pass.is_some(),
        last_completed_rotation_at: time(agreed.as_ref().and_then(|agreed| agreed.completed_rotation_at)),
        latest_rotation_at: time(latest_rotation_at),
        total_versions: pending.total_versions,
        pending_versions: pending.versions,
        pass: pass.map(running),
        last_pass: last.map(ended),
        target_key_id: agreed.map(|agreed| agreed.target.kms_key_id),
    }
}

fn running(pass: Pass) -> RewrapPass {
    let Pass { number, scanned, rewrapped, failed } = pass;
    RewrapPass { number, scanned, rewrapped, failed }
}

fn ended(ended: &EndedPass) -> EndedRewrapPass {
    let Pass { number, scanned, rewrapped, failed } = ended.pass;
    EndedRewrapPass {
        number,
        scanned,
        rewrapped,
        failed,
        target_rotation_at: time(ended.target.rotation_at),
        ended_at: rfc3339(ended.ended_at),
        complete: ended.complete,
    }
}

fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(rfc3339)
}
