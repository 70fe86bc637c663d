//! `POST /api/ingest/{product}`: messages over HTTP, acknowledged when they are durable.

use crate::{
    access::Action,
    body,
    city::{AuditEvent, IngestReceipt, IngestRequest},
    doors::Door,
    error::{ApiError, nearest},
    identity::Caller,
    params::{Params, clip},
    router::{App, path},
};
use axum::{
    Json,
    body::Body,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    http::HeaderMap,
};
use schemas::{Classified as _, ProductId};

/// NDJSON, or a JSON array or object; `Content-Encoding: gzip` is undone.
pub(crate) async fn post(
    State(app): State<App>,
    caller: Caller,
    name: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    (headers, body): (HeaderMap, Body),
) -> Result<Json<IngestReceipt>, ApiError> {
    caller.require(Action::Ingest)?;
    Params::parse(query.as_deref(), &[], &[])?;
    let product = known_product(&app, &path(name)?)?;
    let content_type = match body::media_type(&headers).as_deref() {
        Some("application/json") => "application/json",
        None | Some("application/x-ndjson" | "application/ndjson" | "application/jsonl") => "application/x-ndjson",
        Some(other) => return Err(ApiError::MediaType { got: clip(other), accepted: "application/x-ndjson, application/json" }),
    };
    let limits = &app.config.limits;
    let _place = app.doors.enter(Door::Ingest).await?;
    let sent = body::read(body, limits.ingest_bytes_max).await?;
    let body = body::inflate(&headers, sent, limits.ingest_inflated_bytes_max).await?;
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::body("body", "is empty; send one JSON message per line, or an array of them"));
    }
    let (actor, object) = (caller.principal.name.clone(), product.to_string());
    let receipt = app.city.ingest(IngestRequest { principal: caller.principal, tenant: None, product, content_type, body }).await;
    // The ledger accounts for what was taken; the audit is for what was refused as a whole.
    if let Err(e) = &receipt {
        app.city.audit(AuditEvent { actor, action: "ingest", object, outcome: e.kind().name() });
    }
    receipt.map(Json)
}

fn known_product(app: &App, name: &str) -> Result<ProductId, ApiError> {
    let contracts = app.city.contracts();
    if let Some(contract) = ProductId::new(name).ok().and_then(|p| contracts.get(&p)) {
        return Ok(contract.product.clone());
    }
    Err(unknown_product(name, contracts))
}

/// `NotFound` with the nearest product.
pub(crate) fn unknown_product(name: &str, contracts: &schemas::Contracts) -> ApiError {
    let error = ApiError::not_found(format!("there is no product '{}'", clip(name)));
    match nearest(name, contracts.iter().map(|c| c.product.as_str())) {
        Some(known) => error.with_hint(format!("did you mean '{known}'?")),
        None => error.with_hint("GET /api/products lists them"),
    }
}

#[cfg(test)]
mod tests;
