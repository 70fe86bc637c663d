//! What operators and machines ask: ledger, status, health, readiness, metrics.

use crate::{access::Action, config::MetricsAccess, error::ApiError, identity, identity::Caller, params::Params, router::App};
use axum::{
    Json,
    extract::{FromRequestParts as _, RawQuery, Request, State},
    http::header,
    response::{IntoResponse as _, Response},
};
use schemas::Kind;
use serde_json::{Value, json};

/// Hours that one request may cover: five weeks.
const LEDGER_HOURS_MAX: usize = 840;

/// `GET /api/ledger?hours=24`: the lines of the caller's tenants, with the imbalance of each and of all (ING-2).
pub(crate) async fn ledger(State(app): State<App>, caller: Caller, RawQuery(query): RawQuery) -> Result<Json<Value>, ApiError> {
    caller.require(Action::ReadLedger)?;
    let params = Params::parse(query.as_deref(), &["hours"], &[])?;
    let hours = params.number("hours", 1..=LEDGER_HOURS_MAX, 24)?;
    let lines = app.city.ledger(u32::try_from(hours).unwrap_or(u32::MAX)).await?;
    let mut sum = schemas::Counts::default();
    let mut rows = Vec::new();
    for line in lines.iter().filter(|l| caller.principal.tenants.contains(&l.tenant)) {
        sum.add(&line.counts);
        let c = &line.counts;
        rows.push(json!({
            "hour": line.hour.to_rfc3339(), "tenant": line.tenant, "source": line.source, "product": line.product,
            "received": c.received, "stored": c.stored, "duplicate": c.duplicate, "late": c.late,
            "quarantined": c.quarantined, "dropped": c.dropped, "imbalance": number(c.imbalance()),
        }));
    }
    Ok(Json(json!({"hours": hours, "rows": rows, "total": sum, "imbalance": number(sum.imbalance())})))
}

fn number(n: i128) -> Value {
    i64::try_from(n).map_or_else(|_| n.to_string().into(), Value::from)
}

/// `GET /api/status`.
pub(crate) async fn status(State(app): State<App>, caller: Caller, RawQuery(query): RawQuery) -> Result<Json<Value>, ApiError> {
    caller.require(Action::ReadStatus)?;
    Params::parse(query.as_deref(), &[], &[])?;
    let status = app.city.status().await?;
    let shown = status.tables.iter().filter(|t| caller.principal.tenants.contains(&t.table.tenant));
    let tables: Vec<Value> = shown
        .map(|t| {
            json!({"table": t.table.to_string(), "version": t.version, "rows": t.rows, "hot_rows": t.hot_rows, "files": t.files, "bytes": t.bytes})
        })
        .collect();
    Ok(Json(json!({
        "version": status.version, "started_at": status.started_at.to_rfc3339(), "now": app.city.clock().now().to_rfc3339(),
        "simulated": status.simulated, "position": status.position, "tables": tables,
    })))
}

/// `GET /healthz`: the process answers.
pub(crate) async fn health() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the process can do its work.
pub(crate) async fn ready(State(app): State<App>) -> Result<&'static str, ApiError> {
    app.city.ready().map(|()| "ready\n").map_err(|why| ApiError::new(Kind::Unavailable, why))
}

/// `GET /metrics`, Prometheus text format.
pub(crate) async fn metrics(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let mut parts = request.into_parts().0;
    let open = app.config.metrics == MetricsAccess::Loopback && identity::is_local(&parts);
    if !open {
        Caller::from_request_parts(&mut parts, &app).await?.require(Action::ReadMetrics)?;
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.city.metrics()).into_response())
}
