//! What one caller sees of one pin: the catalogue `portico`, its tenants as schemas, and the tables behind special names.

use super::{
    Access, Tenants,
    engine::Statics,
    parse::AT,
    pg_catalog::{PgCatalog, Typed},
    session::CATALOG,
    table::LogTable,
};
use crate::{LATEST, LakehouseError, TableView, Views, store::Store};
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{CatalogProvider, SchemaProvider, TableProvider},
    datasource::{ViewTable, provider_as_source},
    error::DataFusionError,
    logical_expr::{Expr, LogicalPlanBuilder, TableType, col, lit},
    scalar::ScalarValue,
};
use datafusion_pg_catalog::pg_catalog::{PgCatalogSchemaProvider, catalog_info::CatalogInfo, context::EmptyContextProvider};
use futures::{FutureExt, future::BoxFuture};
use object_store::memory::InMemory;
use schemas::{Contracts, ProductId, TableRef, Tenant, Timestamp, ops, ops::OpsTable, row};
use std::sync::Arc;

/// The tables of the store, as one caller may see them.
#[derive(Clone)]
pub(crate) struct Door {
    store: Arc<Store>,
    contracts: Contracts,
    access: Arc<Access>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("access", &self.access).finish_non_exhaustive()
    }
}

impl Door {
    pub(super) fn new(store: Arc<Store>, contracts: Contracts, access: Access) -> Self {
        Self { store, contracts, access: Arc::new(access) }
    }

    pub(super) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub(crate) fn pin(&self) -> Arc<Views> {
        self.store.pin()
    }

    pub(super) fn contract(&self, product: &ProductId) -> Option<&Arc<schemas::Contract>> {
        self.contracts.get(product)
    }

    pub(super) fn is_admin(&self) -> bool {
        self.access.tenants == Tenants::All
    }

    pub(crate) fn pg_catalog(&self, statics: &Arc<Statics>) -> Result<Arc<PgCatalog>, LakehouseError> {
        PgCatalogSchemaProvider::try_new(self.clone(), Arc::clone(&statics.pg_tables), EmptyContextProvider)
            .map(Arc::new)
            .map_err(|e| LakehouseError::Internal(e.to_string()))
    }

    /// The schema of tables without one: the first of the caller's tenants that is a city.
    pub(crate) fn default_schema(&self, views: &Views) -> String {
        self.schemas(views).into_iter().find(|s| s != ops::TENANT).unwrap_or_else(|| ops::TENANT.to_owned())
    }

    pub(crate) fn schemas(&self, views: &Views) -> Vec<String> {
        let mut out: Vec<String> = match &self.access.tenants {
            Tenants::Only(list) => list.iter().map(|t| t.as_str().to_owned()).collect(),
            Tenants::All => {
                let home = self.store.home();
                let mut rest: Vec<&str> =
                    views.keys().map(|t| t.tenant.as_str()).filter(|t| *t != ops::TENANT && Some(*t) != home).collect();
                rest.sort_unstable();
                rest.dedup();
                home.into_iter().chain(rest).map(str::to_owned).collect()
            }
        };
        if self.access.ops {
            out.push(ops::TENANT.to_owned());
        }
        out
    }

    fn sees(&self, table: &TableRef) -> bool {
        if table.tenant.as_str() == ops::TENANT {
            return self.access.ops && OpsTable::of(table).is_some();
        }
        let tenant = match &self.access.tenants {
            Tenants::All => true,
            Tenants::Only(list) => list.contains(&table.tenant),
        };
        let product = table.product.as_str().strip_suffix(LATEST).unwrap_or(table.product.as_str());
        tenant && self.access.products.as_ref().is_none_or(|p| p.iter().any(|p| p.as_str() == product))
    }

    /// Tables that the caller sees: every declared product of a known tenant, and those of `ops`, even when they are empty.
    pub(crate) fn tables(&self, views: &Views, schema: &str) -> Vec<String> {
        let mut out: Vec<String> = if schema == ops::TENANT {
            OpsTable::ALL.iter().map(|t| t.table()).filter(|t| self.sees(t)).map(|t| t.product.as_str().to_owned()).collect()
        } else {
            let declared = Tenant::new(schema).ok().filter(|_| self.schemas(views).iter().any(|s| s == schema));
            let declared = declared.iter().flat_map(|t| self.contracts.iter().map(|c| TableRef::new(t.clone(), c.product.clone())));
            let stored = views.keys().filter(|t| t.tenant.as_str() == schema).cloned();
            stored.chain(declared).filter(|t| self.sees(t)).map(|t| t.product.as_str().to_owned()).collect()
        };
        out.sort_unstable();
        out.dedup();
        out
    }

    /// The table, when the caller sees it. A declared product of a known tenant is empty before its first row, not missing.
    pub(crate) fn view(&self, views: &Views, schema: &str, name: &str) -> Option<Arc<TableView>> {
        let table = TableRef::new(Tenant::new(schema).ok()?, ProductId::new(name).ok()?);
        if !self.sees(&table) || !self.schemas(views).iter().any(|s| s == schema) {
            return None;
        }
        if let Some(view) = views.get(&table) {
            return Some(Arc::clone(view));
        }
        if let Some(view) = self.newest_rows(&table) {
            return Some(view);
        }
        let schema = self.contracts.stored_schema(&table)?;
        let (files, hot, object_store) = (Arc::default(), Arc::default(), Arc::new(InMemory::new()));
        Some(Arc::new(TableView { table, schema, version: -1, files, hot, object_store }))
    }

    /// `air_quality_latest`: one row per entity, from whoever keeps them.
    fn newest_rows(&self, table: &TableRef) -> Option<Arc<TableView>> {
        let product = ProductId::new(table.product.as_str().strip_suffix(LATEST)?).ok()?;
        let whole = TableRef::new(table.tenant.clone(), product);
        let schema = self.contracts.stored_schema(&whole).filter(|_| self.sees(&whole))?;
        let hot = Arc::new(vec![self.store.latest.get()?.rows(&whole)?]);
        let object_store = Arc::new(InMemory::new());
        Some(Arc::new(TableView { table: table.clone(), schema, version: -1, files: Arc::default(), hot, object_store }))
    }

    /// The conditions under which the caller sees a row.
    fn row_filter(&self, table: &TableRef, known_on: Option<Timestamp>) -> Option<Expr> {
        let is_ops = table.tenant.as_str() == ops::TENANT;
        let known = known_on.map(|at| {
            let column = if is_ops { row::OBSERVED_AT } else { row::RECEIVED_AT };
            col(column).lt_eq(lit(ScalarValue::TimestampMicrosecond(Some(at.0), Some("UTC".into()))))
        });
        let own = match &self.access.tenants {
            Tenants::Only(list) if is_ops => Some(col("tenant").in_list(list.iter().map(|t| lit(t.as_str())).collect(), false)),
            _ => None,
        };
        match (known, own) {
            (Some(a), Some(b)) => Some(a.and(b)),
            (a, b) => a.or(b),
        }
    }

    pub(super) fn provider(&self, view: Arc<TableView>, known_on: Option<Timestamp>) -> datafusion::error::Result<Arc<dyn TableProvider>> {
        let filter = self.row_filter(&view.table, known_on);
        let name = view.table.product.as_str().to_owned();
        let table: Arc<dyn TableProvider> = Arc::new(LogTable::new(view));
        let Some(filter) = filter else { return Ok(table) };
        let plan = LogicalPlanBuilder::scan(name, provider_as_source(table), None)?.filter(filter)?.build()?;
        Ok(Arc::new(ViewTable::new(plan, None)))
    }
}

/// The catalogue of one statement.
#[derive(Debug)]
pub(super) struct Catalog {
    pub(super) door: Door,
    pub(super) views: Arc<Views>,
    pub(super) pg_catalog: Arc<PgCatalog>,
}

impl CatalogProvider for Catalog {
    fn schema_names(&self) -> Vec<String> {
        let mut names = self.door.schemas(&self.views);
        names.push("pg_catalog".to_owned());
        names
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if name == "pg_catalog" {
            return Some(Arc::new(Typed { tables: Arc::clone(&self.pg_catalog), door: self.door.clone() }));
        }
        if !self.door.schemas(&self.views).iter().any(|s| s == name) {
            return None;
        }
        Some(Arc::new(TenantSchema { name: name.to_owned(), door: self.door.clone(), views: Arc::clone(&self.views) }))
    }
}

#[derive(Debug)]
struct TenantSchema {
    name: String,
    door: Door,
    views: Arc<Views>,
}

#[async_trait]
impl SchemaProvider for TenantSchema {
    fn table_names(&self) -> Vec<String> {
        self.door.tables(&self.views, &self.name)
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        resolve(self, name).await
    }

    fn table_exist(&self, name: &str) -> bool {
        let base = name.split_once(AT).map_or(name, |(base, _)| base);
        self.door.view(&self.views, &self.name, base).is_some()
    }
}

/// `air_quality`, `air_quality@v12` or `air_quality@t1709251200000000`.
fn resolve<'a>(schema: &'a TenantSchema, name: &'a str) -> BoxFuture<'a, Result<Option<Arc<dyn TableProvider>>, DataFusionError>> {
    async move {
        let (base, suffix) = name.split_once(AT).map_or((name, None), |(base, suffix)| (base, Some(suffix)));
        let Some(view) = schema.door.view(&schema.views, &schema.name, base) else { return Ok(None) };
        let Some(suffix) = suffix else { return schema.door.provider(view, None).map(Some) };
        let (kind, number) = suffix.split_at_checked(1).unwrap_or(("", ""));
        match (kind, number.parse::<i64>()) {
            ("t", Ok(micros)) => schema.door.provider(view, Some(Timestamp(micros))).map(Some),
            ("v", Ok(version)) => {
                let old = schema
                    .door
                    .store
                    .view_at(&view.table, version)
                    .await
                    .map_err(|e| DataFusionError::External(Box::new(no_version(e, &view.table, version))))?;
                schema.door.provider(old, None).map(Some)
            }
            _ => Ok(None),
        }
    }
    .boxed()
}

/// The caller sees the table; it is the version that is missing.
fn no_version(e: LakehouseError, table: &TableRef, version: i64) -> LakehouseError {
    match e {
        LakehouseError::NotFound { .. } => LakehouseError::NotFound {
            what: "version",
            name: version.to_string(),
            hint: format!(" in {table}; DESCRIBE HISTORY {table} lists the versions"),
        },
        other => other,
    }
}

/// Answers `pg_catalog` from a fresh pin, so that a long connection sees new tables.
#[async_trait]
impl CatalogInfo for Door {
    async fn catalog_names(&self) -> Result<Vec<String>, DataFusionError> {
        Ok(vec![CATALOG.to_owned()])
    }

    async fn schema_names(&self, catalog: &str) -> Result<Option<Vec<String>>, DataFusionError> {
        Ok((catalog == CATALOG).then(|| {
            let mut names = self.schemas(&self.store.pin());
            names.push("pg_catalog".to_owned());
            names
        }))
    }

    async fn table_names(&self, catalog: &str, schema: &str) -> Result<Option<Vec<String>>, DataFusionError> {
        Ok((catalog == CATALOG).then(|| self.tables(&self.store.pin(), schema)))
    }

    async fn table_schema(&self, catalog: &str, schema: &str, table: &str) -> Result<Option<SchemaRef>, DataFusionError> {
        Ok((catalog == CATALOG).then(|| self.view(&self.store.pin(), schema, table)).flatten().map(|v| Arc::clone(&v.schema)))
    }

    async fn table_type(&self, catalog: &str, schema: &str, table: &str) -> Result<Option<TableType>, DataFusionError> {
        Ok((catalog == CATALOG).then(|| self.view(&self.store.pin(), schema, table)).flatten().map(|_| TableType::Base))
    }
}
