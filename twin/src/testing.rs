//! Rows, batches and frames for the tests of this crate.

use arrow_array::{ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use schemas::{Contracts, FieldType, Frame, Part, Position, ProductId, Quality, TableRef, Timestamp, Value, row};
use std::sync::{Arc, LazyLock};

use crate::{Limits, Twin, TwinHost};

#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) at: i64,
    pub(crate) position: u64,
    pub(crate) source: String,
    pub(crate) quality: Quality,
    pub(crate) place: Option<(f64, f64)>,
    pub(crate) fields: Vec<(&'static str, Value)>,
}

impl Row {
    pub(crate) fn new(id: &str, at: i64, position: u64) -> Self {
        let id = format!("urn:ngsi-ld:Thing:bologna:{id}");
        Self { id, at, position, source: "test".into(), quality: Quality::Valid, place: None, fields: Vec::new() }
    }

    pub(crate) fn at(mut self, lon: f64, lat: f64) -> Self {
        self.place = Some((lon, lat));
        self
    }

    pub(crate) fn with(mut self, field: &'static str, value: impl Into<V>) -> Self {
        self.fields.push((field, value.into().0));
        self
    }

    pub(crate) fn of_quality(mut self, quality: Quality) -> Self {
        self.quality = quality;
        self
    }
}

/// So that tests can write `1`, `1.5` and `"text"`.
pub(crate) struct V(Value);

impl From<i64> for V {
    fn from(v: i64) -> Self {
        Self(Value::Int(v))
    }
}

impl From<f64> for V {
    fn from(v: f64) -> Self {
        Self(Value::Float(v))
    }
}

impl From<&str> for V {
    fn from(v: &str) -> Self {
        Self(Value::Text(v.into()))
    }
}

impl From<Value> for V {
    fn from(v: Value) -> Self {
        Self(v)
    }
}

/// Parsed once: the property tests ask for them thousands of times.
pub(crate) fn contracts() -> Contracts {
    static ALL: LazyLock<Contracts> = LazyLock::new(|| Contracts::builtin().unwrap());
    ALL.clone()
}

pub(crate) fn host() -> TwinHost {
    TwinHost::new(contracts(), Limits::default())
}

pub(crate) fn product(name: &str) -> ProductId {
    ProductId::new(name).unwrap()
}

pub(crate) fn table(name: &str) -> TableRef {
    TableRef::parse(&format!("bologna.{name}")).unwrap()
}

fn column(rows: &[Row], name: &str, kind: FieldType) -> ArrayRef {
    let value = |r: &Row| r.fields.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
    match kind {
        FieldType::Float => Arc::new(rows.iter().map(|r| value(r).and_then(|v| v.as_f64())).collect::<Float64Array>()),
        FieldType::Int => Arc::new(rows.iter().map(|r| value(r).and_then(|v| v.as_f64()).map(|v| v as i64)).collect::<Int64Array>()),
        FieldType::Bool => Arc::new(rows.iter().map(|r| value(r).map(|v| v == Value::Bool(true))).collect::<BooleanArray>()),
        FieldType::Text => {
            let text = |v| if let Value::Text(t) = v { Some(t.to_string()) } else { None };
            Arc::new(rows.iter().map(|r| value(r).and_then(text)).collect::<StringArray>())
        }
    }
}

/// In the stored schema, or in the pending one.
pub(crate) fn batch(product: &str, rows: &[Row], stored: bool) -> RecordBatch {
    let contracts = contracts();
    let contract = contracts.get(&self::product(product)).unwrap();
    let times =
        |f: fn(&Row) -> i64| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(f)).with_timezone("UTC")) };
    let texts = |f: fn(&Row) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(rows.iter().map(f))) };
    let mut columns: Vec<ArrayRef> = vec![
        texts(|r| &r.id),
        times(|r| r.at),
        times(|r| r.at + 5),
        texts(|r| &r.source),
        texts(|r| r.quality.name()),
        Arc::new(BooleanArray::from(vec![true; rows.len()])),
        Arc::new(rows.iter().map(|r| r.place.map(|p| p.0)).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|r| r.place.map(|p| p.1)).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|r| r.place.and_then(|p| Position::new(p.0, p.1)).map(|p| p.cell().0)).collect::<Int64Array>()),
    ];
    columns.extend(contract.fields.iter().map(|f| column(rows, &f.name, f.kind)));
    let mut schema = row::pending_schema(contract);
    if stored {
        columns.push(Arc::new(rows.iter().map(|r| Some(r.position as i64)).collect::<Int64Array>()));
        columns.push(Arc::new(rows.iter().map(|r| Some(Timestamp(r.at).date())).collect::<Date32Array>()));
        schema = row::stored_schema(contract);
    }
    RecordBatch::try_new(schema, columns).unwrap()
}

pub(crate) fn frame(product: &str, rows: &[Row]) -> Frame {
    Frame { parts: vec![Part { table: table(product), rows: batch(product, rows, false) }], ledger: Vec::new() }
}

/// A twin of rows of one product.
pub(crate) fn twin(product: &str, rows: &[Row]) -> Twin {
    Twin::from_rows(contracts(), [(table(product), batch(product, rows, true))]).unwrap()
}

/// A street light at each place, its power the number of its place in the list.
pub(crate) fn lights(places: &[(f64, f64)]) -> Twin {
    let row = |(i, &(lon, lat)): (usize, &(f64, f64))| Row::new(&i.to_string(), 10, 1).at(lon, lat).with("power", i as f64);
    twin("street_light", &places.iter().enumerate().map(row).collect::<Vec<_>>())
}
