//! Arrow columns as a Delta schema, for the first commit and for columns that a contract gained.

use crate::{LakehouseConfig, LakehouseError};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use deltalake_core::{
    kernel::{Action, Metadata, MetadataExt, Protocol, StructType, new_metadata},
    logstore::LogStoreRef,
    protocol::{DeltaOperation, SaveMode},
};
use schemas::{TableRef, row};
use serde_json::{Value, json};

/// The actions of version 0.
pub(super) fn creation(
    table: &TableRef,
    log_store: &LogStoreRef,
    stored: &SchemaRef,
    config: &LakehouseConfig,
) -> Result<(Vec<Action>, DeltaOperation), LakehouseError> {
    let settings = [
        ("delta.checkpointInterval", config.checkpoint_commits.max(1).to_string()),
        // All columns: `position` comes after the fields of the contract.
        ("delta.dataSkippingNumIndexedCols", "-1".to_owned()),
        ("delta.enableExpiredLogCleanup", "false".to_owned()),
    ];
    let metadata = new_metadata(&struct_type(stored)?, [row::DATE], settings)
        .and_then(|m| m.with_name(table.to_string()))
        .map_err(LakehouseError::delta(table, "describing"))?;
    let protocol: Protocol = from_json(json!({"minReaderVersion": 1, "minWriterVersion": 2}))?;
    let operation = DeltaOperation::Create {
        mode: SaveMode::ErrorIfExists,
        location: log_store.root_url().clone(),
        protocol: protocol.clone(),
        metadata: metadata.clone(),
    };
    Ok((vec![Action::Protocol(protocol), Action::Metadata(metadata)], operation))
}

/// The metadata with the columns that `stored` has and the table lacks, if there are any.
pub(super) fn widened(
    table: &TableRef,
    metadata: &Metadata,
    current: &SchemaRef,
    stored: &SchemaRef,
) -> Result<Option<Metadata>, LakehouseError> {
    let new: Vec<_> = stored.fields().iter().filter(|f| current.index_of(f.name()).is_err()).cloned().collect();
    if new.is_empty() {
        return Ok(None);
    }
    // Rows already stored lack the new columns, whatever the contract says of new ones.
    let new = new.iter().map(|f| std::sync::Arc::new(f.as_ref().clone().with_nullable(true)));
    let all = Schema::new(current.fields().iter().cloned().chain(new).collect::<Vec<_>>());
    let out = metadata.clone().with_schema(&struct_type(&all)?).map_err(LakehouseError::delta(table, "adding columns"))?;
    Ok(Some(out))
}

fn struct_type(schema: &Schema) -> Result<StructType, LakehouseError> {
    let fields = schema.fields().iter().map(|f| field_json(f)).collect::<Result<Vec<_>, _>>()?;
    from_json(json!({"type": "struct", "fields": fields}))
}

fn field_json(field: &Field) -> Result<Value, LakehouseError> {
    let kind = match field.data_type() {
        DataType::Utf8 => "string",
        DataType::Int64 => "long",
        DataType::Float64 => "double",
        DataType::Boolean => "boolean",
        DataType::Binary => "binary",
        DataType::Date32 => "date",
        DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, Some(_)) => "timestamp",
        other => return Err(LakehouseError::Internal(format!("column {}: {other} is not stored", field.name()))),
    };
    Ok(json!({"name": field.name(), "type": kind, "nullable": field.is_nullable(), "metadata": {}}))
}

fn from_json<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, LakehouseError> {
    serde_json::from_value(value).map_err(|e| LakehouseError::Internal(format!("Delta description: {e}")))
}
