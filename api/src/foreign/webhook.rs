//! Webhooks: JSON that another system sends when something happens, signed with a secret that both know.
//!
//! `X-Portico-Timestamp` holds epoch seconds, `X-Portico-Signature` holds `sha256=<hex>`: HMAC-SHA256 over `<timestamp>.<body>` with the
//! secret, the body as it is sent (before decompression). The time bounds how long a request that was overheard can be sent again;
//! within that, the same message is the same row (ING-3).

use super::hand_over;
use crate::{
    access::{Action, Principal},
    body,
    city::{IngestReceipt, Protocol},
    doors::Door,
    error::ApiError,
    params::clip,
    router::{App, path},
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::HeaderMap,
};
use ring::hmac;

/// Difference between the sender's clock and ours.
const TOLERANCE_SECS: i64 = 300;

/// A webhook that is taken.
#[derive(Clone)]
pub struct Webhook {
    /// Last level of its address.
    pub name: String,
    /// At least 16 bytes.
    pub secret: Vec<u8>,
    /// For whom its messages count.
    pub principal: Principal,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Secrets stay out of logs.
        f.debug_struct("Webhook").field("name", &self.name).field("principal", &self.principal).finish_non_exhaustive()
    }
}

fn unsigned(rule: &str) -> ApiError {
    ApiError::unauthenticated(
        &format!("the signature {rule}"),
        "send 'X-Portico-Timestamp: <epoch seconds>' and 'X-Portico-Signature: sha256=<hex of HMAC-SHA256 of \"<timestamp>.<body>\">'",
    )
}

/// `POST /api/ingest/webhook/{name}`.
pub(super) async fn post(
    State(app): State<App>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<IngestReceipt>, ApiError> {
    let name = path(name)?;
    let webhook = app.config.webhooks.iter().find(|w| w.name == name);
    let webhook = webhook.ok_or_else(|| ApiError::not_found(format!("there is no webhook '{}'", clip(&name))))?;
    webhook.principal.require(Action::Ingest)?;
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
    let stamp = text("x-portico-timestamp").ok_or_else(|| unsigned("has no timestamp"))?;
    let sent_at: i64 = stamp.parse().map_err(|_| unsigned("has a timestamp that is no whole number of seconds"))?;
    let now = app.city.clock().now().micros().div_euclid(1_000_000);
    if sent_at.abs_diff(now) > TOLERANCE_SECS.unsigned_abs() {
        return Err(unsigned(&format!("is more than {TOLERANCE_SECS} s from now; set the sender's clock")));
    }
    let signature = text("x-portico-signature").and_then(|s| s.strip_prefix("sha256=")).and_then(unhex);
    let signature = signature.ok_or_else(|| unsigned("is absent or not 'sha256=' and 64 hexadecimal digits"))?;
    let limits = &app.config.limits;
    let _place = app.doors.enter(Door::Ingest).await?;
    let sent = body::read(body, limits.ingest_bytes_max).await?;
    let mut signed = Vec::with_capacity(stamp.len() + 1 + sent.len());
    signed.extend_from_slice(stamp.as_bytes());
    signed.push(b'.');
    signed.extend_from_slice(&sent);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &webhook.secret);
    // In constant time.
    hmac::verify(&key, &signed, &signature).map_err(|_| unsigned("does not fit the body and the secret"))?;
    let body = body::inflate(&headers, sent, limits.ingest_inflated_bytes_max).await?;
    hand_over(&app, webhook.principal.clone(), Protocol::Webhook { name }, body).await.map(Json)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let digits = digits.filter(|d| d.len() == 64)?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
