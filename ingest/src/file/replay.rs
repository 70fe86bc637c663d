//! The past again: when to publish what was observed, and messages made of stored rows.

use super::cell::{Object, topic_level};
use crate::RawMessage;
use arrow_array::{Array, RecordBatch, cast::AsArray, types};
use schemas::{Contract, FieldType, Tenant, Timestamp, row};
use std::time::Duration;

/// A message and how long after the start of the replay it is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paced<T> {
    pub after: Duration,
    pub observed_at: Timestamp,
    pub item: T,
}

/// Paces items of the stretch `from` (included) to `to` (excluded): one second of the past takes `1 / speed` seconds.
/// Items should come in the order of their time; one that comes too late is due at once, never in the past of the last one.
/// A speed that is not above zero means as fast as possible. Replaying starts at `from`, or at the first item without it.
pub fn replay<T>(
    items: impl Iterator<Item = (Timestamp, T)>,
    speed: f64,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> impl Iterator<Item = Paced<T>> {
    let mut origin = from;
    let mut last = Duration::ZERO;
    items.filter(move |(at, _)| from.is_none_or(|f| *at >= f) && to.is_none_or(|t| *at < t)).map(move |(at, item)| {
        let start = *origin.get_or_insert(at);
        let past_us = at.0.saturating_sub(start.0).max(0) as f64;
        let after = if speed > 0.0 { Duration::try_from_secs_f64(past_us / 1e6 / speed).unwrap_or(Duration::MAX) } else { Duration::ZERO };
        last = last.max(after);
        Paced { after: last, observed_at: at, item }
    })
}

/// Stored rows (columns found by name: `entity_id`, `observed_at`, `quality`, `lon`, `lat`, the contract's fields) as messages of the
/// built-in convention, with the instants and qualities they have. Rows that lack an entity or an instant are left out.
pub fn row_messages<'a>(
    contract: &'a Contract,
    tenant: &'a Tenant,
    batch: &'a RecordBatch,
) -> impl Iterator<Item = (Timestamp, RawMessage)> + 'a {
    let ids = batch.column_by_name(row::ENTITY_ID).and_then(|c| c.as_string_opt::<i32>());
    let times = batch.column_by_name(row::OBSERVED_AT).and_then(|c| c.as_primitive_opt::<types::TimestampMicrosecondType>());
    (0..batch.num_rows()).filter_map(move |i| {
        let (ids, times) = (ids?, times?);
        if ids.is_null(i) || times.is_null(i) {
            return None;
        }
        let (id, at) = (ids.value(i), Timestamp(times.value(i)));
        let mut object = Object::new();
        object.text("id", id);
        object.text("observed_at", &at.to_rfc3339());
        if let Some(q) = batch.column_by_name(row::QUALITY).and_then(|c| c.as_string_opt::<i32>()).filter(|q| !q.is_null(i)) {
            object.text("quality", q.value(i));
        }
        for name in [row::LON, row::LAT] {
            member(&mut object, name, FieldType::Float, batch, i);
        }
        for field in &contract.fields {
            member(&mut object, &field.name, field.kind, batch, i);
        }
        let local = topic_level(id.rsplit(':').next().unwrap_or(id))?;
        let topic = format!("portico/{tenant}/{}/{local}", contract.product);
        Some((at, RawMessage { topic: topic.into(), payload: object.finish() }))
    })
}

/// Writes the value of a column, if the batch has it and the row holds one.
fn member(object: &mut Object, name: &str, kind: FieldType, batch: &RecordBatch, i: usize) {
    let Some(column) = batch.column_by_name(name).filter(|c| !c.is_null(i)) else { return };
    match kind {
        FieldType::Float => {
            if let Some(v) = column.as_primitive_opt::<types::Float64Type>().map(|c| c.value(i)).filter(|v| v.is_finite()) {
                object.float(name, v);
            }
        }
        FieldType::Int => {
            if let Some(c) = column.as_primitive_opt::<types::Int64Type>() {
                object.raw(name, &c.value(i).to_string());
            }
        }
        FieldType::Text => {
            if let Some(c) = column.as_string_opt::<i32>() {
                object.text(name, c.value(i));
            }
        }
        FieldType::Bool => {
            if let Some(c) = column.as_boolean_opt() {
                object.raw(name, if c.value(i) { "true" } else { "false" });
            }
        }
    }
}
