//! SQL over one consistent view of every table: DataFusion plans it, on its own threads, within limits.
//!
//! A statement takes one pin of all tables, sees only the tenants of its caller (API-1), reads hot rows and files
//! through [`table`], and streams its result over a bounded channel. DataFusion stays inside this module.

mod asof;
mod catalog;
mod catalogue_sql;
mod engine;
mod extension;
mod functions;
mod gap_fill;
mod history;
mod latest;
mod parse;
mod pg_catalog;
mod prune;
mod run;
mod series;
mod session;
mod sql_error;
mod table;

pub use series::SeriesRequest;

pub(crate) use catalog::Door;
pub(crate) use engine::Engine;
pub(crate) use history::history_schema;
pub(crate) use parse::{Parsed, parse_numbered, parse_statements};
pub(crate) use pg_catalog::{PgCatalog, setting};
pub(crate) use run::Job;
pub(crate) use session::CATALOG;

use crate::{Lakehouse, LakehouseError};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use futures::stream::BoxStream;
use schemas::{ProductId, TableRef, Tenant};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Which tenants a caller may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tenants {
    /// All of them, and every row of `ops`: the administrators.
    All,
    /// These. The first is where a table without a schema is looked up.
    Only(Vec<Tenant>),
}

/// What a caller may see. Everything else does not exist for it: not in results, errors, suggestions or the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub tenants: Tenants,
    /// Only these products; `None` is all of them.
    pub products: Option<Vec<ProductId>>,
    /// Whether the schema `ops` exists. Unless `tenants` is `All`, its rows are those of the caller's tenants.
    pub ops: bool,
}

impl Access {
    /// Everything.
    #[must_use]
    pub fn admin() -> Self {
        Self { tenants: Tenants::All, products: None, ops: true }
    }

    /// All products of these tenants, and their lines of `ops`.
    #[must_use]
    pub fn tenants(tenants: Vec<Tenant>) -> Self {
        Self { tenants: Tenants::Only(tenants), products: None, ops: true }
    }
}

/// What one statement may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A result with more rows fails.
    pub rows_max: usize,
    /// Memory of sorts, joins and aggregates; beyond it they spill to disk, or fail.
    pub memory_bytes: usize,
    /// From the call to the last row taken.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows_max: 1_000_000, memory_bytes: 512 << 20, timeout: Duration::from_secs(60) }
    }
}

/// One statement of one caller.
#[derive(Debug, Clone)]
pub struct QueryRequest {
    pub sql: String,
    pub access: Access,
    pub limits: Limits,
    /// Stops the statement; so does dropping the stream.
    pub cancel: CancellationToken,
}

impl QueryRequest {
    /// With the default limits and a token that nobody else holds.
    pub fn new(sql: impl Into<String>, access: Access) -> Self {
        Self { sql: sql.into(), access, limits: Limits::default(), cancel: CancellationToken::new() }
    }
}

/// A running statement. Dropping it stops the statement.
pub struct QueryStream {
    pub schema: SchemaRef,
    /// Batches of `schema`. After an error there is nothing more.
    pub batches: BoxStream<'static, Result<RecordBatch, LakehouseError>>,
    /// The tables that were read, and the Delta version of each (-1: no commit yet). Hot rows come on top,
    /// unless the statement asked for a version.
    pub versions: Vec<(TableRef, i64)>,
}

impl std::fmt::Debug for QueryStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryStream").field("schema", &self.schema).field("versions", &self.versions).finish_non_exhaustive()
    }
}

impl QueryStream {
    /// All batches, for results known to be small; `rows_max` bounds them.
    pub async fn collect(self) -> Result<Vec<RecordBatch>, LakehouseError> {
        futures::TryStreamExt::try_collect(self.batches).await
    }
}

impl Lakehouse {
    /// Runs one read-only statement.
    ///
    /// # Errors
    /// `Sql` with line, column and a suggestion when the statement is wrong; `Forbidden` when it writes; `Limit`.
    pub async fn query(&self, request: QueryRequest) -> Result<QueryStream, LakehouseError> {
        let QueryRequest { sql, access, limits, cancel } = request;
        let parsed = parse::parse_one(&sql)?;
        let door = self.door(access);
        self.engine.start(Job { door, limits, cancel, schema: None, pg_catalog: None }, parsed).await
    }

    pub(crate) fn door(&self, access: Access) -> Door {
        Door::new(std::sync::Arc::clone(&self.store), self.contracts.clone(), access)
    }
}

#[cfg(test)]
mod tests;
