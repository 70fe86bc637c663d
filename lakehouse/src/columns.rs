//! Bringing a batch to another version of its table's columns.

use crate::LakehouseError;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::SchemaRef;
use std::sync::Arc;

/// The batch with exactly the columns of `schema`, by name: missing ones are null, others are left out.
///
/// # Errors
/// A column has another type, or a missing one may not be null.
pub(crate) fn adapt(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, LakehouseError> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let column = |f: &Arc<arrow_schema::Field>| -> Result<ArrayRef, LakehouseError> {
        match batch.column_by_name(f.name()) {
            Some(c) if c.data_type() == f.data_type() => Ok(Arc::clone(c)),
            Some(c) => Ok(arrow_cast::cast(c, f.data_type())?),
            None => Ok(new_null_array(f.data_type(), batch.num_rows())),
        }
    };
    let columns = schema.fields().iter().map(column).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
