//! `GET /api/products`: what the caller can see, and how it stands.

use super::{Reading, with_type};
use crate::{
    error::ApiError,
    identity::Caller,
    params::Params,
    router::App,
    scope::{Scope, Visible},
};
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use schemas::{FieldType, Timestamp, contract::Label};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct Product<'a> {
    product: &'a str,
    tenant: &'a str,
    label: &'a Label,
    description: &'a str,
    version: &'a str,
    r#type: &'a str,
    headline: &'a str,
    fields: Vec<Shown<'a>>,
    entities: usize,
    newest: Option<String>,
    /// Of the newest row; the counts beside it are of entities.
    freshness: &'static str,
    fresh: usize,
    due: usize,
    overdue: usize,
    cadence_secs: u32,
    licence: &'a str,
    owner: &'a str,
    simulated: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    label: &'a Label,
    description: &'a str,
    unit: Option<&'a str>,
    kind: FieldType,
    key: bool,
    min: Option<f64>,
    max: Option<f64>,
}

/// One entry per table: those with entities, and the public ones that have none yet.
pub(crate) async fn list(State(app): State<App>, caller: Caller, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let params = Params::parse(query.as_deref(), &["tenant"], &[])?;
    let scope = Scope::from(&params, &app, &caller.principal)?;
    let public = app.city.public_products();
    let reading = Reading::open(&app, &params, scope, None).await?;
    let body = reading.run(move |r| {
        let mut tables: BTreeMap<_, _> = public.iter().map(|t| (t.clone(), None)).collect();
        tables.extend(r.twin.counts(r.at).into_iter().map(|c| (c.table.clone(), Some(c))));
        let visible: Vec<_> = tables.iter().filter_map(|(t, c)| Some((r.scope.visible(t, r.twin.contracts())?, c))).collect();
        let list: Vec<_> = visible.iter().map(|(v, c)| product(v, c.as_ref(), r.at)).collect();
        serde_json::to_vec(&list).map_err(|e| ApiError::internal(e.to_string()))
    });
    Ok(with_type(body.await??, "application/json"))
}

fn product<'a>(visible: &'a Visible, counts: Option<&twin::TableCounts>, at: Timestamp) -> Product<'a> {
    let contract = &visible.contract;
    let newest = counts.and_then(|c| c.newest);
    let freshness = newest.map_or(twin::Freshness::Overdue, |n| twin::Freshness::of(n, contract.cadence_secs, at));
    let shown = visible.fields().map(|f| Shown {
        name: &f.name,
        label: &f.label,
        description: &f.description,
        unit: f.unit.as_deref(),
        kind: f.kind,
        key: f.key,
        min: f.min,
        max: f.max,
    });
    Product {
        product: visible.table.product.as_str(),
        tenant: visible.table.tenant.as_str(),
        label: &contract.label,
        description: &contract.description,
        version: &contract.version,
        r#type: &contract.entity_type,
        headline: &contract.headline,
        fields: shown.collect(),
        entities: counts.map_or(0, |c| c.entities),
        newest: newest.map(Timestamp::to_rfc3339),
        freshness: freshness.name(),
        fresh: counts.map_or(0, |c| c.fresh),
        due: counts.map_or(0, |c| c.due),
        overdue: counts.map_or(0, |c| c.overdue),
        cadence_secs: contract.cadence_secs,
        licence: &contract.licence,
        owner: &contract.owner,
        simulated: counts.is_some_and(|c| c.simulated),
    }
}
