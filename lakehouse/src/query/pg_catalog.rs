//! `pg_catalog` of one caller: datafusion-pg-catalog's, but for the two tables whose arrays it keeps as text.

use super::catalog::Door;
use arrow_schema::{DataType, Field, Schema};
use async_trait::async_trait;
use datafusion::{
    catalog::{MemTable, SchemaProvider, TableProvider},
    error::DataFusionError,
};
use datafusion_pg_catalog::pg_catalog::{PgCatalogSchemaProvider, context::EmptyContextProvider};
use std::sync::Arc;

/// It hands out object identifiers, so a connection keeps one.
pub(crate) type PgCatalog = PgCatalogSchemaProvider<Door, EmptyContextProvider>;

/// Arrays of column numbers, and of operator classes and collations.
const NUMBERS: [&str; 5] = ["conkey", "confkey", "indkey", "indoption", "confdelsetcols"];
const IDENTIFIERS: [&str; 2] = ["indclass", "indcollation"];

/// The schema as a statement sees it.
#[derive(Debug)]
pub(super) struct Typed(pub(super) Arc<PgCatalog>);

#[async_trait]
impl SchemaProvider for Typed {
    fn table_names(&self) -> Vec<String> {
        self.0.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let table = self.0.table(name).await?;
        match name {
            "pg_constraint" | "pg_index" => table.map(|t| empty(&t.schema())).transpose(),
            _ => Ok(table),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.table_exist(name)
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
