//! What every request passes through: an id in the log, a deadline, and headers that keep browsers safe.

use crate::{config::ApiConfig, error::ApiError, router::App};
use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use schemas::Kind;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tracing::Instrument as _;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Numbers requests: the start of the process in the high bits, so that a restart does not repeat them.
#[derive(Debug, Clone)]
pub(crate) struct RequestIds(Arc<AtomicU64>);

impl RequestIds {
    pub(crate) fn new(started: schemas::Timestamp) -> Self {
        Self(Arc::new(AtomicU64::new((started.0 as u64) << 12)))
    }
}

/// Gives the request an id (the caller's own, if it is a modest one), logs its end, and ends it at its deadline.
pub(crate) async fn trace(State((app, ids)): State<(App, RequestIds)>, request: Request, next: Next) -> Response {
    let own = request
        .headers()
        .get(&REQUEST_ID)
        .filter(|v| v.len() <= 64 && v.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b)));
    let id = own.cloned().unwrap_or_else(|| {
        let text = format!("{:016x}", ids.0.fetch_add(1, Ordering::Relaxed));
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("0"))
    });
    let route = request.extensions().get::<MatchedPath>().map_or("-", |p| p.as_str()).to_owned();
    let span = tracing::info_span!("http", id = id.to_str().unwrap_or("-"), method = %request.method(), route);
    let limit = deadline(request.uri().path(), &app.config);
    let start = Instant::now();
    let mut response = async {
        let response = tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
            ApiError::new(Kind::Unavailable, format!("there was no answer within {} s", limit.as_secs())).into_response()
        });
        let ms = start.elapsed().as_secs_f64() * 1_000.0;
        tracing::debug!(status = response.status().as_u16(), ms, "request answered");
        response
    }
    .instrument(span)
    .await;
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// SQL has its own time limit, kept by the engine; the door adds what queueing may take.
fn deadline(path: &str, config: &ApiConfig) -> Duration {
    let limits = &config.limits;
    if path == "/api/sql" { limits.sql_timeout + limits.queue_timeout + Duration::from_secs(5) } else { limits.request_timeout }
}

/// The answer to a panic: a problem document like any other.
pub(crate) fn panicked(panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    ApiError::internal(format!("panic: {}", text.unwrap_or("?"))).into_response()
}

/// The headers of every answer.
#[derive(Debug, Clone)]
pub(crate) struct Security(Arc<Vec<(HeaderName, HeaderValue)>>);

impl Security {
    /// Error: `Invalid`, when a configured host cannot stand in a header.
    pub(crate) fn new(config: &ApiConfig) -> Result<Self, ApiError> {
        let hosts: String = config.tile_hosts.iter().map(|h| format!(" {h}")).collect();
        if let Some(bad) = config.tile_hosts.iter().find(|h| h.contains([' ', ';', ',', '\''])) {
            return Err(ApiError::new(Kind::Invalid, format!("tile host '{bad}' is not an origin; write it as https://tiles.example.it")));
        }
        let policy = format!(
            "default-src 'self'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data: blob:{hosts}; \
             connect-src 'self'{hosts}; font-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        );
        let policy = HeaderValue::from_str(&policy)
            .map_err(|_| ApiError::new(Kind::Invalid, "a tile host holds a character that no header can carry"))?;
        let fixed = |name: &'static str, value: &'static str| (HeaderName::from_static(name), HeaderValue::from_static(value));
        let mut list = vec![
            (header::CONTENT_SECURITY_POLICY, policy),
            fixed("x-content-type-options", "nosniff"),
            fixed("x-frame-options", "DENY"),
            fixed("referrer-policy", "same-origin"),
            fixed("cross-origin-opener-policy", "same-origin"),
            fixed("permissions-policy", "camera=(), microphone=(), geolocation=(self)"),
        ];
        if config.tls {
            list.push(fixed("strict-transport-security", "max-age=31536000"));
        }
        Ok(Self(Arc::new(list)))
    }
}

/// Adds the headers of [`Security`].
pub(crate) async fn secure(State(security): State<Security>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in security.0.iter() {
        headers.insert(name, value.clone());
    }
    response
}
