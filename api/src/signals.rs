//! Commands to traffic signals. What may be commanded is decided by the controller of the signal, which answers with rows of
//! `<tenant>.signal_command`; who may command is decided here, and noted.

use crate::{
    access::Action,
    city::{AuditEvent, CommandRequest, Commanded, Wanted},
    devices,
    error::ApiError,
    identity::Caller,
    router::{App, path},
    view::entities::entity_id,
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode},
};
use schemas::{Classified as _, EntityId, ProductId, Tenant};
use serde_json::{Map, Value};

const PRODUCT: &str = "traffic_signal";
const HOLD_SECS_MAX: f64 = 3_600.0;
const EXPIRES_SECS_DEFAULT: u64 = 120;
const EXPIRES_SECS_MAX: u64 = 900;
const REASON_CHARS: std::ops::RangeInclusive<usize> = 5..=500;

/// `POST /api/signals/{entity}/command`: `{"phase" | "program", "hold_secs", "expires_secs"?, "reason"}`. 202: requested, not yet applied.
pub(crate) async fn command(
    State(app): State<App>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Commanded>), ApiError> {
    caller.require(Action::Operate)?;
    let signal = entity_id(&path(id)?)?;
    let tenant = tenant(&app, &caller, &signal)?;
    let fields = devices::object(&app, &headers, body, &["phase", "program", "hold_secs", "expires_secs", "reason"]).await?;
    let (wanted, hold_secs) = (wanted(&fields)?, hold(&fields)?);
    let expires_secs = match fields.get("expires_secs") {
        None => EXPIRES_SECS_DEFAULT,
        Some(value) => value
            .as_u64()
            .filter(|n| (1..=EXPIRES_SECS_MAX).contains(n))
            .ok_or_else(|| ApiError::body("expires_secs", format!("must be a whole number from 1 to {EXPIRES_SECS_MAX}")))?,
    };
    let reason = fields.get("reason").and_then(Value::as_str).map(str::trim).unwrap_or_default().to_owned();
    if !REASON_CHARS.contains(&reason.chars().count()) {
        return Err(ApiError::body("reason", format!("must say why, in {} to {} characters", REASON_CHARS.start(), REASON_CHARS.end())));
    }
    let actor = caller.principal.name.clone();
    let object = signal.as_str().to_owned();
    let request = CommandRequest { actor: actor.clone(), tenant, signal, wanted, hold_secs, expires_secs, reason };
    let done = app.city.command(request).await;
    let outcome = done.as_ref().map_or_else(|e| e.kind().name(), |_| "ok");
    let object = done.as_ref().map_or(object.clone(), |c| format!("{object} {}", c.command));
    app.city.audit(AuditEvent { actor, action: "signal_command", object, outcome });
    done.map(|commanded| (StatusCode::ACCEPTED, Json(commanded)))
}

fn tenant(app: &App, caller: &Caller, signal: &EntityId) -> Result<Tenant, ApiError> {
    let product = ProductId::new(PRODUCT).map_err(|e| ApiError::internal(e.to_string()))?;
    let twin = app.city.twin();
    let found = twin.find(signal.as_str()).map(|e| e.table().clone()).find(|t| t.product == product);
    let mine = found.filter(|t| caller.principal.tenants.contains(&t.tenant));
    mine.map(|t| t.tenant).ok_or_else(|| {
        ApiError::not_found(format!("there is no signal '{signal}' that you may see"))
            .with_hint("GET /api/twin/entities?product=traffic_signal lists them")
    })
}

fn wanted(fields: &Map<String, Value>) -> Result<Wanted, ApiError> {
    match (fields.get("phase"), fields.get("program")) {
        (Some(phase), None) => {
            let phase = phase.as_u64().and_then(|n| u8::try_from(n).ok());
            phase.map(Wanted::Phase).ok_or_else(|| ApiError::body("phase", "must be the index of a phase, 0 to 255"))
        }
        (None, Some(Value::String(program))) if (1..=64).contains(&program.len()) => Ok(Wanted::Program(program.clone())),
        (None, Some(_)) => Err(ApiError::body("program", "must be the name of a program, at most 64 bytes")),
        (None, None) => Err(ApiError::body("phase", "is missing; name a phase or a program")),
        (Some(_), Some(_)) => Err(ApiError::body("program", "and phase exclude each other; name one")),
    }
}

fn hold(fields: &Map<String, Value>) -> Result<f64, ApiError> {
    let secs = fields.get("hold_secs").and_then(Value::as_f64).filter(|s| (1.0..=HOLD_SECS_MAX).contains(s));
    secs.ok_or_else(|| ApiError::body("hold_secs", format!("must be a number of seconds from 1 to {HOLD_SECS_MAX}")))
}
