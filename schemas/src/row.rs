//! The columns that every row of every data product carries, in order, before the fields of its contract.

use crate::Contract;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::sync::Arc;

/// URN of the entity, `Utf8`, never null.
pub const ENTITY_ID: &str = "entity_id";
/// Event time, UTC microseconds, never null.
pub const OBSERVED_AT: &str = "observed_at";
/// When Portico received the message, UTC microseconds, never null; the "known on" axis.
pub const RECEIVED_AT: &str = "received_at";
/// Who sent it, `Utf8`, never null.
pub const SOURCE: &str = "source";
/// [`crate::Quality`] as text, never null.
pub const QUALITY: &str = "quality";
/// True when a simulator made the row up.
pub const SIMULATED: &str = "simulated";
/// Degrees, WGS 84; both null when the place is unknown.
pub const LON: &str = "lon";
pub const LAT: &str = "lat";
/// [`crate::Cell`] at [`crate::geo::ROW_RESOLUTION`], `Int64`, null when the place is unknown.
pub const H3: &str = "h3";
/// Log position of the frame that brought the row, `Int64`; stamped by the lakehouse.
pub const POSITION: &str = "position";
/// UTC date of `observed_at`, `Date32`; the partition; stamped by the lakehouse.
pub const DATE: &str = "date";

/// Columns before the fields; the fields of the contract start at this index.
pub const FIELDS_START: usize = 9;

/// Whether a name belongs to every row, so that a contract need not (and may) list it.
#[must_use]
pub fn is_common(name: &str) -> bool {
    [ENTITY_ID, OBSERVED_AT, RECEIVED_AT, SOURCE, QUALITY, SIMULATED, LON, LAT, H3, POSITION, DATE].contains(&name)
}

/// UTC microseconds.
#[must_use]
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn common() -> Vec<Field> {
    vec![
        Field::new(ENTITY_ID, DataType::Utf8, false),
        Field::new(OBSERVED_AT, timestamp_type(), false),
        Field::new(RECEIVED_AT, timestamp_type(), false),
        Field::new(SOURCE, DataType::Utf8, false),
        Field::new(QUALITY, DataType::Utf8, false),
        Field::new(SIMULATED, DataType::Boolean, false),
        Field::new(LON, DataType::Float64, true),
        Field::new(LAT, DataType::Float64, true),
        Field::new(H3, DataType::Int64, true),
    ]
}

/// What ingest builds: the common columns, then the contract's fields (all nullable: old rows lack new fields).
#[must_use]
pub fn pending_schema(contract: &Contract) -> SchemaRef {
    let mut fields = common();
    fields.extend(contract.fields.iter().map(|f| Field::new(&f.name, f.kind.arrow(), true)));
    Arc::new(Schema::new(fields))
}

/// What is stored and queried: the pending columns, then `position` and `date`.
#[must_use]
pub fn stored_schema(contract: &Contract) -> SchemaRef {
    stamped(&pending_schema(contract))
}

/// `pending` with the two columns that the lakehouse stamps.
#[must_use]
pub fn stamped(pending: &Schema) -> SchemaRef {
    let mut fields: Vec<_> = pending.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(POSITION, DataType::Int64, false)));
    fields.push(Arc::new(Field::new(DATE, DataType::Date32, false)));
    Arc::new(Schema::new(fields))
}
