//! The sensor register: who owns a device, what it is for, when it was calibrated. A product like every other (`sensor_register`):
//! an entry is a row about the device's own URN, the twin's newest row is the present, and the table is the history.

use crate::{
    access::Action,
    city::{AuditEvent, IngestReceipt, IngestRequest},
    devices,
    error::ApiError,
    identity::Caller,
    params::{Params, clip},
    router::{App, path},
    view::entities::entity_id,
};
use axum::{
    Json,
    body::Body,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    http::HeaderMap,
};
use schemas::{Classified as _, Contract, EntityId, Field, FieldType, ProductId, TableRef, Tenant, Timestamp};
use serde_json::{Map, Value};

/// The product of the register.
pub(crate) const PRODUCT: &str = "sensor_register";
/// Products whose entities are the devices of others.
pub(crate) const ABOUT_DEVICES: [&str; 2] = [PRODUCT, "device_health"];
/// Fields that hold a day, `2024-03-03`.
const DAYS: [&str; 3] = ["installed_on", "calibrated_on", "calibration_due"];

/// `PUT /api/register/{entity}?tenant=`: the whole entry. A text that is left out is empty from now on; the table keeps what it was.
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    (headers, body): (HeaderMap, Body),
) -> Result<Json<IngestReceipt>, ApiError> {
    caller.require(Action::Operate)?;
    let params = Params::parse(query.as_deref(), &["tenant"], &[])?;
    let id = entity_id(&path(id)?)?;
    let product = ProductId::new(PRODUCT).map_err(|e| ApiError::internal(e.to_string()))?;
    let contracts = app.city.contracts();
    let contract = contracts.get(&product).ok_or_else(|| ApiError::not_found("this installation has no sensor register"))?;
    let tenant = tenant(&app, &caller, &id, params.tenant()?)?;
    let known: Vec<&str> = contract.fields.iter().map(|f| f.name.as_str()).collect();
    let entry = entry(contract, devices::object(&app, &headers, body, &known).await?)?;
    let mut message = Map::from_iter([
        ("id".to_owned(), Value::from(id.as_str())),
        ("observed_at".to_owned(), Value::from(app.city.clock().now().to_rfc3339())),
        ("quality".to_owned(), Value::from("valid")),
    ]);
    message.extend(entry);
    let body = Value::Object(message).to_string().into();
    let actor = caller.principal.name.clone();
    let request = IngestRequest { principal: caller.principal, tenant: Some(tenant), product, content_type: "application/json", body };
    let receipt = app.city.ingest(request).await.and_then(taken);
    let outcome = receipt.as_ref().map_or_else(|e| e.kind().name(), |_| "ok");
    app.city.audit(AuditEvent { actor, action: "register", object: id.as_str().to_owned(), outcome });
    receipt.map(Json)
}

/// A refused row is a refused request.
fn taken(receipt: IngestReceipt) -> Result<IngestReceipt, ApiError> {
    match receipt.rejects.first() {
        Some(reject) => Err(ApiError::body(reject.field.as_deref().unwrap_or("entry"), reject.message.clone())),
        None => Ok(receipt),
    }
}

/// That of the device's own data; of a device that has not spoken yet, the one asked for or the one in its URN.
fn tenant(app: &App, caller: &Caller, id: &EntityId, asked: Option<Tenant>) -> Result<Tenant, ApiError> {
    let twin = app.city.twin();
    let mine = |t: &TableRef| caller.principal.tenants.contains(&t.tenant) && asked.as_ref().is_none_or(|a| *a == t.tenant);
    let known = twin.find(id.as_str()).map(|e| e.table().clone()).collect::<Vec<_>>();
    if let Some(table) = known.iter().find(|t| mine(t)) {
        return Ok(table.tenant.clone());
    }
    let hidden =
        || ApiError::not_found(format!("there is no entity '{id}' that you may see")).with_hint("GET /api/twin/entities lists them");
    if !known.is_empty() {
        return Err(hidden());
    }
    // urn:ngsi-ld:<type>:<tenant>:<local>
    let named = id.as_str().split(':').nth(3).and_then(|t| Tenant::new(t).ok());
    let tenant = asked.or(named).ok_or_else(|| ApiError::query("tenant", "is missing; the identifier does not say whose device it is"))?;
    if caller.principal.tenants.contains(&tenant) { Ok(tenant) } else { Err(hidden()) }
}

/// The entry with every field of the contract that can be empty.
fn entry(contract: &Contract, mut fields: Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    let mut out = Map::new();
    for field in &contract.fields {
        let value = match (field.kind, fields.remove(&field.name).filter(|v| !v.is_null())) {
            (FieldType::Text, value) => Some(text(field, value)?.into()),
            (FieldType::Bool, Some(Value::Bool(v))) => Some(v.into()),
            (FieldType::Bool, None) if field.required => return Err(missing(field)),
            (_, None) => None,
            (FieldType::Bool, Some(_)) => return Err(ApiError::body(&field.name, "must be true or false")),
            (FieldType::Float | FieldType::Int, Some(value)) => Some(value),
        };
        out.extend(value.map(|v| (field.name.clone(), v)));
    }
    let day = |name: &str| out.get(name).and_then(Value::as_str).filter(|t| !t.is_empty());
    for (earlier, later) in [("calibrated_on", "calibration_due"), ("installed_on", "calibration_due")] {
        if let (Some(a), Some(b)) = (day(earlier), day(later))
            && b < a
        {
            return Err(ApiError::body(later, format!("{b} is before '{earlier}', {a}; correct one of the two")));
        }
    }
    Ok(out)
}

fn missing(field: &Field) -> ApiError {
    ApiError::body(&field.name, format!("is missing; the register needs '{}'", field.label.en))
}

fn text(field: &Field, value: Option<Value>) -> Result<String, ApiError> {
    let text = match value {
        None => String::new(),
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(_) => return Err(ApiError::body(&field.name, "must be a text")),
    };
    let n = text.chars().count();
    if text.is_empty() && field.required {
        return Err(missing(field));
    }
    if n > field.len_max {
        return Err(ApiError::body(&field.name, format!("has {n} characters; at most {} are kept", field.len_max)));
    }
    if DAYS.contains(&field.name.as_str()) && !text.is_empty() && !is_day(&text) {
        return Err(ApiError::body(&field.name, format!("'{}' is not a day; write it as 2024-03-03", clip(&text))));
    }
    if field.name == "class" && text.chars().any(char::is_control) {
        return Err(ApiError::body(&field.name, "must be one line"));
    }
    Ok(text)
}

fn is_day(text: &str) -> bool {
    text.len() == 10 && Timestamp::parse(&format!("{text}T00:00:00Z")).is_ok()
}

#[cfg(test)]
mod tests;
