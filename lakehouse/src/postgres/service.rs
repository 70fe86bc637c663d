//! Runs statements of both protocols, simple and extended.

use super::{
    cursors::Command,
    errors::{error, to_postgres},
    prepared::{Parameter, Prepared, parameters},
    reflection, settings,
    startup::Connection,
};
use crate::{
    Lakehouse, LakehouseError, Limits,
    query::{Job, Parsed, parse_statements},
};
use arrow_array::RecordBatch;
use arrow_pg::datatypes::{arrow_schema_to_pg_fields, df, encode_recordbatch};
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::{common::ParamValues, logical_expr::LogicalPlan, sql::sqlparser::ast::Statement};
use futures::{Sink, SinkExt, StreamExt, stream, stream::BoxStream};
use pgwire::{
    api::{
        ClientInfo, ClientPortalStore, DEFAULT_NAME, PgWireConnectionState, Type,
        portal::{Format, Portal, PortalExecutionState},
        query::{ExtendedQueryHandler, SimpleQueryHandler, send_execution_response, send_query_response, send_ready_for_query},
        results::{FieldInfo, QueryResponse, Response, Tag},
        stmt::{QueryParser, StoredStatement},
        store::{Entry, PortalStore},
    },
    error::{PgWireError, PgWireResult},
    messages::{
        PgWireBackendMessage,
        extendedquery::Execute,
        response::{EmptyQueryResponse, TransactionStatus},
        simplequery::Query,
    },
};
use std::{fmt::Debug, sync::Arc};

#[derive(Clone)]
pub(super) struct Service {
    lakehouse: Lakehouse,
    limits: Limits,
}

impl Service {
    pub(super) fn new(lakehouse: Lakehouse, limits: Limits) -> Self {
        Self { lakehouse, limits }
    }

    /// One statement of a simple query.
    async fn simple<C: ClientInfo>(&self, client: &C, job: &Job, one: Parsed, text: &str) -> PgWireResult<Response> {
        let status = client.transaction_status();
        if let Parsed::Plan(statement) = &one
            && settings::is_setting(statement)
        {
            refuse_in_failed(status, statement)?;
            return settings::answer(&*connection(client)?, status, statement);
        }
        if status == TransactionStatus::Error {
            return Err(aborted());
        }
        if let Parsed::Plan(statement) = &one
            && let Some(command) = Command::of(statement)?
        {
            return self.cursor(client, job.clone(), command, None, &Format::UnifiedText, text).await;
        }
        let result = self.lakehouse.engine.start(job.clone(), one).await.map_err(|e| to_postgres(&e, text))?;
        Ok(Response::Query(rows(&result.schema, result.batches, &Format::UnifiedText, text)?))
    }

    /// A statement about cursors, with the values of its parameters.
    async fn cursor<C: ClientInfo>(
        &self,
        client: &C,
        job: Job,
        command: Command,
        values: Option<ParamValues>,
        format: &Format,
        text: &str,
    ) -> PgWireResult<Response> {
        let connection = connection(client)?;
        let cursors = &connection.cursors;
        match command {
            Command::Declare { name, hold, query } => {
                if !hold && client.transaction_status() != TransactionStatus::Transaction {
                    return Err(error(
                        "25P01",
                        "DECLARE CURSOR can only be used in transaction blocks; BEGIN first, or declare it WITH HOLD",
                    ));
                }
                cursors.may_open(&name)?;
                let query = query.as_ref().clone();
                let result = self.lakehouse.engine.start_statement(job, query, values).await.map_err(|e| to_postgres(&e, text))?;
                cursors.open(name, hold, result, text.into());
                Ok(Response::Execution(Tag::new("DECLARE CURSOR")))
            }
            Command::Fetch { name, count } => {
                let fetched = cursors.fetch(&name, count, job.cancel)?;
                let mut response = rows(&fetched.schema, fetched.batches, format, &fetched.text)?;
                response.set_command_tag("FETCH");
                Ok(Response::Query(response))
            }
            Command::Close { name } => {
                cursors.close(name.as_deref())?;
                Ok(Response::Execution(Tag::new(if name.is_some() { "CLOSE CURSOR" } else { "CLOSE CURSOR ALL" })))
            }
        }
    }

    async fn prepare<C: ClientInfo>(&self, client: &C, text: &str) -> PgWireResult<Option<Prepared>> {
        let connection = connection(client)?;
        let mut parsed = parse_statements(text).map_err(|e| to_postgres(&e, text))?;
        if parsed.len() > 1 {
            return Err(error("42601", "cannot insert multiple commands into a prepared statement"));
        }
        Ok(match parsed.pop() {
            None => None,
            Some(Parsed::History(name)) => Some(Prepared::History { name, text: text.into() }),
            Some(Parsed::Plan(statement)) if settings::is_setting(&statement) => Some(Prepared::Setting(Arc::from(statement))),
            Some(Parsed::Plan(_)) if client.transaction_status() == TransactionStatus::Error => return Err(aborted()),
            Some(Parsed::Plan(statement)) => Some(match Command::of(&statement)? {
                None => self.describe(&connection, Arc::from(statement), text).await?,
                Some(Command::Declare { name, hold, query }) => {
                    Prepared::Declare { name, hold, query: Box::new(self.describe(&connection, query, text).await?) }
                }
                Some(Command::Fetch { name, count }) => {
                    let schema = connection.cursors.schema(&name)?;
                    Prepared::Fetch { name, count, schema }
                }
                Some(Command::Close { name }) => Prepared::Close { name },
            }),
        })
    }

    async fn describe(&self, connection: &Connection, statement: Arc<Statement>, text: &str) -> PgWireResult<Prepared> {
        let job = connection.job(self.limits).await;
        let plan = self.lakehouse.engine.describe(job, statement.as_ref().clone()).await.map_err(|e| to_postgres(&e, text))?;
        let parameters = Arc::new(parameters(&plan)?);
        Ok(Prepared::Query { statement, text: text.into(), plan: Arc::new(plan), parameters })
    }

    async fn execute<C: ClientInfo>(&self, client: &C, portal: &Portal<Prepared>) -> PgWireResult<Response> {
        let connection = connection(client)?;
        let status = client.transaction_status();
        let format = &portal.result_column_format;
        match &portal.statement.statement {
            Prepared::Setting(statement) => {
                refuse_in_failed(status, statement)?;
                settings::answer(&connection, status, statement)
            }
            _ if status == TransactionStatus::Error => Err(aborted()),
            Prepared::History { name, text } => {
                let job = connection.job(self.limits).await;
                let result = self.lakehouse.engine.start(job, Parsed::History(name.clone())).await.map_err(|e| to_postgres(&e, text))?;
                Ok(Response::Query(rows(&result.schema, result.batches, format, text)?))
            }
            Prepared::Declare { name, hold, query } => {
                let Prepared::Query { statement, text, parameters, .. } = query.as_ref() else {
                    return Err(error("XX000", "a cursor was declared for something that is no query"));
                };
                let values = values(portal, parameters)?;
                let command = Command::Declare { name: name.clone(), hold: *hold, query: Arc::clone(statement) };
                self.cursor(client, connection.job(self.limits).await, command, values, format, text).await
            }
            Prepared::Fetch { name, count, .. } => {
                let command = Command::Fetch { name: name.clone(), count: *count };
                self.cursor(client, connection.job(self.limits).await, command, None, format, "").await
            }
            Prepared::Close { name } => {
                let command = Command::Close { name: name.clone() };
                self.cursor(client, connection.job(self.limits).await, command, None, format, "").await
            }
            Prepared::Query { statement, text, parameters, .. } => {
                let values = values(portal, parameters)?;
                let job = connection.job(self.limits).await;
                let result = self
                    .lakehouse
                    .engine
                    .start_statement(job, statement.as_ref().clone(), values)
                    .await
                    .map_err(|e| to_postgres(&e, text))?;
                Ok(Response::Query(rows(&result.schema, result.batches, format, text)?))
            }
        }
    }
}

fn connection<C: ClientInfo>(client: &C) -> PgWireResult<Arc<Connection>> {
    client.session_extensions().get::<Connection>().ok_or_else(|| error("28000", "not signed in"))
}

fn aborted() -> PgWireError {
    error("25P02", "current transaction is aborted, commands ignored until end of transaction block")
}

fn refuse_in_failed(status: TransactionStatus, statement: &Statement) -> PgWireResult<()> {
    let ends = matches!(statement, Statement::Commit { .. } | Statement::Rollback { .. });
    if status == TransactionStatus::Error && !ends { Err(aborted()) } else { Ok(()) }
}

fn values(portal: &Portal<Prepared>, parameters: &[Parameter]) -> PgWireResult<Option<ParamValues>> {
    if parameters.is_empty() {
        return Ok(None);
    }
    let wire = parameters.iter().map(Parameter::advertised).collect::<PgWireResult<Vec<_>>>()?;
    let wire: Vec<_> = wire.iter().map(Some).collect();
    let arrow: Vec<_> = parameters.iter().map(|p| p.arrow.as_ref()).collect();
    df::deserialize_parameters_with_server_types(portal, &arrow, &wire).map(Some)
}

/// Rows in the wire's form, made as the client takes them.
fn rows(
    schema: &SchemaRef,
    batches: BoxStream<'static, Result<RecordBatch, LakehouseError>>,
    format: &Format,
    text: &str,
) -> PgWireResult<QueryResponse> {
    let fields = Arc::new(arrow_schema_to_pg_fields(schema, format, None)?);
    let (own, text) = (Arc::clone(&fields), Arc::<str>::from(text));
    let rows = batches.flat_map(move |batch: Result<_, LakehouseError>| match batch {
        Ok(batch) => stream::iter(encode_recordbatch(Arc::clone(&own), batch)).left_stream(),
        Err(e) => stream::iter([Err(to_postgres(&e, &text))]).right_stream(),
    });
    Ok(QueryResponse::new(fields, rows))
}

/// Sends a response as its rows are made, and keeps the state of the transaction.
async fn deliver<C>(client: &mut C, response: Response, describe: bool) -> PgWireResult<()>
where
    C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
    C::Error: Debug,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    match response {
        Response::Query(rows) => send_query_response(client, rows, describe).await,
        Response::Execution(tag) => send_execution_response(client, tag).await,
        Response::TransactionStart(tag) => {
            send_execution_response(client, tag).await?;
            client.set_transaction_status(client.transaction_status().to_in_transaction_state());
            Ok(())
        }
        Response::TransactionEnd(tag) => {
            connection(client)?.cursors.end_transaction();
            send_execution_response(client, tag).await?;
            client.set_transaction_status(client.transaction_status().to_idle_state());
            Ok(())
        }
        _ => Err(error("XX000", "a statement gave an answer that nothing sends")),
    }
}

#[async_trait]
impl SimpleQueryHandler for Service {
    /// Each statement begins when the rows of the one before are sent: a text of many never runs them side by side.
    async fn on_query<C>(&self, client: &mut C, query: Query) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
            return Err(PgWireError::NotReadyForQuery);
        }
        client.set_state(PgWireConnectionState::QueryInProgress);
        let text = query.query;
        let parsed = parse_statements(&text).map_err(|e| to_postgres(&e, &text))?;
        if parsed.is_empty() {
            client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
        } else {
            let job = connection(client)?.job(self.limits).await;
            for one in parsed {
                let response = self.simple(client, &job, one, &text).await?;
                deliver(client, response, true).await?;
            }
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        let status = client.transaction_status();
        send_ready_for_query(client, status).await
    }

    async fn do_query<C>(&self, _client: &mut C, _query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        Err(error("XX000", "on_query runs simple queries"))
    }
}

#[async_trait]
impl QueryParser for Service {
    type Statement = Prepared;

    async fn parse_sql<C>(&self, client: &C, sql: &str, _types: &[Option<Type>]) -> PgWireResult<Option<Prepared>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        self.prepare(client, &reflection::simplified(sql)).await
    }

    fn get_parameter_types(&self, statement: &Prepared) -> PgWireResult<Vec<Type>> {
        match statement {
            Prepared::Query { parameters, .. } => parameters.iter().map(Parameter::advertised).collect(),
            Prepared::Declare { query, .. } => self.get_parameter_types(query),
            Prepared::Setting(_) | Prepared::History { .. } | Prepared::Fetch { .. } | Prepared::Close { .. } => Ok(Vec::new()),
        }
    }

    fn get_result_schema(&self, statement: &Prepared, format: Option<&Format>) -> PgWireResult<Vec<FieldInfo>> {
        let format = format.unwrap_or(&Format::UnifiedText);
        match statement {
            Prepared::Setting(statement) => Ok(settings::columns(statement)),
            Prepared::History { .. } => arrow_schema_to_pg_fields(&crate::query::history_schema(), format, None),
            Prepared::Declare { .. } | Prepared::Close { .. } => Ok(Vec::new()),
            Prepared::Fetch { schema, .. } => arrow_schema_to_pg_fields(schema, format, None),
            Prepared::Query { plan, .. } => arrow_schema_to_pg_fields(LogicalPlan::schema(plan).as_arrow(), format, None),
        }
    }
}

#[async_trait]
impl ExtendedQueryHandler for Service {
    type Statement = Prepared;
    type QueryParser = Self;

    fn query_parser(&self) -> Arc<Self> {
        Arc::new(self.clone())
    }

    /// pgwire gathers all rows of a portal in memory unless the client asked for them in pieces; here they stream.
    async fn on_execute<C>(&self, client: &mut C, message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let portal = match client.portal_store().get_portal(name) {
            Some(Entry::Value(portal)) if message.max_rows == 0 => portal,
            _ => return self._on_execute(client, message).await,
        };
        let new = matches!(*portal.state().lock().await, PortalExecutionState::Initial);
        if !new {
            return self._on_execute(client, message).await;
        }
        if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
            return Err(PgWireError::NotReadyForQuery);
        }
        client.set_state(PgWireConnectionState::QueryInProgress);
        let response = self.execute(client, &portal).await?;
        // Drivers ask what a cursor looks like by describing the portal of its name.
        match &portal.statement.statement {
            Prepared::Declare { name, query, .. } => {
                let stored = StoredStatement::new(name.clone(), query.as_ref().clone(), Vec::new());
                client.portal_store().put_portal(Arc::new(Portal::new_cursor(name.clone(), Arc::new(stored))));
            }
            Prepared::Close { name: Some(name) } => client.portal_store().rm_portal(name),
            _ => {}
        }
        // Whoever executes it again finds it at its end.
        portal.start(QueryResponse::new(Arc::new(Vec::new()), stream::empty())).await;
        deliver(client, response, false).await?;
        client.set_state(PgWireConnectionState::ReadyForQuery);
        Ok(())
    }

    async fn do_query<C>(&self, client: &mut C, portal: &Portal<Prepared>, _max_rows: usize) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.execute(client, portal).await
    }
}
