//! Batches as readers can take them: no view types; where the format is text, H3 cells as maps write them and times in UTC.

use super::Format;
use crate::error::ApiError;
use arrow_array::{Array as _, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, cast::AsArray as _};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use schemas::Cell;
use std::sync::Arc;

/// The schema after [`batch`].
pub(super) fn schema(schema: &Schema, format: Format) -> SchemaRef {
    let fields: Vec<Field> = schema.fields().iter().map(|f| f.as_ref().clone().with_data_type(target(f, format))).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// Readers of Arrow outside Rust often lack the view types.
fn target(field: &Field, format: Format) -> DataType {
    match field.data_type() {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Int64 | DataType::UInt64 if is_cells(field, format) => DataType::Utf8,
        // The text writers know offsets, not names of zones; the instant stays the same.
        DataType::Timestamp(unit, Some(_)) if is_text(format) => DataType::Timestamp(*unit, Some("+00:00".into())),
        other => other.clone(),
    }
}

const fn is_text(format: Format) -> bool {
    matches!(format, Format::Json | Format::Csv)
}

fn is_cells(field: &Field, format: Format) -> bool {
    is_text(format) && field.name().split(|c: char| !c.is_ascii_alphanumeric()).any(|w| w.eq_ignore_ascii_case("h3"))
}

/// `batch` with the types of `schema`.
pub(super) fn batch(batch: &RecordBatch, schema: &SchemaRef, format: Format) -> Result<RecordBatch, ApiError> {
    let fail = |e: arrow_schema::ArrowError| ApiError::internal(format!("cannot shape the answer: {e}"));
    let columns: Result<Vec<ArrayRef>, _> = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| match (column.data_type(), is_cells(field, format)) {
            (have, _) if have == field.data_type() => Ok(Arc::clone(column)),
            (DataType::Int64, true) => Ok(cells(column.as_primitive::<arrow_array::types::Int64Type>())),
            (DataType::UInt64, true) => {
                let signed: Int64Array = column.as_primitive::<arrow_array::types::UInt64Type>().unary(|v| v as i64);
                Ok(cells(&signed))
            }
            _ => arrow_cast::cast(column, field.data_type()),
        })
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns.map_err(fail)?, &options).map_err(fail)
}

/// Hexadecimal where the number is a cell, decimal where it is not (a count in a column that a query named `h3_n`).
fn cells(column: &Int64Array) -> ArrayRef {
    let text = |v: i64| if Cell(v).index().is_some() { Cell(v).text() } else { v.to_string() };
    Arc::new(column.iter().map(|v| v.map(text)).collect::<StringArray>())
}
