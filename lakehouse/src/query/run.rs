//! Runs a statement on the engine's threads and hands its batches over, within its limits.

use super::{
    Limits, QueryStream, catalog::Door, engine::Engine, history, parse, parse::Parsed, pg_catalog::PgCatalog, session::Session,
    sql_error::from_datafusion,
};
use crate::LakehouseError;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::{
    common::ParamValues,
    execution::context::SQLOptions,
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, execute_stream},
    sql::{parser::Statement as DfStatement, sqlparser::ast::Statement},
};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use schemas::{TableRef, ops};
use std::{collections::BTreeMap, future::Future, sync::Arc};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Batches that wait for a slow reader before the plan waits.
const BATCHES_AHEAD: usize = 4;

/// Who runs something, and within which limits.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) door: Door,
    pub(crate) limits: Limits,
    pub(crate) cancel: CancellationToken,
    /// The schema of tables without one; the caller's own when absent.
    pub(crate) schema: Option<String>,
    /// A connection's, so that object identifiers stay the same from one statement to the next.
    pub(crate) pg_catalog: Option<Arc<PgCatalog>>,
}

impl Job {
    pub(super) fn session(&self, engine: &Engine) -> Result<Session, LakehouseError> {
        Session::new(engine, &self.door, self.schema.as_deref(), self.pg_catalog.clone(), self.limits.memory_bytes)
    }
}

/// A plan with what the caller is told about it.
pub(super) struct Planned {
    pub(super) plan: LogicalPlan,
    pub(super) versions: BTreeMap<TableRef, i64>,
}

struct Header {
    schema: SchemaRef,
    versions: BTreeMap<TableRef, i64>,
}

/// The plan of a statement that may run, resolved against one pin.
pub(super) async fn plan(session: &Session, statement: Statement) -> Result<Planned, LakehouseError> {
    parse::allow(&statement)?;
    let plan = session
        .state
        .statement_to_plan(DfStatement::Statement(Box::new(statement)))
        .await
        .map_err(|e| from_datafusion(e, Some(session)))?;
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(&plan)
        .map_err(|_| LakehouseError::Forbidden("SQL here is read only: use SELECT, EXPLAIN, DESCRIBE or SHOW".to_owned()))?;
    let versions = Session::tables_of(&plan).map_err(|e| from_datafusion(e, Some(session)))?;
    // A plan tells counts of rows and names of files, and those of `ops` belong to all tenants.
    let explains = matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_));
    if explains && !session.door.is_admin() && versions.keys().any(|t| t.tenant.as_str() == ops::TENANT) {
        return Err(LakehouseError::Forbidden("EXPLAIN of a table of 'ops' is for administrators".to_owned()));
    }
    Ok(Planned { plan, versions })
}

/// The plan that runs, its parameters filled in.
async fn physical(
    session: &Session,
    statement: Statement,
    parameters: Option<ParamValues>,
) -> Result<(Arc<dyn ExecutionPlan>, BTreeMap<TableRef, i64>), LakehouseError> {
    let wrong = |e| from_datafusion(e, Some(session));
    let Planned { plan, versions } = plan(session, statement).await?;
    let plan = match parameters {
        Some(values) => plan.replace_params_with_values(&values).map_err(wrong)?,
        None => plan,
    };
    if let Some(name) = plan.get_parameter_names().map_err(wrong)?.into_iter().min() {
        let message = format!("the parameter {name} has no value; send one value for each parameter");
        return Err(LakehouseError::Sql { message, line: None, column: None, hint: None });
    }
    Ok((session.state.create_physical_plan(&plan).await.map_err(wrong)?, versions))
}

impl Engine {
    /// Runs a parsed statement.
    pub(crate) async fn start(self: &Arc<Self>, job: Job, parsed: Parsed) -> Result<QueryStream, LakehouseError> {
        match parsed {
            Parsed::History(name) => history::history(&job.door, job.schema.as_deref(), &name).await,
            Parsed::Plan(statement) => self.start_statement(job, *statement, None).await,
        }
    }

    /// The plan alone, for describing a prepared statement.
    pub(crate) async fn describe(self: &Arc<Self>, job: Job, statement: Statement) -> Result<LogicalPlan, LakehouseError> {
        let engine = Arc::clone(self);
        self.on_threads(&job.clone(), async move {
            let mut session = job.session(&engine)?;
            session.lend_objects(&statement).await?;
            Ok(plan(&session, statement).await?.plan)
        })
        .await
    }

    /// Runs a statement, its parameters filled in.
    pub(crate) async fn start_statement(
        self: &Arc<Self>,
        job: Job,
        statement: Statement,
        parameters: Option<ParamValues>,
    ) -> Result<QueryStream, LakehouseError> {
        let engine = Arc::clone(self);
        let inner = job.clone();
        self.stream(&job, async move {
            let mut session = inner.session(&engine)?;
            session.lend_objects(&statement).await?;
            let (physical, versions) = physical(&session, statement, parameters).await?;
            Ok((session, physical, versions))
        })
        .await
    }

    /// The columns of the answer exactly as it will have them, without running the statement.
    pub(crate) async fn columns(
        self: &Arc<Self>,
        job: Job,
        parsed: Parsed,
        parameters: Option<ParamValues>,
    ) -> Result<SchemaRef, LakehouseError> {
        let statement = match parsed {
            Parsed::History(name) => return Ok(history::history(&job.door, job.schema.as_deref(), &name).await?.schema),
            Parsed::Plan(statement) => *statement,
        };
        let engine = Arc::clone(self);
        self.on_threads(&job.clone(), async move {
            let mut session = job.session(&engine)?;
            session.lend_objects(&statement).await?;
            Ok(physical(&session, statement, parameters).await?.0.schema())
        })
        .await
    }

    /// Runs `work` on the engine's threads, until the job is cancelled or out of time.
    pub(super) async fn on_threads<T: Send + 'static>(
        &self,
        job: &Job,
        work: impl Future<Output = Result<T, LakehouseError>> + Send + 'static,
    ) -> Result<T, LakehouseError> {
        let (limits, cancel, permits) = (job.limits, job.cancel.clone(), Arc::clone(&self.permits));
        let task = self.handle().spawn(async move {
            bounded(limits, &cancel, async move {
                let _permit = permits.acquire_owned().await.map_err(|_| LakehouseError::Closed)?;
                work.await
            })
            .await
        });
        let guard = AbortOnDrop(task.abort_handle());
        let out = task.await.map_err(|e| joined(&e))?;
        drop(guard);
        out
    }

    async fn stream(
        &self,
        job: &Job,
        prepare: impl Future<Output = Result<(Session, Arc<dyn ExecutionPlan>, BTreeMap<TableRef, i64>), LakehouseError>> + Send + 'static,
    ) -> Result<QueryStream, LakehouseError> {
        let (header_out, header_in) = oneshot::channel();
        let (rows_out, rows_in) = mpsc::channel(BATCHES_AHEAD);
        let (limits, cancel, permits) = (job.limits, job.cancel.clone(), Arc::clone(&self.permits));
        let task = self.handle().spawn(async move {
            let rows = rows_out.clone();
            let work = async move {
                let _permit = permits.acquire_owned().await.map_err(|_| LakehouseError::Closed)?;
                let (session, physical, versions) = prepare.await?;
                let header = Header { schema: physical.schema(), versions };
                if header_out.send(header).is_err() {
                    return Err(LakehouseError::Cancelled);
                }
                pump(&session, physical, limits.rows_max, &rows).await
            };
            if let Err(e) = bounded(limits, &cancel, work).await {
                // The reader may have gone; then nobody needs to know.
                let _ = rows_out.send(Err(e)).await;
            }
        });
        let guard = AbortOnDrop(task.abort_handle());
        let mut rows_in = rows_in;
        let Ok(header) = header_in.await else {
            return Err(match rows_in.recv().await {
                Some(Err(e)) => e,
                _ => LakehouseError::Internal("the statement ended without an answer".to_owned()),
            });
        };
        let batches = stream::unfold((rows_in, guard), |(mut rows, guard)| async move {
            let next: Result<RecordBatch, LakehouseError> = rows.recv().await?;
            Some((next, (rows, guard)))
        })
        .boxed();
        Ok(QueryStream { schema: header.schema, batches, versions: header.versions.into_iter().collect() })
    }
}

/// Sends the batches of a plan until it ends or `rows_max` is passed.
async fn pump(
    session: &Session,
    physical: Arc<dyn ExecutionPlan>,
    rows_max: usize,
    out: &mpsc::Sender<Result<RecordBatch, LakehouseError>>,
) -> Result<(), LakehouseError> {
    let wrap = |e| from_datafusion(e, Some(session));
    let mut batches = execute_stream(physical, session.state.task_ctx()).map_err(wrap)?;
    let mut rows = 0;
    while let Some(batch) = batches.try_next().await.map_err(wrap)? {
        rows += batch.num_rows();
        if rows > rows_max {
            return Err(LakehouseError::Limit(format!(
                "the result has more than {rows_max} rows; add LIMIT, a narrower WHERE, or aggregate"
            )));
        }
        if batch.num_rows() > 0 && out.send(Ok(batch)).await.is_err() {
            return Err(LakehouseError::Cancelled);
        }
    }
    Ok(())
}

/// Stops `work` when its time is over or somebody cancels it.
async fn bounded<T>(
    limits: Limits,
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, LakehouseError>>,
) -> Result<T, LakehouseError> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(LakehouseError::Cancelled),
        out = tokio::time::timeout(limits.timeout, work) => out.unwrap_or_else(|_| {
            Err(LakehouseError::Limit(format!("the statement took longer than {} ms; narrow it in time or space", limits.timeout.as_millis())))
        }),
    }
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn joined(e: &tokio::task::JoinError) -> LakehouseError {
    if e.is_cancelled() { LakehouseError::Cancelled } else { LakehouseError::Internal("a query thread stopped".to_owned()) }
}

/// The rows of a stream that was made at once, for statements that need no plan.
pub(super) fn ready(batch: RecordBatch, versions: Vec<(TableRef, i64)>) -> QueryStream {
    let schema = batch.schema();
    QueryStream { schema, batches: futures::future::ready(Ok(batch)).into_stream().boxed(), versions }
}
