//! `pg_catalog` of one caller: datafusion-pg-catalog's, but for two tables whose arrays it keeps as text, columns of
//! `pg_class` that it lacks, and what it does not know: the contracts' descriptions, and this server's settings.

mod objects;

pub(crate) use objects::Objects;

use super::catalog::Door;
use arrow_array::{ArrayRef, RecordBatch, StringArray, new_null_array};
use arrow_schema::{DataType, Field, Schema};
use async_trait::async_trait;
use datafusion::{
    catalog::{MemTable, SchemaProvider, TableProvider},
    datasource::{ViewTable, provider_as_source},
    error::DataFusionError,
    logical_expr::{Expr, LogicalPlanBuilder, ident, lit},
    prelude::SessionContext,
    scalar::ScalarValue,
};
use datafusion_pg_catalog::pg_catalog::{PgCatalogSchemaProvider, context::EmptyContextProvider};
use std::sync::Arc;

/// It hands out object identifiers, so a connection keeps one.
pub(crate) type PgCatalog = PgCatalogSchemaProvider<Door, EmptyContextProvider>;

/// Arrays of column numbers, and of operator classes and collations.
const NUMBERS: [&str; 5] = ["conkey", "confkey", "indkey", "indoption", "confdelsetcols"];
const IDENTIFIERS: [&str; 2] = ["indclass", "indcollation"];

/// Lists of `pg_class` that no table here has.
const NO_LIST: [&str; 2] = ["relacl", "reloptions"];

/// What drivers look up in `pg_settings`.
const SETTINGS: [(&str, &str); 15] = [
    ("block_size", "8192"),
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, MDY"),
    ("default_table_access_method", "heap"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "on"),
    ("integer_datetimes", "on"),
    ("IntervalStyle", "postgres"),
    ("max_identifier_length", "63"),
    ("max_index_keys", "32"),
    ("server_encoding", "UTF8"),
    ("server_version", "16.6"),
    ("server_version_num", "160006"),
    ("standard_conforming_strings", "on"),
    ("TimeZone", "UTC"),
];

/// A setting of this server that is the same for every session.
pub(crate) fn setting(name: &str) -> Option<&'static str> {
    SETTINGS.iter().find(|s| s.0.eq_ignore_ascii_case(name)).map(|s| s.1)
}

/// The schema as a statement sees it.
#[derive(Debug)]
pub(super) struct Typed {
    pub(super) tables: Arc<PgCatalog>,
    pub(super) door: Door,
}

#[async_trait]
impl SchemaProvider for Typed {
    fn table_names(&self) -> Vec<String> {
        self.tables.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let Some(table) = self.tables.table(name).await? else { return Ok(None) };
        match name {
            "pg_constraint" | "pg_index" => empty(&table.schema()).map(Some),
            "pg_class" => with_lists(table).map(Some),
            "pg_settings" => settings(&table.schema()).map(Some),
            "pg_description" => {
                let own = Objects::of(&self.tables, &self.door).await?.descriptions(&table.schema())?;
                let mut all = SessionContext::new().read_table(Arc::clone(&table))?.collect().await?;
                all.push(own);
                Ok(Some(Arc::new(MemTable::try_new(table.schema(), vec![all])?)))
            }
            _ => Ok(Some(table)),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.table_exist(name)
    }
}

/// Tables here have neither constraints nor indexes; clients unnest the arrays all the same.
fn empty(schema: &Schema) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let list = |of| DataType::List(Arc::new(Field::new_list_field(of, true)));
    let typed = |f: &Arc<Field>| match f.name().as_str() {
        n if NUMBERS.contains(&n) => Arc::new(f.as_ref().clone().with_data_type(list(DataType::Int16))),
        n if IDENTIFIERS.contains(&n) => Arc::new(f.as_ref().clone().with_data_type(list(DataType::Int32))),
        _ => Arc::clone(f),
    };
    let fields: Vec<_> = schema.fields().iter().map(typed).collect();
    Ok(Arc::new(MemTable::try_new(Arc::new(Schema::new(fields)), vec![vec![]])?))
}

fn with_lists(table: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let mut columns: Vec<Expr> = table.schema().fields().iter().map(|f| ident(f.name())).collect();
    columns.extend(NO_LIST.map(|name| lit(ScalarValue::new_null_list(DataType::Utf8, true, 1)).alias(name)));
    let plan = LogicalPlanBuilder::scan("pg_class", provider_as_source(table), None)?.project(columns)?.build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

fn settings(schema: &Arc<Schema>) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let column = |f: &Arc<Field>| -> ArrayRef {
        match f.name().as_str() {
            "name" => Arc::new(StringArray::from_iter_values(SETTINGS.map(|s| s.0))),
            "setting" => Arc::new(StringArray::from_iter_values(SETTINGS.map(|s| s.1))),
            _ => new_null_array(f.data_type(), SETTINGS.len()),
        }
    };
    let batch = RecordBatch::try_new(Arc::clone(schema), schema.fields().iter().map(column).collect())?;
    Ok(Arc::new(MemTable::try_new(Arc::clone(schema), vec![vec![batch]])?))
}

#[cfg(test)]
mod tests;
