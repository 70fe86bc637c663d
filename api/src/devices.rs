//! Devices that appear by themselves: what waits in quarantine, with suggestions; accepting one; putting messages through again.

use crate::{
    access::Action,
    body,
    city::{AcceptRequest, Accepted, AuditEvent, NewContract, ReplayRequest, Replayed, WaitingRequest},
    doors::Door,
    error::{ApiError, nearest},
    identity::Caller,
    params::{Params, clip},
    router::App,
};
use axum::{
    Json,
    body::Body,
    extract::{RawQuery, State},
    http::HeaderMap,
};
use schemas::{Classified as _, ProductId, Tenant};
use serde_json::{Map, Value, json};

const HOURS_DEFAULT: usize = 72;
/// Five weeks, as for the ledger.
const HOURS_MAX: usize = 840;
const MESSAGES_DEFAULT: usize = 1_000;
const MESSAGES_MAX: usize = 10_000;
/// The longest mapping or contract text, bytes.
const TEXT_LEN_MAX: usize = 256 << 10;

/// `GET /api/quarantine/suggestions?hours=72`: groups of waiting messages of the caller's tenants, largest first.
pub(crate) async fn suggestions(State(app): State<App>, caller: Caller, RawQuery(query): RawQuery) -> Result<Json<Value>, ApiError> {
    caller.require(Action::ReadQuarantine)?;
    let params = Params::parse(query.as_deref(), &["hours", "tenant"], &[])?;
    let hours = params.number("hours", 1..=HOURS_MAX, HOURS_DEFAULT)?;
    let tenant = params.tenant()?;
    let _place = app.doors.enter(Door::Sql).await?;
    let request = WaitingRequest {
        hours: u32::try_from(hours).unwrap_or(u32::MAX),
        tenant: tenant.clone(),
        tenants: caller.principal.tenants.clone(),
    };
    let found = app.city.suggestions(request).await?;
    let shown = |t: &Tenant| caller.principal.tenants.contains(t) && tenant.as_ref().is_none_or(|own| own == t);
    let list: Vec<Value> = found.list.into_iter().filter(|s| shown(&s.tenant)).map(|s| s.body).collect();
    Ok(Json(json!({
        "hours": hours, "waiting": found.waiting, "truncated": found.truncated, "may_accept": caller.principal.may(Action::Operate), "suggestions": list,
    })))
}

/// `POST /api/quarantine/accept`: `{"tenant", "id", "mapping", "contract"?: {"product", "text"}}`. The texts may have been edited.
pub(crate) async fn accept(State(app): State<App>, caller: Caller, headers: HeaderMap, body: Body) -> Result<Json<Accepted>, ApiError> {
    caller.require(Action::Operate)?;
    let mut fields = object(&app, &headers, body, &["tenant", "id", "mapping", "contract"]).await?;
    let tenant = own_tenant(&caller, &mut fields)?;
    let id = text(&mut fields, "id")?;
    if id.is_empty() || id.len() > 32 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(ApiError::body("id", "is not the id of a suggestion; take it from GET /api/quarantine/suggestions"));
    }
    let mapping = text(&mut fields, "mapping")?;
    if mapping.trim().is_empty() || mapping.len() > TEXT_LEN_MAX {
        return Err(ApiError::body("mapping", format!("must be the TOML text of a mapping file, at most {TEXT_LEN_MAX} bytes")));
    }
    let contract = contract(&mut fields)?;
    let object = format!("{tenant} {id}");
    let actor = caller.principal.name.clone();
    let accepted = app.city.accept(AcceptRequest { actor: actor.clone(), tenant, id, mapping, contract }).await;
    let outcome = accepted.as_ref().map_or_else(|e| e.kind().name(), |_| "ok");
    app.city.audit(AuditEvent { actor, action: "accept_mapping", object, outcome });
    accepted.map(Json)
}

/// `POST /api/quarantine/replay`: `{"tenant", "topic"?, "messages_max"?, "hours"?}`, `topic` being a template. Repeat while `left` is not 0.
pub(crate) async fn replay(State(app): State<App>, caller: Caller, headers: HeaderMap, body: Body) -> Result<Json<Replayed>, ApiError> {
    caller.require(Action::Operate)?;
    let mut fields = object(&app, &headers, body, &["tenant", "topic", "messages_max", "hours"]).await?;
    let tenant = own_tenant(&caller, &mut fields)?;
    let topic = if fields.contains_key("topic") { Some(text(&mut fields, "topic")?) } else { None };
    let messages_max = count(&mut fields, "messages_max", MESSAGES_MAX, MESSAGES_DEFAULT)?;
    let hours = u32::try_from(count(&mut fields, "hours", HOURS_MAX, HOURS_DEFAULT)?).unwrap_or(u32::MAX);
    let object = format!("{tenant} {}", topic.as_deref().unwrap_or("(all)"));
    let actor = caller.principal.name.clone();
    let _place = app.doors.enter(Door::Ingest).await?;
    let done = app.city.replay(ReplayRequest { tenant, topic, messages_max, hours }).await;
    let outcome = done.as_ref().map_or_else(|e| e.kind().name(), |_| "ok");
    app.city.audit(AuditEvent { actor, action: "replay", object: object.chars().take(2_000).collect(), outcome });
    done.map(Json)
}

/// The body as a JSON object with these names only.
pub(crate) async fn object(app: &App, headers: &HeaderMap, body: Body, known: &[&str]) -> Result<Map<String, Value>, ApiError> {
    match body::media_type(headers).as_deref() {
        None | Some("application/json") => {}
        Some(other) => return Err(ApiError::MediaType { got: clip(other), accepted: "application/json" }),
    }
    let bytes = body::read(body, app.config.limits.body_bytes_max).await?;
    let fields: Map<String, Value> =
        serde_json::from_slice(&bytes).map_err(|e| ApiError::body("json", format!("is not a JSON object: {e}")))?;
    if let Some(other) = fields.keys().find(|k| !known.contains(&k.as_str())) {
        let hint = nearest(other, known.iter().copied())
            .map_or_else(|| format!("known here: {}", known.join(", ")), |n| format!("did you mean '{n}'?"));
        return Err(ApiError::body(&clip(other), "is not a field of this request").with_hint(hint));
    }
    Ok(fields)
}

fn text(fields: &mut Map<String, Value>, name: &str) -> Result<String, ApiError> {
    match fields.remove(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(ApiError::body(name, "must be a text")),
        None => Err(ApiError::body(name, "is missing")),
    }
}

fn count(fields: &mut Map<String, Value>, name: &str, max: usize, default: usize) -> Result<usize, ApiError> {
    match fields.remove(name) {
        None => Ok(default),
        Some(value) => {
            let n = value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=max).contains(n));
            n.ok_or_else(|| ApiError::body(name, format!("is not a whole number from 1 to {max}")))
        }
    }
}

fn contract(fields: &mut Map<String, Value>) -> Result<Option<NewContract>, ApiError> {
    let mut inner = match fields.remove("contract") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(inner)) => inner,
        Some(_) => return Err(ApiError::body("contract", "must be an object with 'product' and 'text'")),
    };
    let product = ProductId::new(&text(&mut inner, "product")?).map_err(|e| ApiError::body("contract.product", e.to_string()))?;
    let text = text(&mut inner, "text")?;
    if text.len() > TEXT_LEN_MAX {
        return Err(ApiError::body("contract.text", format!("is longer than {TEXT_LEN_MAX} bytes")));
    }
    Ok(Some(NewContract { product, text }))
}

/// The tenant that the request is about, which must be one of the caller's (API-1).
fn own_tenant(caller: &Caller, fields: &mut Map<String, Value>) -> Result<Tenant, ApiError> {
    let tenant = Tenant::new(&text(fields, "tenant")?).map_err(|e| ApiError::body("tenant", e.to_string()))?;
    if caller.principal.tenants.contains(&tenant) {
        return Ok(tenant);
    }
    Err(ApiError::forbidden(&format!("tenant '{tenant}' is not one of yours"), "ask its administrator"))
}

#[cfg(test)]
mod tests;
