//! Doors that speak the protocols of other systems, so that agents which exist already send to Portico unchanged.
//!
//! They translate addresses, credentials and answers; what a body means is known behind the port ([`crate::City::ingest_foreign`]).
//! Good parts of a body are stored although others are not, and every answer says what was not.

mod influx;
mod json;
mod metrics;
mod webhook;

use crate::{
    access::{Action, Principal},
    body,
    city::{AuditEvent, ForeignRequest, IngestReceipt, Protocol},
    doors::Door,
    error::ApiError,
    identity::Caller,
    router::App,
};
use axum::{
    Router,
    body::Body,
    http::HeaderMap,
    routing::{get, post},
};
use schemas::Classified as _;

pub use webhook::Webhook;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/write", post(influx::write))
        .route("/api/v2/write", post(influx::write_v2))
        .route("/query", get(influx::query).post(influx::query))
        .route("/ping", get(influx::ping))
        .route("/health", get(influx::health))
        .route("/api/v1/write", post(metrics::prometheus))
        .route("/v1/metrics", post(metrics::otlp))
        .route("/sensorthings/v1.1/{*path}", post(json::sensorthings))
        .route("/api/ingest/ngsi-ld/v1/entityOperations/upsert", post(json::ngsi_ld))
        .route("/api/ingest/webhook/{name}", post(webhook::post))
}

/// Reads, inflates and hands over a body.
async fn take(app: &App, caller: Caller, protocol: Protocol, headers: &HeaderMap, body: Body) -> Result<IngestReceipt, ApiError> {
    caller.require(Action::Ingest)?;
    let limits = &app.config.limits;
    let _place = app.doors.enter(Door::Ingest).await?;
    let sent = body::read(body, limits.ingest_bytes_max).await?;
    let body = match protocol {
        // Compressed by the protocol; its own limit holds behind the port.
        Protocol::PrometheusWrite => sent,
        _ => body::inflate(headers, sent, limits.ingest_inflated_bytes_max).await?,
    };
    hand_over(app, caller.principal, protocol, body).await
}

/// The ledger accounts for what was taken; the audit is for what was refused as a whole.
async fn hand_over(app: &App, principal: Principal, protocol: Protocol, body: bytes::Bytes) -> Result<IngestReceipt, ApiError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(IngestReceipt::default());
    }
    let (actor, object) = (principal.name.clone(), format!("{protocol:?}").chars().take(200).collect());
    let receipt = app.city.ingest_foreign(ForeignRequest { principal, protocol, body }).await;
    if let Err(e) = &receipt {
        app.city.audit(AuditEvent { actor, action: "ingest", object, outcome: e.kind().name() });
    }
    receipt
}

/// What was refused, in one sentence for the log of an agent.
fn refused(receipt: &IngestReceipt) -> String {
    let mut out = String::new();
    for reject in receipt.rejects.iter().take(5) {
        out += &format!("line {}: {} ({}); ", reject.line, reject.message, reject.reason);
    }
    format!("{out}refused={}", receipt.counts.quarantined)
}

#[cfg(test)]
mod tests;
