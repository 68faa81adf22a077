//! How current the state must be that a request is answered from. Made sure of before anything of the state is
//! looked at, the caller's token included: who asks for what was acknowledged elsewhere may hold a token that was
//! issued there, or one that was revoked there.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};

use super::call::{Call, parse_number, single};
use super::service::Api;
use crate::config::Consistency;
use crate::failure::Failure;

/// On each answer, how far the log was applied that it was made from; on a request, how far it must be.
pub(super) const X_VAULT_INDEX: HeaderName = HeaderName::from_static("x-vault-index");

/// How long a request waits for what it asks for by [`X_VAULT_INDEX`]. A node that follows a leader is behind by
/// milliseconds; one that is behind by more had better not be waited for.
const INDEX_WAIT_MAX: Duration = Duration::from_secs(2);

/// Waits until this node has a state as current as the request asks for.
///
/// # Errors
/// [`Failure::Unavailable`] and [`Failure::Behind`] when it hasn't in time; [`Failure::Invalid`] when what is asked
/// for can't be read.
pub(super) async fn ensure(api: &Api, call: &mut Call) -> Result<(), Failure> {
    let consistency = call.take_consistency()?.unwrap_or(api.read_consistency);
    let index = asked_index(&call.headers)?;
    api.replica.standing().map_err(|reason| Failure::unavailable(reason.clone(), reason))?;
    if let Some(index) = index {
        api.replica.wait_applied(index, INDEX_WAIT_MAX).await?;
    }
    if call.takes_consistency && consistency == Consistency::Linearizable {
        api.replica.barrier().await?;
    }
    Ok(())
}

fn asked_index(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    if !headers.contains_key(X_VAULT_INDEX) {
        return Ok(None);
    }
    let index = single(headers, &X_VAULT_INDEX)
        .and_then(|value| std::str::from_utf8(value).ok())
        .and_then(|value| parse_number(value.trim()));
    let malformed = || Failure::Invalid("X-Vault-Index must be one number, as an answer had it".to_owned());
    index.map(Some).ok_or_else(malformed)
}
