//! Protocols whose bodies are JSON: observations of SensorThings and entities of NGSI-LD. Only what brings data in.

use super::take;
use crate::{
    city::{IngestReceipt, Protocol},
    error::ApiError,
    identity::Caller,
    params::clip,
    router::{App, path},
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};

/// `POST /sensorthings/v1.1/` and `Observations`, `Datastreams(<id>)/Observations` or `CreateObservations`.
pub(super) async fn sensorthings(
    State(app): State<App>,
    caller: Caller,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let path = path(name)?;
    let known = match path.split('/').collect::<Vec<_>>().as_slice() {
        ["Observations" | "CreateObservations"] => true,
        [datastream, "Observations"] => datastream.starts_with("Datastreams(") && datastream.ends_with(')'),
        _ => false,
    };
    if !known || path.len() > 256 || path.contains(['+', '#']) {
        let message = format!("'{}' takes no observations", clip(&path));
        return Err(ApiError::not_found(message).with_hint("POST to Observations, Datastreams(<id>)/Observations or CreateObservations"));
    }
    let receipt = take(&app, caller, Protocol::SensorThings { path }, &headers, body).await?;
    Ok(created(receipt))
}

/// `POST …/ngsi-ld/v1/entityOperations/upsert`.
pub(super) async fn ngsi_ld(State(app): State<App>, caller: Caller, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let receipt = take(&app, caller, Protocol::NgsiLd, &headers, body).await?;
    Ok(created(receipt))
}

/// 201 when all is stored, 207 when part of it was refused, 400 when all was.
fn created(receipt: IngestReceipt) -> Response {
    let status = match receipt.counts.quarantined {
        0 => StatusCode::CREATED,
        n if n == receipt.counts.received => StatusCode::BAD_REQUEST,
        _ => StatusCode::MULTI_STATUS,
    };
    (status, Json(receipt)).into_response()
}
