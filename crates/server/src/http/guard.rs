//! Who calls: looked at before a body is read, so that strangers can't send one, and again after it, because
//! a body takes as long as its sender likes and a token may have been revoked meanwhile.

use hyperion_vault_core::policy::{AdminPermit, Principal};
use serde::de::DeserializeOwned;

use super::call::Call;
use super::error::Refused;
use super::service::Api;
use crate::access::Reader;

/// The holder of the request's token.
pub(super) fn principal(api: &Api, call: &mut Call) -> Result<Principal, Refused> {
    Ok(api.access.authenticate(call.bearer().as_deref(), call.client, &mut call.trail)?)
}

/// The holder of the request's token, and its body.
pub(super) async fn principal_with<T: DeserializeOwned>(
    api: &Api,
    call: &mut Call,
) -> Result<(Principal, T), Refused> {
    principal(api, call)?;
    call.no_query()?;
    let body = call.json().await?;
    Ok((principal(api, call)?, body))
}

/// Who may read.
pub(super) fn reader(api: &Api, call: &mut Call) -> Result<Reader, Refused> {
    Ok(api.access.admit_reader(call.bearer().as_deref(), call.client, &mut call.trail)?)
}

/// Who may read, and the request's body.
pub(super) async fn reader_with<T: DeserializeOwned>(
    api: &Api,
    call: &mut Call,
) -> Result<(Reader, T), Refused> {
    reader(api, call)?;
    call.no_query()?;
    let body = call.json().await?;
    Ok((reader(api, call)?, body))
}

/// The leave of an admin's token, for a path without query parameters.
pub(super) fn admin(api: &Api, call: &mut Call) -> Result<AdminPermit, Refused> {
    let permit = admin_with_query(api, call)?;
    call.no_query()?;
    Ok(permit)
}

/// The leave of an admin's token.
pub(super) fn admin_with_query(api: &Api, call: &mut Call) -> Result<AdminPermit, Refused> {
    Ok(principal(api, call)?.authorize_admin()?)
}

/// The leave of an admin's token, and the request's body.
pub(super) async fn admin_with<T: DeserializeOwned>(
    api: &Api,
    call: &mut Call,
) -> Result<(AdminPermit, T), Refused> {
    admin(api, call)?;
    let body = call.json().await?;
    Ok((admin(api, call)?, body))
}
