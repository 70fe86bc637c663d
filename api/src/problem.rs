//! RFC 9457 problem details: the one place where a kind of error becomes an HTTP status.

use crate::error::ApiError;
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemas::{Classified as _, Kind, RetryHint};

const CONTENT_TYPE: &str = "application/problem+json";

#[derive(serde::Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
}

/// The status of an error.
fn status(error: &ApiError) -> StatusCode {
    match error {
        ApiError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        ApiError::MediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ApiError::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
        other => match (other.kind(), other.retry_hint()) {
            (Kind::Invalid, _) => StatusCode::BAD_REQUEST,
            (Kind::NotFound, _) => StatusCode::NOT_FOUND,
            (Kind::Unauthenticated, _) => StatusCode::UNAUTHORIZED,
            (Kind::Forbidden, _) => StatusCode::FORBIDDEN,
            (Kind::Conflict, _) => StatusCode::CONFLICT,
            // A limit that the same request will always meet must not invite a client to try again.
            (Kind::Limit, RetryHint::Never) => StatusCode::UNPROCESSABLE_ENTITY,
            (Kind::Limit, RetryHint::AfterMillis(_)) => StatusCode::TOO_MANY_REQUESTS,
            (Kind::Cancelled | Kind::Unavailable, _) => StatusCode::SERVICE_UNAVAILABLE,
            (Kind::Corrupt | Kind::Internal, _) => StatusCode::INTERNAL_SERVER_ERROR,
        },
    }
}

const fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Invalid => "The request is not valid",
        Kind::NotFound => "Not found",
        Kind::Unauthenticated => "Sign-in needed",
        Kind::Forbidden => "Not allowed",
        Kind::Conflict => "In conflict with what is stored",
        Kind::Limit => "A limit was reached",
        Kind::Cancelled => "Cancelled",
        Kind::Unavailable => "Not available for now",
        Kind::Corrupt => "Stored data are damaged",
        Kind::Internal => "Internal error",
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (kind, status) = (self.kind(), status(&self));
        let text = self.to_string();
        let hidden = matches!(kind, Kind::Internal | Kind::Corrupt);
        if hidden {
            tracing::error!(kind = kind.name(), detail = %text, "request failed");
        }
        let (hint, place) = match &self {
            Self::Failed(f) => (f.hint.clone(), f.place),
            Self::Parameter { hint, .. } => (hint.clone(), None),
            Self::Method(_) => (None, None),
            Self::TooLarge { .. } => (Some("send it in smaller parts".to_owned()), None),
            Self::MediaType { accepted, .. } => (Some(format!("use one of: {accepted}")), None),
        };
        let problem = Problem {
            r#type: format!("urn:portico:problem:{}", kind.name()),
            title: title(kind),
            status: status.as_u16(),
            detail: if hidden { "the request failed for a reason that is in the log under its x-request-id" } else { &text },
            kind: kind.name(),
            hint,
            line: place.map(|p| p.0),
            column: place.map(|p| p.1),
        };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let RetryHint::AfterMillis(ms) = self.retry_hint() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000).max(1)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"portico\""));
        }
        response
    }
}
