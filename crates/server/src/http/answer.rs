//! Answers.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use zeroize::Zeroizing;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// By which a scraper tells OpenMetrics from the older text format (OpenMetrics 1.0, "Protocol Negotiation").
const METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// What a panic or a type that can't be written down leaves to say.
const INTERNAL: &str = r#"{"error":"internal error"}"#;

pub(super) fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => with_type(status, JSON, Body::from(bytes)),
        Err(_) => internal(),
    }
}

/// An answer that carries secrets: its bytes are wiped once they are sent.
pub(super) fn secret_json(status: StatusCode, bytes: Zeroizing<Vec<u8>>) -> Response {
    with_type(status, JSON, Body::from(Bytes::from_owner(Wiped(bytes))))
}

pub(super) fn text(status: StatusCode, text: impl Into<Body>) -> Response {
    with_type(status, TEXT, text.into())
}

pub(super) fn metrics(text: String) -> Response {
    with_type(StatusCode::OK, METRICS, Body::from(text))
}

pub(super) fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

pub(super) fn internal() -> Response {
    with_type(StatusCode::INTERNAL_SERVER_ERROR, JSON, Body::from(INTERNAL))
}

fn with_type(status: StatusCode, content_type: HeaderValue, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

struct Wiped(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
