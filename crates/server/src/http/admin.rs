//! The administration of the node over HTTP: its audit trail and its lockouts.

use std::net::IpAddr;

use axum::http::StatusCode;
use axum::response::Response;
use hyperion_vault_api::audit::AuditPage;
use hyperion_vault_api::lockouts::LockoutInfo;
use hyperion_vault_api::time::{parse_rfc3339, rfc3339};
use hyperion_vault_core::time::Timestamp;

use super::answer;
use super::call::{Call, parse_number};
use super::error::Refused;
use super::guard;
use super::secrets::parse_limit;
use super::service::Api;
use crate::audit::{PAGE_RECORDS_DEFAULT, PAGE_RECORDS_MAX, Query};
use crate::failure::Failure;

const AUDIT_PARAMETERS: [&str; 8] = ["from", "to", "actor", "name", "action", "outcome", "before", "limit"];

pub(super) async fn read_audit(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    guard::admin_with_query(api, call)?;
    let query = parse_query(call)?;
    let page = api
        .audit
        .query(query)
        .await
        .map_err(|error| Failure::unavailable("the audit log can't be read", error))?;
    let records = page.records.iter().map(serde_json::value::to_raw_value);
    let records = records.collect::<Result<Vec<_>, _>>().map_err(Failure::internal)?;
    Ok(answer::json(StatusCode::OK, &AuditPage { records, next_before: page.next_before }))
}

fn parse_query(call: &Call) -> Result<Query, Failure> {
    let [from, to, actor, name, action, outcome, before, limit] = call.query(AUDIT_PARAMETERS)?;
    Ok(Query {
        from: parse_time("from", from.as_deref())?,
        to: parse_time("to", to.as_deref())?,
        actor,
        name,
        action: parse_word("action", action.as_deref())?,
        outcome: parse_word("outcome", outcome.as_deref())?,
        before: before.as_deref().map(parse_before).transpose()?,
        limit: parse_limit(limit.as_deref(), PAGE_RECORDS_DEFAULT, PAGE_RECORDS_MAX)?,
    })
}

fn parse_time(field: &str, text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
    let parsed = text.map(parse_rfc3339).transpose();
    parsed.map_err(|error| Failure::Invalid(format!("{field} {error}")))
}

fn parse_word<T: std::str::FromStr>(field: &str, text: Option<&str>) -> Result<Option<T>, Failure> {
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|_| Failure::Invalid(format!("{field} is not one that the audit log has")))
}

fn parse_before(text: &str) -> Result<u64, Failure> {
    parse_number(text).ok_or_else(|| Failure::Invalid("before must be a number".to_owned()))
}

pub(super) async fn list_lockouts(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let permit = guard::admin(api, call)?;
    let infos: Vec<_> = api
        .lockouts
        .list(permit)
        .iter()
        .map(|lockout| LockoutInfo {
            address: lockout.client.to_string(),
            locked_until: rfc3339(lockout.until),
        })
        .collect();
    Ok(answer::json(StatusCode::OK, &infos))
}

pub(super) async fn lift_lockout(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let permit = guard::admin(api, call)?;
    let address = call.parameter.clone();
    call.trail.about(&address);
    let address = parse_client(&address)
        .ok_or_else(|| Failure::Invalid("the path must end in an address as the list shows it".to_owned()))?;
    if api.lockouts.lift(permit, address, &mut call.trail).await? {
        Ok(answer::no_content())
    } else {
        Err(Failure::NotFound("no lockout of this address").into())
    }
}

/// An address, or one as the list shows it (`10.0.0.1/32`, `2001:db8::/64`).
fn parse_client(text: &str) -> Option<IpAddr> {
    text.split_once('/').map_or(text, |(address, _)| address).parse().ok()
}
