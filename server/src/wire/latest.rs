//! The twin as tables: `<product>_latest` has one row per entity, kept at ingest, so that "the last value of every sensor" is no scan.

use super::TwinFeed;
use arrow_array::{ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use lakehouse::LatestRows;
use schemas::{Field, FieldType, LogPosition, TableRef, Value, row};
use std::sync::Arc;
use twin::EntityView;

/// Rows of a table at a position of the log, made when first asked for.
pub(super) type Cached = (LogPosition, RecordBatch);

impl LatestRows for TwinFeed {
    fn rows(&self, table: &TableRef) -> Option<RecordBatch> {
        let twin = self.snapshot();
        if let Some((_, rows)) = self.latest.lock().get(table).filter(|c| c.0 == twin.position()) {
            return Some(rows.clone());
        }
        let contract = twin.contracts().get(&table.product)?;
        let entities: Vec<EntityView<'_>> = twin.all().filter(|e| e.table() == table).collect();
        let mut columns = common(&entities);
        let values: Vec<_> = entities.iter().map(|e| e.values()).collect();
        columns.extend(contract.fields.iter().map(|f| field(f, &values)));
        columns.push(Arc::new(entities.iter().map(|e| Some(e.position() as i64)).collect::<Int64Array>()));
        columns.push(Arc::new(entities.iter().map(|e| Some(e.observed_at().date())).collect::<Date32Array>()));
        let rows = RecordBatch::try_new(row::stored_schema(contract), columns).ok()?;
        self.latest.lock().insert(table.clone(), (twin.position(), rows.clone()));
        Some(rows)
    }
}

fn common(entities: &[EntityView<'_>]) -> Vec<ArrayRef> {
    let text = |get: fn(&EntityView<'_>) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values(entities.iter().map(get))) };
    let time = |get: fn(&EntityView<'_>) -> i64| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter_values(entities.iter().map(get)).with_timezone("UTC"))
    };
    let degree =
        |get: fn(schemas::Position) -> f64| -> ArrayRef { Arc::new(entities.iter().map(|e| e.place().map(get)).collect::<Float64Array>()) };
    vec![
        text(|e| e.id().to_owned()),
        time(|e| e.observed_at().0),
        time(|e| e.received_at().0),
        text(|e| e.source().to_owned()),
        text(|e| e.quality().name().to_owned()),
        Arc::new(entities.iter().map(|e| Some(e.simulated())).collect::<BooleanArray>()),
        degree(|p| p.lon),
        degree(|p| p.lat),
        Arc::new(entities.iter().map(|e| e.cell().map(|c| c.0)).collect::<Int64Array>()),
    ]
}

/// One field of every entity; key fields were merged away and are null.
fn field(field: &Field, values: &[Vec<(&str, Value)>]) -> ArrayRef {
    let of = |row: &'_ Vec<(&str, Value)>| row.iter().find(|v| v.0 == field.name).map(|v| v.1.clone());
    match field.kind {
        FieldType::Float => Arc::new(values.iter().map(|r| of(r).and_then(|v| v.as_f64())).collect::<Float64Array>()),
        FieldType::Int => Arc::new(values.iter().map(|r| of(r).and_then(|v| v.as_f64()).map(|v| v.round() as i64)).collect::<Int64Array>()),
        FieldType::Bool => {
            let flag = |v| if let Value::Bool(b) = v { Some(b) } else { None };
            Arc::new(values.iter().map(|r| of(r).and_then(flag)).collect::<BooleanArray>())
        }
        FieldType::Text => {
            let words = |v| if let Value::Text(t) = v { Some(t.to_string()) } else { None };
            Arc::new(values.iter().map(|r| of(r).and_then(words)).collect::<StringArray>())
        }
    }
}
