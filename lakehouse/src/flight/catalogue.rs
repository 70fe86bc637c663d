//! The commands about the catalogue: what the caller sees of it, as the batches that Flight SQL prescribes.

use super::{
    errors::{invalid, to_status},
    info::Infos,
};
use crate::{
    LakehouseError,
    query::{CATALOG, Door},
};
use arrow_array::RecordBatch;
use arrow_flight::{
    error::FlightError,
    sql::{Command, CommandGetDbSchemas, CommandGetTables},
};
use arrow_schema::{DataType, Field, Schema};
use std::sync::Arc;
use tonic::Status;

/// The kind of every table here: nothing that a caller sees is a view or a temporary table.
const TABLE: &str = "TABLE";

/// The answer to a command that is not a statement.
pub(super) fn answer(door: &Door, infos: &Infos, command: Command) -> Result<RecordBatch, Status> {
    let batch = match command {
        Command::CommandGetCatalogs(asked) => {
            let mut out = asked.into_builder();
            out.append(CATALOG);
            out.build()
        }
        Command::CommandGetDbSchemas(asked) => schemas(door, asked),
        Command::CommandGetTables(asked) => tables(door, asked),
        Command::CommandGetTableTypes(_) => Ok(table_types().map_err(|e| to_status(&e))?),
        Command::CommandGetSqlInfo(asked) => asked.into_builder(&infos.server).build(),
        Command::CommandGetXdbcTypeInfo(asked) => asked.into_builder(&infos.types).build(),
        Command::CommandGetPrimaryKeys(_) => Ok(RecordBatch::new_empty(Arc::new(primary_keys()))),
        Command::CommandGetExportedKeys(_) | Command::CommandGetImportedKeys(_) | Command::CommandGetCrossReference(_) => {
            Ok(RecordBatch::new_empty(Arc::new(foreign_keys())))
        }
        other => {
            let kind = other.type_url().rsplit('.').next().unwrap_or_default().to_owned();
            return Err(invalid(format!("'{kind}' is not answered here; send SQL as CommandStatementQuery")));
        }
    };
    batch.map_err(|e| match e {
        FlightError::Tonic(status) => *status,
        other => to_status(&LakehouseError::Internal(other.to_string())),
    })
}

fn schemas(door: &Door, asked: CommandGetDbSchemas) -> Result<RecordBatch, FlightError> {
    let mut out = asked.into_builder();
    for schema in door.schemas(&door.pin()) {
        out.append(CATALOG, schema);
    }
    out.build()
}

fn tables(door: &Door, asked: CommandGetTables) -> Result<RecordBatch, FlightError> {
    let mut out = asked.into_builder();
    let views = door.pin();
    for schema in door.schemas(&views) {
        for table in door.tables(&views, &schema) {
            if let Some(view) = door.view(&views, &schema, &table) {
                out.append(CATALOG, &schema, &table, TABLE, &view.schema)?;
            }
        }
    }
    out.build()
}

fn table_types() -> Result<RecordBatch, LakehouseError> {
    let schema = Schema::new(vec![Field::new("table_type", DataType::Utf8, false)]);
    Ok(RecordBatch::try_new(Arc::new(schema), vec![Arc::new(arrow_array::StringArray::from(vec![TABLE]))])?)
}

fn text(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Utf8, nullable)
}

/// Tables here have no declared keys: what tells rows apart is the contract's, and nothing enforces it but ingest.
fn primary_keys() -> Schema {
    Schema::new(vec![
        text("catalog_name", true),
        text("db_schema_name", true),
        text("table_name", false),
        text("column_name", false),
        text("key_name", true),
        Field::new("key_sequence", DataType::Int32, false),
    ])
}

fn foreign_keys() -> Schema {
    Schema::new(vec![
        text("pk_catalog_name", true),
        text("pk_db_schema_name", true),
        text("pk_table_name", false),
        text("pk_column_name", false),
        text("fk_catalog_name", true),
        text("fk_db_schema_name", true),
        text("fk_table_name", false),
        text("fk_column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("fk_key_name", true),
        text("pk_key_name", true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ])
}
