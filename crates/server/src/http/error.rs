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
        self.log(status, &message, request_id);
        let mut response = answer::json(status, &ErrorBody { error: message });
        if let Some((name, value)) = self.header() {
            response.headers_mut().insert(name, value);
        }
        response
    }

    fn log(&self, status: StatusCode, message: &str, request_id: &str) {
        let Refused::Failure(failure) = self else { return };
        let (status_code, detail) = (status.as_u16(), failure.detail().unwrap_or_default());
        match failure {
            // What is wrong with key management is logged as such and now and then, not with each request.
            Failure::Misconfigured { .. } => {
                tracing::debug!(request_id, status = status_code, message, detail, "request failed");
            }
            _ if status.is_server_error() => {
                tracing::error!(request_id, status = status_code, message, detail, "request failed");
            }
            _ => {}
        }
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
        Failure::Unavailable { .. } | Failure::Misconfigured { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Failure::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use hyperion_vault_kms::{KmsError, Outage};

    use super::*;

    const REQUEST_ID: &str = "0123456789abcdef";

    async fn answer(error: KmsError) -> (StatusCode, Option<HeaderValue>, String) {
        let response = Refused::from(error).into_response(REQUEST_ID);
        let (head, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1_024).await.unwrap();
        (head.status, head.headers.get(RETRY_AFTER).cloned(), String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn what_is_wrong_with_key_management_is_told_by_what_a_caller_can_do_about_it() {
        let detail = || "AccessDeniedException for arn:aws:kms:eu-central-1:111122223333:key/k".to_owned();
        let unavailable = r#"{"error":"key management unavailable"}"#.to_owned();
        for outage in
            [Outage::Throttled, Outage::TimedOut, Outage::Unreachable, Outage::Faulty, Outage::CircuitOpen]
        {
            let (status, retry_after, body) =
                answer(KmsError::Unavailable { outage, detail: detail() }).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{outage}");
            assert_eq!(retry_after, Some(HeaderValue::from_static("1")), "{outage}");
            assert_eq!(body, unavailable);
        }
        let misconfigured = answer(KmsError::Misconfigured { detail: detail() }).await;
        assert_eq!(misconfigured, (StatusCode::SERVICE_UNAVAILABLE, None, unavailable));
        let tampered = answer(KmsError::Tampered { detail: detail() }).await;
        let internal = r#"{"error":"internal error"}"#.to_owned();
        assert_eq!(tampered, (StatusCode::INTERNAL_SERVER_ERROR, None, internal));
    }
}
