//! `GET /api/twin/entities/{urn}/history`: one field of one entity over time.

use super::{Reading, entities, with_type};
use crate::{
    city::SeriesRequest,
    error::ApiError,
    identity::Caller,
    params::{Params, clip},
    router::{App, path},
    scope::{Scope, Visible, unknown_field},
};
use arrow_array::{
    Array as _, RecordBatch,
    cast::AsArray as _,
    types::{Float64Type, TimestampMillisecondType},
};
use arrow_schema::{DataType, TimeUnit};
use axum::{
    extract::{Path, RawQuery, State, rejection::PathRejection},
    response::Response,
};
use schemas::{FieldType, Timestamp, time::DAY_US};
use serde::Serialize;

const POINTS_DEFAULT: usize = 1_000;
const POINTS_MAX: usize = 20_000;
const PARAMETERS: &[&str] = &["tenant", "product", "field", "key", "from", "to", "points_max"];

#[derive(Serialize)]
struct History<'a> {
    id: &'a str,
    product: &'a str,
    tenant: &'a str,
    field: &'a str,
    unit: Option<&'a str>,
    from: String,
    to: String,
    /// Milliseconds since 1970 and the value.
    points: Vec<(i64, f64)>,
    downsampled: bool,
}

/// The last day by default. `key=direction:north` (repeatable) picks among rows of one instant.
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let params = Params::parse(query.as_deref(), PARAMETERS, &["key"])?;
    let id = entities::entity_id(&path(id)?)?;
    let scope = Scope::from(&params, &app, &caller.principal)?;
    let to = params.time("to")?.unwrap_or_else(|| app.city.clock().now());
    let from = params.time("from")?.unwrap_or(Timestamp(to.0.saturating_sub(DAY_US)));
    if from >= to {
        return Err(ApiError::query("from", "is not before 'to'; swap them or widen the range"));
    }
    let points_max = params.number("points_max", 2..=POINTS_MAX, POINTS_DEFAULT)?;
    let reading = Reading::open(&app, &params, scope, None).await?;
    let visible = entities::find(&reading, &id)?.1;
    let name = params.text("field").unwrap_or(&visible.contract.headline);
    let Some(field) = visible.fields().find(|f| f.name == name && !f.key) else {
        return Err(unknown_field(name, visible.table.product.as_str(), visible.fields().filter(|f| !f.key)));
    };
    if field.kind == FieldType::Text {
        return Err(ApiError::query("field", format!("'{name}' holds texts; a history is made of numbers"))
            .with_hint("query texts with POST /api/sql"));
    }
    let request = SeriesRequest {
        table: visible.table.clone(),
        entity: id.clone(),
        field: field.name.clone(),
        keys: keys(&params, &visible)?,
        from,
        to,
        points_max,
    };
    let series = app.city.series(request).await?;
    let answer = History {
        id: id.as_str(),
        product: visible.table.product.as_str(),
        tenant: visible.table.tenant.as_str(),
        field: &field.name,
        unit: field.unit.as_deref(),
        from: from.to_rfc3339(),
        to: to.to_rfc3339(),
        points: points(&series.points)?,
        downsampled: series.downsampled,
    };
    let body = serde_json::to_vec(&answer).map_err(|e| ApiError::internal(e.to_string()))?;
    Ok(with_type(body, "application/json"))
}

fn keys(params: &Params<'_>, visible: &Visible) -> Result<Vec<(String, String)>, ApiError> {
    let key = |text: &str| {
        let names: Vec<&str> = visible.fields().filter(|f| f.key).map(|f| f.name.as_str()).collect();
        let pair = text.split_once(':').filter(|(name, _)| names.contains(name));
        pair.map(|(n, v)| (n.to_owned(), v.to_owned())).ok_or_else(|| {
            let known = if names.is_empty() { "this product has none".to_owned() } else { format!("key fields: {}", names.join(", ")) };
            ApiError::query("key", format!("'{}' is not a key field and a value; write it as field:value", clip(text))).with_hint(known)
        })
    };
    params.all("key").map(key).collect()
}

/// Rows without a value are left out.
fn points(batch: &RecordBatch) -> Result<Vec<(i64, f64)>, ApiError> {
    let fail = |e: String| ApiError::internal(format!("the series is not time and value: {e}"));
    let column = |name: &str, kind: &DataType| {
        let found = batch.column_by_name(name).ok_or_else(|| fail(format!("no column '{name}'")))?;
        arrow_cast::cast(found, kind).map_err(|e| fail(e.to_string()))
    };
    let time = column("time", &DataType::Timestamp(TimeUnit::Millisecond, None))?;
    let value = column("value", &DataType::Float64)?;
    let (time, value) = (time.as_primitive::<TimestampMillisecondType>(), value.as_primitive::<Float64Type>());
    let rows = 0..batch.num_rows();
    Ok(rows
        .filter(|&i| time.is_valid(i) && value.is_valid(i) && value.value(i).is_finite())
        .map(|i| (time.value(i), value.value(i)))
        .collect())
}
