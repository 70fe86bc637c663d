//! `GET /api/twin/h3`: one field of one product by H3 cell.

use super::{Reading, failed, with_type};
use crate::{error::ApiError, identity::Caller, params::Params, router::App, scope::Scope};
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use serde::Serialize;

const RESOLUTION_DEFAULT: usize = 9;
const RESOLUTION_MAX: usize = 12;

#[derive(Serialize)]
struct Cells<'a> {
    product: &'a str,
    field: &'a str,
    unit: Option<&'a str>,
    resolution: u8,
    as_of: String,
    position: u64,
    cells: Vec<OneCell>,
}

#[derive(Serialize)]
struct OneCell {
    /// Hexadecimal.
    h3: String,
    n: u64,
    mean: f64,
    min: f64,
    max: f64,
}

/// Cells with their count, mean, least and greatest value. `field` is the headline when absent.
pub(crate) async fn get(State(app): State<App>, caller: Caller, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let known = ["tenant", "product", "field", "resolution", "bbox", "as_of", "known_as_on"];
    let params = Params::parse(query.as_deref(), &known, &[])?;
    let scope = Scope::from(&params, &app, &caller.principal)?;
    let resolution = params.number("resolution", 0..=RESOLUTION_MAX, RESOLUTION_DEFAULT)?;
    let resolution = h3o::Resolution::try_from(resolution as u8).map_err(|e| ApiError::query("resolution", e.to_string()))?;
    let bbox = params.bbox()?.map(twin::BBox::new).transpose().map_err(failed)?;
    let Some(chosen) = scope.field(params.text("field"))?.map(|(c, f, t)| (c.product.clone(), f.clone(), t)) else {
        return Ok(with_type("{\"cells\":[]}", "application/json"));
    };
    let (product, field, tenants) = chosen;
    let reading = Reading::open(&app, &params, scope, None).await?;
    let body = reading.run(move |r| {
        let request = twin::AggregateRequest { tenants, product: product.clone(), field: Some(field.name.clone()), resolution, bbox };
        let cells = r.twin.h3_aggregates(&request).map_err(failed)?;
        let cells = cells.iter().map(|c| OneCell { h3: c.cell.text(), n: c.n, mean: c.mean, min: c.min, max: c.max }).collect();
        let answer = Cells {
            product: product.as_str(),
            field: &field.name,
            unit: field.unit.as_deref(),
            resolution: u8::from(resolution),
            as_of: r.at.to_rfc3339(),
            position: r.twin.position(),
            cells,
        };
        serde_json::to_vec(&answer).map_err(|e| ApiError::internal(e.to_string()))
    });
    Ok(with_type(body.await??, "application/json"))
}
