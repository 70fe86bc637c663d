//! The session of one statement: one pin of all tables, the caller's catalogue, and a memory pool of its own.

use super::{
    catalog::{Catalog, Door},
    catalogue_sql,
    engine::Engine,
    functions,
    pg_catalog::{Objects, PgCatalog},
    table::LogTable,
};
use crate::{LakehouseError, Views};
use datafusion::{
    catalog::{CatalogProviderList, MemoryCatalogProviderList},
    common::tree_node::TreeNodeRecursion,
    datasource::source_as_provider,
    error::DataFusionError,
    execution::{FunctionRegistry, SessionState, SessionStateBuilder, memory_pool::FairSpillPool, runtime_env::RuntimeEnvBuilder},
    logical_expr::LogicalPlan,
    prelude::SessionContext,
    sql::sqlparser::ast::Statement,
};
use schemas::TableRef;
use std::{collections::BTreeMap, sync::Arc};

/// The one catalogue.
pub(crate) const CATALOG: &str = "portico";

pub(super) struct Session {
    pub(super) state: SessionState,
    pub(super) door: Door,
    pub(super) views: Arc<Views>,
    pub(super) default_schema: String,
    pg_catalog: Arc<PgCatalog>,
}

impl Session {
    pub(super) fn new(
        engine: &Engine,
        door: &Door,
        schema: Option<&str>,
        pg_catalog: Option<Arc<PgCatalog>>,
        memory_bytes: usize,
    ) -> Result<Self, LakehouseError> {
        let views = door.store().pin();
        let default_schema = schema.map_or_else(|| door.default_schema(&views), str::to_owned);
        let pg_catalog = match pg_catalog {
            Some(kept) => kept,
            None => door.pg_catalog(&engine.statics)?,
        };
        let catalogs = Arc::new(MemoryCatalogProviderList::new());
        let catalog = Catalog { door: door.clone(), views: Arc::clone(&views), pg_catalog: Arc::clone(&pg_catalog) };
        catalogs.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
        let env = RuntimeEnvBuilder::from_runtime_env(&engine.env)
            .with_memory_pool(Arc::new(FairSpillPool::new(memory_bytes)))
            .build_arc()
            .map_err(|e| LakehouseError::Internal(e.to_string()))?;
        let template = engine.statics.template.clone();
        let config = template
            .config()
            .clone()
            .with_create_default_catalog_and_schema(false)
            .with_default_catalog_and_schema(CATALOG, &default_schema);
        let state =
            SessionStateBuilder::new_from_existing(template).with_config(config).with_catalog_list(catalogs).with_runtime_env(env).build();
        let context = SessionContext::new_with_state(state);
        functions::register_current_schema(&context, &default_schema);
        Ok(Self { state: context.state(), door: door.clone(), views, default_schema, pg_catalog })
    }

    /// Functions that answer about one object, for a statement that calls one: they need the identifiers of all objects.
    pub(super) async fn lend_objects(&mut self, statement: &Statement) -> Result<(), LakehouseError> {
        if !catalogue_sql::asks_about_objects(statement) {
            return Ok(());
        }
        let wrong = |e: DataFusionError| LakehouseError::Internal(format!("objects of the catalogue: {e}"));
        let objects = Objects::of(&self.pg_catalog, &self.door).await.map_err(wrong)?;
        for function in objects.functions(&self.default_schema) {
            self.state.register_udf(Arc::new(function)).map_err(wrong)?;
        }
        Ok(())
    }

    /// The tables of ours that a plan reads, with the Delta version of each.
    pub(super) fn tables_of(plan: &LogicalPlan) -> Result<BTreeMap<TableRef, i64>, DataFusionError> {
        let mut tables = BTreeMap::new();
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Ok(provider) = source_as_provider(&scan.source)
            {
                if let Some(ours) = provider.downcast_ref::<LogTable>() {
                    tables.insert(ours.view.table.clone(), ours.view.version);
                } else if let Some(inner) = provider.get_logical_plan() {
                    tables.extend(Self::tables_of(&inner)?);
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(tables)
    }
}
