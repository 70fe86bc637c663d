//! Health of devices: the twin and the last day of each table are judged now and then, and what changed becomes rows of
//! `<tenant>.device_health` through the same pipeline as everything else.

use super::{
    Parts,
    own_rows::{self, Origin},
};
use anyhow::Result;
use arrow_array::{
    Array as _, ArrayRef, RecordBatch,
    cast::AsArray as _,
    types::{Float64Type, Int64Type, TimestampMicrosecondType},
};
use arrow_schema::DataType;
use lakehouse::{Access, QueryRequest};
use schemas::{Contract, FieldType, ProductId, TableRef, Tenant, Timestamp, Value, time::DAY_US};
use std::{collections::HashMap, time::Duration};
use twin::{Day, Health, Twin};

pub(super) const EVERY: Duration = Duration::from_secs(900);
const PRODUCT: &str = "device_health";
/// Products about devices and not from them.
const ABOUT_DEVICES: [&str; 8] = [
    PRODUCT,
    "sensor_register",
    super::camera_register::PRODUCT,
    "detector_quality",
    "green_wave",
    "signal_command",
    "signal_plan",
    "signal_simulation",
];
/// A trouble that lasts is written again after this, so that it does not look forgotten.
const AGAIN_US: i64 = DAY_US / 2;

/// Judges every table once.
pub(super) async fn round(parts: &Parts) -> Result<()> {
    let now = parts.clock.now();
    let twin = parts.feed.snapshot();
    for table in twin.counts(now).into_iter().map(|c| c.table).filter(|t| !ABOUT_DEVICES.contains(&t.product.as_str())) {
        let Some(contract) = parts.contracts.get(&table.product) else { continue };
        let days = days(parts, &table, contract, now).await?;
        let changed = changes(&twin, &table, &days, now)?;
        write(parts, &table.tenant, changed, now).await?;
    }
    Ok(())
}

/// The last day of each entity, by URN.
async fn days(parts: &Parts, table: &TableRef, contract: &Contract, now: Timestamp) -> Result<HashMap<String, Day>> {
    let from = Timestamp(now.0 - DAY_US);
    let numeric = contract.field(&contract.headline).is_some_and(|(_, f)| matches!(f.kind, FieldType::Float | FieldType::Int));
    // Names of fields are letters, digits and underscores; quoted, because one may be a word of SQL.
    let headline = if numeric { format!("CAST(\"{}\" AS DOUBLE)", contract.headline) } else { "CAST(NULL AS DOUBLE)".to_owned() };
    let sql = format!(
        "SELECT entity_id, count(DISTINCT observed_at), min(observed_at), max(observed_at), count({headline}), count(DISTINCT {headline}), \
         avg({headline}) FROM {table} WHERE observed_at >= '{from}' AND observed_at <= '{now}' GROUP BY entity_id"
    );
    let batches = parts.lakehouse.query(QueryRequest::new(sql, Access::admin())).await?.collect().await?;
    Ok(batches.iter().flat_map(day_rows).collect())
}

fn day_rows(batch: &RecordBatch) -> Vec<(String, Day)> {
    let column = |i: usize, kind: &DataType| -> Option<ArrayRef> { arrow_cast::cast(batch.columns().get(i)?, kind).ok() };
    let time = schemas::row::timestamp_type();
    let (Some(id), Some(instants), Some(first), Some(last), Some(values), Some(distinct), Some(mean)) = (
        column(0, &DataType::Utf8),
        column(1, &DataType::Int64),
        column(2, &time),
        column(3, &time),
        column(4, &DataType::Int64),
        column(5, &DataType::Int64),
        column(6, &DataType::Float64),
    ) else {
        return Vec::new();
    };
    let count = |column: &ArrayRef, row: usize| u64::try_from(column.as_primitive::<Int64Type>().value(row)).unwrap_or(0);
    let at = |column: &ArrayRef, row: usize| Timestamp(column.as_primitive::<TimestampMicrosecondType>().value(row));
    let mean_of = |row: usize| mean.is_valid(row).then(|| mean.as_primitive::<Float64Type>().value(row));
    let day = |row: usize| Day {
        instants: count(&instants, row),
        first: at(&first, row),
        last: at(&last, row),
        values: count(&values, row),
        distinct: count(&distinct, row),
        mean: mean_of(row),
    };
    (0..batch.num_rows()).map(|row| (id.as_string::<i32>().value(row).to_owned(), day(row))).collect()
}

/// A row to be written, and whether its device is simulated.
type Changed = (bool, serde_json::Value);

fn changes(twin: &Twin, table: &TableRef, days: &HashMap<String, Day>, now: Timestamp) -> Result<Vec<Changed>> {
    let about = TableRef::new(table.tenant.clone(), ProductId::new(PRODUCT)?);
    let known = |health: &Health<'_>| {
        let entry = twin.find(health.entity.id()).find(|e| *e.table() == about)?;
        // One device may fill several products; each has a row of its own.
        let own = entry.attributes().into_iter().find(|a| {
            a.name == "state"
                && a.key.iter().any(|(name, value)| *name == "product" && matches!(value, Value::Text(t) if **t == *table.product.as_str()))
        })?;
        match own.value {
            Value::Text(state) => Some((state.to_string(), own.observed_at)),
            _ => None,
        }
    };
    let all = twin.health(table, days, now);
    let changed = all.iter().filter(|health| match known(health) {
        None => !health.troubles.is_empty(),
        Some((state, at)) => state != health.state() || (!health.troubles.is_empty() && now.0 - at.0 >= AGAIN_US),
    });
    Ok(changed.map(|health| (health.entity.simulated(), row(health, table, now))).collect())
}

fn row(health: &Health<'_>, table: &TableRef, now: Timestamp) -> serde_json::Value {
    let mut out = serde_json::json!({
        "id": health.entity.id(), "observed_at": now.to_rfc3339(), "quality": "valid", "product": table.product, "severity": health.severity(),
        "state": health.state(), "silent_secs": health.silent_secs, "missing_rows": health.missing_rows,
    });
    let place = health.entity.place();
    let figures =
        [("deviation", health.deviation), ("charge", health.charge), ("lon", place.map(|p| p.lon)), ("lat", place.map(|p| p.lat))];
    for (name, value) in figures {
        if let Some(value) = value {
            out[name] = value.into();
        }
    }
    out
}

async fn write(parts: &Parts, tenant: &Tenant, changed: Vec<Changed>, now: Timestamp) -> Result<()> {
    for simulated in [false, true] {
        let rows: Vec<String> = changed.iter().filter(|(s, _)| *s == simulated).map(|(_, row)| row.to_string()).collect();
        if rows.is_empty() {
            continue;
        }
        let outcome = own_rows::submit(parts, Origin { source: "portico/health", tenant, simulated }, PRODUCT, rows, now).await?;
        tracing::info!(%tenant, stored = outcome.counts.stored, refused = outcome.counts.quarantined, "health of devices");
    }
    Ok(())
}
