//! The city at an instant: the rows that decide what each entity showed then.

use super::{Access, Limits, engine::Engine, run::Job, session::Session, sql_error::from_datafusion};
use crate::{Lakehouse, LakehouseError};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    cast::AsArray,
    types::{Float64Type, Int64Type, TimestampMicrosecondType},
};
use arrow_schema::{DataType, Field, Schema};
use arrow_select::filter::filter_record_batch;
use datafusion::{
    arrow::row::{OwnedRow, RowConverter, SortField},
    common::JoinType,
    error::DataFusionError,
    functions_aggregate::expr_fn::max,
    logical_expr::{Expr, col, ident, lit, when},
    prelude::{DataFrame, SessionContext},
    scalar::ScalarValue,
};
use hashbrown::{HashMap, HashSet};
use schemas::{Contract, TableRef, Timestamp, row};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Rebuilding a past city is one of the heavier things; it still ends.
const LIMITS: Limits = Limits { rows_max: 50_000_000, memory_bytes: 1 << 30, timeout: Duration::from_secs(120) };

/// Longitude and latitude in degrees: west, south, east, north.
type Bbox = [f64; 4];

impl Lakehouse {
    /// The rows of `table` that a fold up to `as_of` would keep: for each entity, values of the key fields and field, the
    /// non-null one with the largest (`observed_at`, `position`); and the last row of each. Folding these rows gives what
    /// folding all of them would (TW-1). `known_as_on` leaves out what was received later; `bbox` (west, south, east,
    /// north, degrees) keeps the entities whose last known place is inside.
    ///
    /// # Errors
    /// `NotFound` when no contract declares the table; `Limit` when it takes too long.
    pub async fn latest_as_of(
        &self,
        table: &TableRef,
        as_of: Timestamp,
        known_as_on: Option<Timestamp>,
        bbox: Option<[f64; 4]>,
    ) -> Result<Vec<RecordBatch>, LakehouseError> {
        let contract = self.contracts.get(&table.product).cloned().ok_or_else(|| LakehouseError::no_table(table))?;
        let job = self.own_job(LIMITS);
        let (engine, table) = (Arc::clone(&self.engine), table.clone());
        let run = job.clone();
        self.engine.on_threads(&job, async move { Past { engine, job: run, table, contract, as_of, known_as_on }.rows(bbox).await }).await
    }

    /// A job of the lakehouse itself, which sees everything.
    pub(super) fn own_job(&self, limits: Limits) -> Job {
        Job { door: self.door(Access::admin()), limits, cancel: CancellationToken::new(), schema: None, pg_catalog: None }
    }
}

/// The table as a data frame: what was known on `known_on`, of one pin.
pub(super) fn frame(session: &Session, table: &TableRef, known_on: Option<Timestamp>) -> Result<DataFrame, LakehouseError> {
    let view =
        session.door.view(&session.views, table.tenant.as_str(), table.product.as_str()).ok_or_else(|| LakehouseError::no_table(table))?;
    let context = SessionContext::new_with_state(session.state.clone());
    let wrong = |e: DataFusionError| from_datafusion(e, Some(session));
    context.read_table(session.door.provider(view, known_on).map_err(wrong)?).map_err(wrong)
}

pub(super) fn instant(at: Timestamp) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(at.0), Some("UTC".into())))
}

struct Past {
    engine: Arc<Engine>,
    job: Job,
    table: TableRef,
    contract: Arc<Contract>,
    as_of: Timestamp,
    known_as_on: Option<Timestamp>,
}

impl Past {
    async fn rows(self, bbox: Option<Bbox>) -> Result<Vec<RecordBatch>, LakehouseError> {
        let session = self.job.session(&self.engine)?;
        let mut all = frame(&session, &self.table, self.known_as_on)?;
        let found = self.decide(&session, &mut all, bbox).await.map_err(|e| from_datafusion(e, Some(&session)))?;
        let kept = winners(&found, &self.contract)?;
        match bbox {
            Some(bbox) => inside(&kept, bbox),
            None => Ok(kept),
        }
    }

    /// Finds when each value was last given, then reads the rows of those instants.
    async fn decide(&self, session: &Session, all: &mut DataFrame, bbox: Option<Bbox>) -> Result<Vec<RecordBatch>, DataFusionError> {
        let context = SessionContext::new_with_state(session.state.clone());
        let date = lit(ScalarValue::Date32(Some(self.as_of.date())));
        let mut past = all.clone().filter(col(row::OBSERVED_AT).lt_eq(instant(self.as_of)).and(col(row::DATE).lt_eq(date)))?;
        if let Some([west, south, east, north]) = bbox {
            // Entities that were ever inside, then all their rows: one that left must not be shown where it was.
            let inside = col(row::LON).between(lit(west), lit(east)).and(col(row::LAT).between(lit(south), lit(north)));
            let ids = past.clone().filter(inside)?.select(vec![col(row::ENTITY_ID).alias("seen_id")])?.distinct()?;
            past = past.join(ids, JoinType::LeftSemi, &[row::ENTITY_ID], &["seen_id"], None)?;
        }
        let keys = self.contract.fields.iter().filter(|f| f.key).map(|f| ident(&f.name));
        let group: Vec<Expr> = std::iter::once(col(row::ENTITY_ID)).chain(keys).collect();
        let mut last = vec![max(col(row::OBSERVED_AT)).alias("last")];
        last.push(max(when(col(row::LON).is_not_null(), col(row::OBSERVED_AT)).end()?).alias("last_place"));
        for (i, f) in self.contract.fields.iter().filter(|f| !f.key).enumerate() {
            last.push(max(when(ident(&f.name).is_not_null(), col(row::OBSERVED_AT)).end()?).alias(format!("last_{i}")));
        }
        let times = past.clone().aggregate(group, last)?.collect().await?;
        let instants = instants(&times)?;
        if instants.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let on = context.read_batch(instants)?;
        past.join(on, JoinType::LeftSemi, &[row::ENTITY_ID, row::OBSERVED_AT], &["last_id", "last_at"], None)?.collect().await
    }
}

/// The distinct pairs of entity and instant in the columns whose names begin with `last`.
fn instants(times: &[RecordBatch]) -> Result<RecordBatch, DataFusionError> {
    let mut pairs: HashSet<(&str, i64)> = HashSet::new();
    for batch in times {
        let ids = batch.column(0).as_string::<i32>();
        for (i, field) in batch.schema_ref().fields().iter().enumerate() {
            if !matches!(field.data_type(), DataType::Timestamp(..)) {
                continue;
            }
            let at = batch.column(i).as_primitive::<TimestampMicrosecondType>();
            pairs.extend((0..at.len()).filter(|r| at.is_valid(*r)).map(|r| (ids.value(r), at.value(r))));
        }
    }
    let schema = Schema::new(vec![Field::new("last_id", DataType::Utf8, false), Field::new("last_at", row::timestamp_type(), false)]);
    let ids: ArrayRef = Arc::new(StringArray::from_iter_values(pairs.iter().map(|p| p.0)));
    let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(pairs.iter().map(|p| p.1)).with_timezone("UTC"));
    Ok(RecordBatch::try_new(Arc::new(schema), vec![ids, at])?)
}

/// When a value was given: the later `observed_at` wins, and of two at one instant the later in the log.
type When = (i64, i64);

/// Keeps the rows that win at least one column.
fn winners(batches: &[RecordBatch], contract: &Contract) -> Result<Vec<RecordBatch>, LakehouseError> {
    let Some(first) = batches.first() else { return Ok(Vec::new()) };
    let schema = first.schema();
    let index = |name: &str| schema.index_of(name);
    let mut key_columns = vec![index(row::ENTITY_ID)?];
    let mut value_columns = vec![index(row::ENTITY_ID)?, index(row::LON)?];
    for f in &contract.fields {
        if f.key { &mut key_columns } else { &mut value_columns }.push(index(&f.name)?);
    }
    let converter = RowConverter::new(key_columns.iter().map(|i| SortField::new(schema.field(*i).data_type().clone())).collect())?;
    let mut ids: HashMap<OwnedRow, usize> = HashMap::new();
    let mut best: Vec<Option<When>> = Vec::new();
    let width = value_columns.len();
    let mut groups = Vec::with_capacity(batches.len());
    for batch in batches {
        let keys: Vec<ArrayRef> = key_columns.iter().map(|i| Arc::clone(batch.column(*i))).collect();
        let rows = converter.convert_columns(&keys)?;
        let times = times(batch)?;
        let mut own = Vec::with_capacity(batch.num_rows());
        for r in 0..batch.num_rows() {
            let next = ids.len();
            let group = *ids.entry(rows.row(r).owned()).or_insert(next);
            if group == next {
                best.resize(best.len() + width, None);
            }
            for (v, column) in value_columns.iter().enumerate() {
                let slot = &mut best[group * width + v];
                if batch.column(*column).is_valid(r) && *slot < Some(times[r]) {
                    *slot = Some(times[r]);
                }
            }
            own.push(group);
        }
        groups.push((own, times));
    }
    let mut out = Vec::new();
    for (batch, (own, times)) in batches.iter().zip(groups) {
        let wins = |r: usize| {
            value_columns.iter().enumerate().any(|(v, c)| batch.column(*c).is_valid(r) && best[own[r] * width + v] == Some(times[r]))
        };
        let mask: BooleanArray = (0..batch.num_rows()).map(|r| Some(wins(r))).collect();
        let kept = filter_record_batch(batch, &mask)?;
        if kept.num_rows() > 0 {
            out.push(kept);
        }
    }
    Ok(out)
}

fn times(batch: &RecordBatch) -> Result<Vec<When>, LakehouseError> {
    let schema = batch.schema_ref();
    let at = batch.column(schema.index_of(row::OBSERVED_AT)?).as_primitive::<TimestampMicrosecondType>();
    let position = batch.column(schema.index_of(row::POSITION)?).as_primitive::<Int64Type>();
    Ok((0..batch.num_rows()).map(|r| (at.value(r), position.value(r))).collect())
}

/// Keeps the entities whose last known place is in the box.
fn inside(batches: &[RecordBatch], [west, south, east, north]: Bbox) -> Result<Vec<RecordBatch>, LakehouseError> {
    let mut places: HashMap<&str, (When, bool)> = HashMap::new();
    for batch in batches {
        let times = times(batch)?;
        let (ids, lon, lat) = place_columns(batch)?;
        for (r, at) in times.iter().enumerate() {
            if lon.is_null(r) || lat.is_null(r) {
                continue;
            }
            let here = (west..=east).contains(&lon.value(r)) && (south..=north).contains(&lat.value(r));
            let known = places.entry(ids.value(r)).or_insert((*at, here));
            if known.0 < *at {
                *known = (*at, here);
            }
        }
    }
    let mut out = Vec::new();
    for batch in batches {
        let (ids, ..) = place_columns(batch)?;
        let mask: BooleanArray = (0..batch.num_rows()).map(|r| Some(places.get(ids.value(r)).is_some_and(|p| p.1))).collect();
        let kept = filter_record_batch(batch, &mask)?;
        if kept.num_rows() > 0 {
            out.push(kept);
        }
    }
    Ok(out)
}

fn place_columns(batch: &RecordBatch) -> Result<(&StringArray, &Float64Array, &Float64Array), LakehouseError> {
    let column = |name: &str| batch.schema_ref().index_of(name).map(|i| batch.column(i));
    Ok((
        column(row::ENTITY_ID)?.as_string::<i32>(),
        column(row::LON)?.as_primitive::<Float64Type>(),
        column(row::LAT)?.as_primitive::<Float64Type>(),
    ))
}
