//! Quality of the loops: the last local day of each table of counts is judged once, a few hours after it ended, and each loop gets a row of
//! `<tenant>.detector_quality`.

use super::{
    Parts,
    own_rows::{self, Origin},
};
use anyhow::{Context as _, Result};
use arrow_array::{
    Array as _, ArrayRef, RecordBatch,
    cast::AsArray as _,
    types::{Float64Type, Int64Type, TimestampMicrosecondType},
};
use arrow_schema::DataType;
use lakehouse::{Access, Limits, QueryRequest};
use schemas::{
    TableRef, Timestamp,
    time::{DAY_US, SECOND_US, Zone},
};
use std::{collections::BTreeMap, time::Duration};
use twin::quality::{Counted, day_quality};

pub(super) const EVERY: Duration = Duration::from_secs(3_600);
const COUNTS: &str = "traffic_count";
const PRODUCT: &str = "detector_quality";
/// Of local days.
const ZONE: &str = "Europe/Rome";
/// Local hour from which the day before is judged: counts may come two hours late.
const FROM_HOUR: i8 = 3;
/// Intervals of a day: 10,000 loops of 5 minutes.
const ROWS_MAX: usize = 3_000_000;

/// Judges the day before today in every table of counts that has no judgement of it.
pub(super) async fn round(parts: &Parts) -> Result<()> {
    let (zone, now) = (Zone::named(ZONE)?, parts.clock.now());
    let local = zone.civil(now);
    if local.hour() < FROM_HOUR {
        return Ok(());
    }
    let midnight = zone.instant(local.date().at(0, 0, 0, 0))?;
    // Half a day before midnight is in the day before, whatever the clock did.
    let day = zone.civil(Timestamp(midnight.0 - DAY_US / 2)).date();
    let from = zone.instant(day.at(0, 0, 0, 0))?;
    for table in parts.feed.snapshot().counts(now).into_iter().map(|c| c.table).filter(|t| t.product.as_str() == COUNTS) {
        judge(parts, &table, from, midnight).await.with_context(|| table.to_string())?;
    }
    Ok(())
}

async fn judge(parts: &Parts, table: &TableRef, from: Timestamp, to: Timestamp) -> Result<()> {
    let done = format!("SELECT 1 FROM {}.{PRODUCT} WHERE observed_at = '{from}' LIMIT 1", table.tenant);
    // A table that has no row yet does not exist.
    if let Ok(stream) = parts.lakehouse.query(QueryRequest::new(done, Access::admin())).await
        && stream.collect().await?.iter().any(|b| b.num_rows() > 0)
    {
        return Ok(());
    }
    let sql = format!(
        "SELECT entity_id, observed_at, period, vehicles, speed, occupancy, simulated, lon, lat FROM {table} \
         WHERE observed_at >= '{from}' AND observed_at < '{to}'"
    );
    let limits = Limits { rows_max: ROWS_MAX, ..Limits::default() };
    let batches = parts.lakehouse.query(QueryRequest { limits, ..QueryRequest::new(sql, Access::admin()) }).await?.collect().await?;
    let mut loops: BTreeMap<String, Loop> = BTreeMap::new();
    for batch in &batches {
        gather(batch, &mut loops).context("the columns of the counts")?;
    }
    let day_secs = (to.0 - from.0) / SECOND_US;
    for simulated in [false, true] {
        let own = loops.iter_mut().filter(|(_, l)| l.simulated == simulated);
        let rows: Vec<String> = own.filter_map(|(id, l)| row(id, l, from, day_secs)).collect();
        write(parts, table, rows, simulated).await?;
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Loop {
    intervals: Vec<Counted>,
    simulated: bool,
    place: Option<(f64, f64)>,
}

fn gather(batch: &RecordBatch, loops: &mut BTreeMap<String, Loop>) -> Option<()> {
    let column = |i: usize, kind: &DataType| -> Option<ArrayRef> { arrow_cast::cast(batch.columns().get(i)?, kind).ok() };
    let (id, period) = (column(0, &DataType::Utf8)?, column(2, &DataType::Utf8)?);
    let (at, vehicles) = (column(1, &schemas::row::timestamp_type())?, column(3, &DataType::Int64)?);
    let numbers: Vec<ArrayRef> = [4, 5, 7, 8].into_iter().map(|i| column(i, &DataType::Float64)).collect::<Option<_>>()?;
    let simulated = column(6, &DataType::Boolean)?;
    let number = |i: usize, row: usize| numbers[i].is_valid(row).then(|| numbers[i].as_primitive::<Float64Type>().value(row));
    for row in 0..batch.num_rows() {
        let text = if period.is_valid(row) { period.as_string::<i32>().value(row) } else { "PT1H" };
        let Ok(span) = text.parse::<jiff::SignedDuration>() else { continue };
        let entry = loops.entry(id.as_string::<i32>().value(row).to_owned()).or_default();
        entry.simulated |= simulated.as_boolean().value(row);
        entry.place = number(2, row).zip(number(3, row)).or(entry.place);
        entry.intervals.push(Counted {
            observed_at: Timestamp(at.as_primitive::<TimestampMicrosecondType>().value(row)),
            period_secs: span.as_secs(),
            vehicles: vehicles.as_primitive::<Int64Type>().value(row),
            speed: number(0, row),
            occupancy: number(1, row),
        });
    }
    Some(())
}

fn row(id: &str, l: &mut Loop, from: Timestamp, day_secs: i64) -> Option<String> {
    let q = day_quality(&mut l.intervals, day_secs)?;
    let mut out = serde_json::json!({
        "id": id, "observed_at": from.to_rfc3339(), "quality": "valid", "state": q.state, "expected": q.expected, "present": q.present,
        "share": (q.share() * 100.0).round() / 100.0, "zero_run": q.zero_run, "implausible": q.implausible, "vehicles": q.vehicles,
    });
    if let Some((lon, lat)) = l.place {
        (out["lon"], out["lat"]) = (lon.into(), lat.into());
    }
    Some(out.to_string())
}

async fn write(parts: &Parts, table: &TableRef, rows: Vec<String>, simulated: bool) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let origin = Origin { source: "portico/quality", tenant: &table.tenant, simulated };
    let outcome = own_rows::submit(parts, origin, PRODUCT, rows, parts.clock.now()).await?;
    tracing::info!(tenant = %table.tenant, stored = outcome.counts.stored, refused = outcome.counts.quarantined, "quality of loops");
    Ok(())
}
