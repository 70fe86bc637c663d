//! `DESCRIBE HISTORY`: the commits of a table.

use super::{QueryStream, catalog::Door, run::ready};
use crate::LakehouseError;
use arrow_array::{Int64Array, RecordBatch, StringArray, TimestampMillisecondArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::sync::Arc;

/// The columns of the answer.
pub(crate) fn history_schema() -> SchemaRef {
    let count = |name: &str| Field::new(name, DataType::UInt64, false);
    Arc::new(Schema::new(vec![
        Field::new("version", DataType::Int64, false),
        Field::new("committed_at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
        Field::new("operation", DataType::Utf8, false),
        count("rows_added"),
        count("files_added"),
        count("files_removed"),
    ]))
}

/// One row for each commit, as [`crate::VersionInfo`] has it.
pub(super) async fn history(door: &Door, schema: Option<&str>, name: &[String]) -> Result<QueryStream, LakehouseError> {
    let views = door.store().pin();
    let default = schema.map_or_else(|| door.default_schema(&views), str::to_owned);
    let (schema, table) = match name {
        [table] => (default.as_str(), table.as_str()),
        [.., schema, table] => (schema.as_str(), table.as_str()),
        [] => (default.as_str(), ""),
    };
    let view = door.view(&views, schema, table).ok_or_else(|| LakehouseError::NotFound {
        what: "table",
        name: format!("{schema}.{table}"),
        hint: String::new(),
    })?;
    // Commits of `ops` count the rows of all tenants.
    if schema == schemas::ops::TENANT && !door.is_admin() {
        return Err(LakehouseError::Forbidden("the history of a table of 'ops' is for administrators".to_owned()));
    }
    let commits = door.store().history(&view.table, None).await?;
    let batch = RecordBatch::try_new(
        history_schema(),
        vec![
            Arc::new(Int64Array::from_iter_values(commits.iter().map(|c| c.version))),
            Arc::new(TimestampMillisecondArray::from_iter_values(commits.iter().map(|c| c.timestamp_ms)).with_timezone("UTC")),
            Arc::new(StringArray::from_iter_values(commits.iter().map(|c| &c.operation))),
            Arc::new(UInt64Array::from_iter_values(commits.iter().map(|c| c.rows_added))),
            Arc::new(UInt64Array::from_iter_values(commits.iter().map(|c| c.files_added))),
            Arc::new(UInt64Array::from_iter_values(commits.iter().map(|c| c.files_removed))),
        ],
    )?;
    Ok(ready(batch, vec![(view.table.clone(), view.version)]))
}
