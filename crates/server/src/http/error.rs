//! Every error that leaves the vault: its status, its message, its headers.

use axum::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use hyperion_vault_api::error::ErrorBody;
use hyperion_vault_api::json::InvalidBody;

use super::answer;
use super::body::BodyError;
use crate::audit::AuditUnavailable;
use crate::failure::Failure;

/// Why a request is not answered with what it asked for.
#[derive(Debug)]
pub(super) enum Refused {
    Failure(Failure),
    Body(BodyError),
    InvalidBody(InvalidBody),
    MediaType,
    NoSuchPath,
    Method(Vec<&'static str>),
}

impl<F: Into<Failure>> From<F> for Refused {
    fn from(failure: F) -> Refused {
        Refused::Failure(failure.into())
    }
}

impl From<BodyError> for Refused {
    fn from(error: BodyError) -> Refused {
        Refused::Body(error)
    }
}

impl From<InvalidBody> for Refused {
    fn from(error: InvalidBody) -> Refused {
        Refused::InvalidBody(error)
    }
}

impl Refused {
    fn status(&self) -> StatusCode {
        match self {
            Refused::Failure(failure) => failure_status(failure),
            Refused::Body(BodyError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Refused::Body(BodyError::TooSlow) => StatusCode::REQUEST_TIMEOUT,
            Refused::Body(BodyError::Broken) | Refused::InvalidBody(_) => StatusCode::BAD_REQUEST,
            Refused::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refused::NoSuchPath => StatusCode::NOT_FOUND,
            Refused::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    fn message(&self) -> String {
        match self {
            Refused::Failure(failure) => failure.to_string(),
            Refused::Body(error) => error.to_string(),
            Refused::InvalidBody(error) => error.to_string(),
            Refused::MediaType => "send the body as content-type application/json".to_owned(),
            Refused::NoSuchPath => "no such path".to_owned(),
            Refused::Method(_) => "method not allowed on this path".to_owned(),
        }
    }

    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Refused::Failure(Failure::Unauthenticated { .. }) => {
                Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
            }
            Refused::Failure(
                Failure::LockedOut { retry_after } | Failure::Unavailable { retry_after, .. },
            ) => Some((RETRY_AFTER, HeaderValue::from(retry_after.get()))),
            Refused::Method(methods) => Some((ALLOW, HeaderValue::from_str(&methods.join(", ")).ok()?)),
            _ => None,
        }
    }

    /// The answer. What only the log may say goes there.
    pub(super) fn into_response(self, request_id: &str) -> Response {
        let (status, message) = (self.status(), self.message());
        if status.is_server_error()
            && let Refused::Failure(failure) = &self
        {
            let detail = failure.detail().unwrap_or_default();
            tracing::error!(request_id, status = status.as_u16(), message, detail, "request failed");
        }
        let mut response = answer::json(status, &ErrorBody { error: message });
        if let Some((name, value)) = self.header() {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// The answer when the audit log can't take the record of a request.
pub(super) fn unrecorded(error: AuditUnavailable, request_id: &str) -> Response {
    let failure = Failure::unavailable("the audit log can't be written; nothing is revealed", error);
    Refused::Failure(failure).into_response(request_id)
}

fn failure_status(failure: &Failure) -> StatusCode {
    match failure {
        Failure::Invalid(_) => StatusCode::BAD_REQUEST,
        Failure::Unauthenticated { .. } => StatusCode::UNAUTHORIZED,
        Failure::Denied { .. } => StatusCode::FORBIDDEN,
        Failure::LockedOut { .. } => StatusCode::TOO_MANY_REQUESTS,
        Failure::NotFound(_) => StatusCode::NOT_FOUND,
        Failure::Conflict(_) => StatusCode::CONFLICT,
        Failure::Precondition { .. } | Failure::Behind { .. } => StatusCode::PRECONDITION_FAILED,
        Failure::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Failure::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
