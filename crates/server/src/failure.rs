//! Why an operation didn't do what was asked, by what the caller can do about it. What HTTP makes of it is
//! written in `http/error.rs`.

use std::borrow::Cow;

use hyperion_vault_core::policy::Denied;
use hyperion_vault_core::state::{Refusal, StateFault};
use hyperion_vault_core::time::Seconds;
use hyperion_vault_kms::KmsError;

use crate::audit::AuditUnavailable;
use crate::ports::{MembershipFailure, ProposeFailure};

/// A caller told to come back may do so after this long.
const RETRY_AFTER: Seconds = Seconds::new(1);
/// The one failure after which the change may come to be made after all.
const CHANGE_UNCONFIRMED: &str = "the cluster can't take a change now";

/// All that a caller learns of key management.
const KEYS_UNAVAILABLE: &str = "key management unavailable";

/// Why an operation didn't do what was asked. Messages are for the caller and never hold what was submitted;
/// what only the log may say stands in `detail`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Invalid(String),
    #[error("authentication required: send a valid token as `Authorization: Bearer <token>`")]
    Unauthenticated { detail: &'static str },
    #[error("{message}")]
    Denied { message: &'static str },
    #[error("too many failed requests from this address; try again in {} seconds", retry_after.get())]
    LockedOut { retry_after: Seconds },
    #[error("{0}")]
    NotFound(&'static str),
    #[error("{0}")]
    Conflict(String),
    #[error("the secret is at version {current}, not at the one in If-Match")]
    Precondition { current: u64 },
    #[error("this node has applied the log up to {applied} only; ask again, or ask another node")]
    Behind { applied: u64 },
    #[error("{message}")]
    Unavailable { message: Cow<'static, str>, retry_after: Seconds, detail: String },
    /// Key management says no, and will until its operator mends that: there is no telling when to come back.
    #[error("{KEYS_UNAVAILABLE}")]
    Misconfigured { detail: String },
    #[error("internal error")]
    Internal { detail: String },
}

impl Failure {
    /// Something this node can't do now and the caller may try again.
    pub(crate) fn unavailable(message: impl Into<Cow<'static, str>>, detail: impl ToString) -> Failure {
        Failure::Unavailable { message: message.into(), retry_after: RETRY_AFTER, detail: detail.to_string() }
    }

    /// Something that must not happen; the caller learns no more than that it did.
    pub(crate) fn internal(detail: impl ToString) -> Failure {
        Failure::Internal { detail: detail.to_string() }
    }

    /// Whether it is this node or what it relies on that can't do it now, and no word about what was asked.
    #[must_use]
    pub fn is_unavailability(&self) -> bool {
        matches!(self, Failure::Unavailable { .. } | Failure::Misconfigured { .. })
    }

    /// What only the log may say.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        match self {
            Failure::Unavailable { detail, .. }
            | Failure::Misconfigured { detail }
            | Failure::Internal { detail } => Some(detail),
            Failure::Unauthenticated { detail } => Some(detail),
            _ => None,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        match refusal {
            Refusal::SecretNotFound => Failure::NotFound("no such secret"),
            Refusal::RoleNotFound => Failure::NotFound("no such role"),
            Refusal::TokenNotFound => Failure::NotFound("no such token"),
            // Its outcome was that of the first time, which this node doesn't know.
            Refusal::AppliedBefore => Failure::unavailable(CHANGE_UNCONFIRMED, refusal),
            Refusal::NotAutomatic => Failure::Invalid(refusal.to_string()),
            other => Failure::Conflict(other.to_string()),
        }
    }
}

impl From<Denied> for Failure {
    fn from(_: Denied) -> Failure {
        Failure::Denied { message: "permission denied: the token's role doesn't grant this" }
    }
}

impl From<StateFault> for Failure {
    fn from(fault: StateFault) -> Failure {
        Failure::internal(fault)
    }
}

impl From<ProposeFailure> for Failure {
    fn from(failure: ProposeFailure) -> Failure {
        match failure {
            ProposeFailure::TooLarge => Failure::Invalid(failure.to_string()),
            ProposeFailure::NotYetSupported { .. } => Failure::Conflict(failure.to_string()),
            other => Failure::unavailable(CHANGE_UNCONFIRMED, other),
        }
    }
}

impl From<MembershipFailure> for Failure {
    fn from(failure: MembershipFailure) -> Failure {
        match failure {
            MembershipFailure::UnknownNode => Failure::NotFound("no such node"),
            MembershipFailure::Refused(reason) => Failure::Conflict(reason),
            MembershipFailure::Unavailable(reason) => Failure::unavailable(reason.clone(), reason),
        }
    }
}

impl From<AuditUnavailable> for Failure {
    fn from(unavailable: AuditUnavailable) -> Failure {
        Failure::unavailable("the audit log can't be written; nothing was done", unavailable)
    }
}

impl From<KmsError> for Failure {
    fn from(error: KmsError) -> Failure {
        match error {
            KmsError::Unavailable { .. } => Failure::unavailable(KEYS_UNAVAILABLE, error),
            KmsError::Misconfigured { .. } => Failure::Misconfigured { detail: error.to_string() },
            KmsError::Tampered { .. } => Failure::internal(error),
        }
    }
}
