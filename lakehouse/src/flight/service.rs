//! The calls of Arrow Flight, with the commands of Flight SQL in them.

use super::{
    catalogue,
    credentials::{Credentials, missing},
    errors::{invalid, to_status},
    info::Infos,
    prepared::Carried,
};
use crate::{
    Lakehouse, LakehouseError, Limits, SqlAuth,
    query::{Job, Parsed, history_schema, parse_numbered},
};
use arrow_array::RecordBatch;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse,
    IpcMessage, PollInfo, PutResult, SchemaAsIpc, SchemaResult, Ticket,
    decode::FlightRecordBatchStream,
    encode::FlightDataEncoderBuilder,
    error::FlightError,
    flight_service_server::FlightService,
    sql::{
        ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, Command,
        DoPutPreparedStatementResult, ProstMessageExt, TicketStatementQuery,
    },
};
use arrow_ipc::writer::IpcWriteOptions;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use prost::Message;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

/// How long a client may take to say its name and password once it has begun.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Messages that one row of parameters may come in.
const PARAMETER_MESSAGES_MAX: usize = 16;

const CREATE_PREPARED_STATEMENT: &str = "CreatePreparedStatement";
const CLOSE_PREPARED_STATEMENT: &str = "ClosePreparedStatement";

/// The actions that are answered, and what they are.
const ACTIONS: [(&str, &str); 2] = [
    (CREATE_PREPARED_STATEMENT, "Checks a statement and returns a handle that carries it"),
    (CLOSE_PREPARED_STATEMENT, "Nothing: the server keeps nothing of a prepared statement"),
];

#[derive(Clone)]
pub(super) struct Service {
    lakehouse: Lakehouse,
    auth: Arc<dyn SqlAuth>,
    limits: Limits,
    infos: Arc<Infos>,
}

type Answer<T> = Result<Response<BoxStream<'static, Result<T, Status>>>, Status>;

fn one<T: Send + 'static>(item: T) -> BoxStream<'static, Result<T, Status>> {
    stream::iter([Ok(item)]).boxed()
}

fn command(bytes: &Bytes) -> Result<Command, Status> {
    let wrong = |e: &dyn std::fmt::Display| invalid(format!("this is no command of Flight SQL: {e}"));
    let any = Any::decode(bytes.clone()).map_err(|e| wrong(&e))?;
    Command::try_from(any).map_err(|e| wrong(&e))
}

fn ipc(schema: &Schema) -> Result<Bytes, Status> {
    let IpcMessage(bytes) =
        SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into().map_err(|e| to_status(&LakehouseError::from(e)))?;
    Ok(bytes)
}

fn parsed(sql: &str) -> Result<Parsed, Status> {
    parse_numbered(sql).map_err(|e| to_status(&e))
}

/// The statement of a command that is one.
fn statement(command: &Command) -> Option<Result<Carried, Status>> {
    match command {
        Command::CommandStatementQuery(asked) if asked.transaction_id.is_some() => Some(Err(no_transactions())),
        Command::CommandStatementQuery(asked) => Some(Ok(Carried::new(asked.query.clone()))),
        Command::CommandPreparedStatementQuery(asked) => Some(Carried::decode(&asked.prepared_statement_handle)),
        Command::TicketStatementQuery(asked) => Some(Carried::decode(&asked.statement_handle)),
        _ => None,
    }
}

fn no_transactions() -> Status {
    Status::unimplemented("there are no transactions here: everything is read only, and each statement sees one state of all tables")
}

fn read_only() -> Status {
    Status::permission_denied("SQL here is read only: use SELECT, EXPLAIN, DESCRIBE or SHOW, and send rows over MQTT or HTTP")
}

impl Service {
    pub(super) fn new(lakehouse: Lakehouse, auth: Arc<dyn SqlAuth>, limits: Limits) -> Result<Self, LakehouseError> {
        Ok(Self { lakehouse, auth, limits, infos: Arc::new(Infos::new()?) })
    }

    /// A job for whoever calls; nothing is answered before this.
    async fn job(&self, headers: &MetadataMap) -> Result<Job, Status> {
        let access = Credentials::of(headers).ok_or_else(missing)?.access(&*self.auth).await?;
        let door = self.lakehouse.door(access);
        Ok(Job { door, limits: self.limits, cancel: CancellationToken::new(), schema: None, pg_catalog: None })
    }

    /// The columns that a command will answer with.
    async fn schema(&self, job: Job, command: Command) -> Result<SchemaRef, Status> {
        let Some(carried) = statement(&command).transpose()? else {
            return catalogue::answer(&job.door, &self.infos, command).map(|b| b.schema());
        };
        let values = carried.parameters()?;
        self.lakehouse.engine.columns(job, parsed(&carried.sql)?, values).await.map_err(|e| to_status(&e))
    }

    async fn info(&self, job: Job, descriptor: FlightDescriptor) -> Result<FlightInfo, Status> {
        let command = command(&descriptor.cmd)?;
        let ticket = match statement(&command).transpose()? {
            Some(carried) => TicketStatementQuery { statement_handle: carried.encode() }.as_any(),
            None => command.clone().into_any(),
        };
        let schema = self.schema(job, command).await?;
        // Without a location: the rows are where the question was asked.
        let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket.encode_to_vec()));
        let mut info = FlightInfo::new().with_endpoint(endpoint).with_descriptor(descriptor).with_ordered(true);
        info.schema = ipc(&schema)?;
        Ok(info)
    }

    /// The rows, made as the client takes them: HTTP/2 stops asking when its window is full, and then so does this.
    async fn rows(&self, job: Job, command: Command) -> Result<BoxStream<'static, Result<FlightData, Status>>, Status> {
        let (schema, batches) = match statement(&command).transpose()? {
            Some(carried) => {
                let values = carried.parameters()?;
                let started = match parsed(&carried.sql)? {
                    Parsed::Plan(statement) => self.lakehouse.engine.start_statement(job, *statement, values).await,
                    history => self.lakehouse.engine.start(job, history).await,
                };
                let answer = started.map_err(|e| to_status(&e))?;
                (answer.schema, answer.batches.map_err(|e| FlightError::from(to_status(&e))).boxed())
            }
            None => {
                let batch = catalogue::answer(&job.door, &self.infos, command)?;
                (batch.schema(), stream::iter([Ok(batch)]).boxed())
            }
        };
        Ok(FlightDataEncoderBuilder::new().with_schema(schema).build(batches).map_err(Status::from).boxed())
    }

    async fn prepare(&self, job: Job, asked: ActionCreatePreparedStatementRequest) -> Result<ActionCreatePreparedStatementResult, Status> {
        if asked.transaction_id.is_some() {
            return Err(no_transactions());
        }
        let (columns, parameters) = match parsed(&asked.query)? {
            Parsed::History(_) => (history_schema(), Schema::empty()),
            Parsed::Plan(statement) => {
                let described = self.lakehouse.engine.describe(job, *statement).await.map_err(|e| to_status(&e))?;
                let types = described.get_parameter_types().map_err(|e| invalid(e.message().into_owned()))?;
                (Arc::clone(described.schema().inner()), parameter_schema(&types))
            }
        };
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: Carried::new(asked.query).encode(),
            dataset_schema: ipc(&columns)?,
            parameter_schema: ipc(&parameters)?,
        })
    }

    async fn put(&self, mut messages: Streaming<FlightData>) -> Result<PutResult, Status> {
        let first = messages.message().await?.ok_or_else(|| invalid("the stream holds no command"))?;
        let asked = first.flight_descriptor.clone().ok_or_else(|| invalid("the first message holds no command"))?;
        let Command::CommandPreparedStatementQuery(asked) = command(&asked.cmd)? else { return Err(read_only()) };
        let carried = Carried::decode(&asked.prepared_statement_handle)?;
        let all = stream::iter([Ok(first)]).chain(messages).take(PARAMETER_MESSAGES_MAX).map_err(FlightError::from);
        let mut batches = FlightRecordBatchStream::new_from_flight_data(all);
        let mut row: Option<RecordBatch> = None;
        while let Some(batch) = batches.try_next().await.map_err(|e| invalid(format!("the values of the parameters: {e}")))? {
            match (&row, batch.num_rows()) {
                (_, 0) => {}
                (None, 1) => row = Some(batch),
                _ => return Err(invalid("a statement takes one row of parameters at a time; send it once for each row")),
            }
        }
        let bound = carried.bind(row.as_ref())?;
        let result = DoPutPreparedStatementResult { prepared_statement_handle: Some(bound.encode()) };
        Ok(PutResult { app_metadata: result.encode_to_vec().into() })
    }
}

/// One field for each `$n`. Where nothing says what it is, a text: it becomes what it is compared with.
fn parameter_schema(types: &std::collections::HashMap<String, Option<DataType>>) -> Schema {
    let number = |id: &str| id.strip_prefix('$').and_then(|n| n.parse::<u16>().ok());
    let count = types.keys().filter_map(|id| number(id)).max().unwrap_or(0);
    let field = |n: u16| {
        let id = format!("${n}");
        let kind = types.get(&id).cloned().flatten().unwrap_or(DataType::Utf8);
        Field::new(id, kind, true)
    };
    Schema::new((1..=count).map(field).collect::<Vec<_>>())
}

#[tonic::async_trait]
impl FlightService for Service {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoActionStream = BoxStream<'static, Result<arrow_flight::Result, Status>>;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;
    type DoExchangeStream = BoxStream<'static, Result<FlightData, Status>>;

    async fn handshake(&self, request: Request<Streaming<HandshakeRequest>>) -> Answer<HandshakeResponse> {
        let credentials = match Credentials::of(request.metadata()) {
            Some(found) => found,
            None => {
                let mut messages = request.into_inner();
                let first = tokio::time::timeout(HANDSHAKE_MAX, messages.message()).await.map_err(|_| missing())??;
                first.and_then(|m| Credentials::of_payload(&m.payload)).ok_or_else(missing)?
            }
        };
        let token = credentials.sign_in(&*self.auth).await?;
        let header = format!("Bearer {token}").parse().map_err(|_| to_status(&LakehouseError::Internal("a token is no header".into())))?;
        let mut response = Response::new(one(HandshakeResponse { protocol_version: 0, payload: token.into() }));
        response.metadata_mut().insert("authorization", header);
        Ok(response)
    }

    async fn list_flights(&self, request: Request<Criteria>) -> Answer<FlightInfo> {
        self.job(request.metadata()).await?;
        Err(Status::unimplemented("tables are listed by CommandGetTables, or SELECT * FROM information_schema.tables"))
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        let job = self.job(request.metadata()).await?;
        self.info(job, request.into_inner()).await.map(Response::new)
    }

    /// A statement begins when its rows are taken, so that there is nothing to wait for.
    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        let job = self.job(request.metadata()).await?;
        let info = self.info(job, request.into_inner()).await?;
        Ok(Response::new(PollInfo { info: Some(info), flight_descriptor: None, progress: Some(1.0), expiration_time: None }))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let job = self.job(request.metadata()).await?;
        let schema = self.schema(job, command(&request.get_ref().cmd)?).await?;
        Ok(Response::new(SchemaResult { schema: ipc(&schema)? }))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Answer<FlightData> {
        let job = self.job(request.metadata()).await?;
        self.rows(job, command(&request.get_ref().ticket)?).await.map(Response::new)
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Answer<PutResult> {
        self.job(request.metadata()).await?;
        self.put(request.into_inner()).await.map(|r| Response::new(one(r)))
    }

    async fn do_exchange(&self, request: Request<Streaming<FlightData>>) -> Answer<FlightData> {
        self.job(request.metadata()).await?;
        Err(Status::unimplemented("nothing is exchanged here; rows are sent over MQTT or HTTP and read by statements"))
    }

    async fn do_action(&self, request: Request<Action>) -> Answer<arrow_flight::Result> {
        let job = self.job(request.metadata()).await?;
        let Action { r#type, body } = request.into_inner();
        let body = || Any::decode(body.clone()).map_err(|e| invalid(format!("the body of {type}: {e}", type = r#type)));
        match r#type.as_str() {
            CREATE_PREPARED_STATEMENT => {
                let asked: ActionCreatePreparedStatementRequest = unpack(&body()?)?;
                let result = self.prepare(job, asked).await?;
                Ok(Response::new(one(arrow_flight::Result { body: result.as_any().encode_to_vec().into() })))
            }
            CLOSE_PREPARED_STATEMENT => {
                unpack::<ActionClosePreparedStatementRequest>(&body()?)?;
                Ok(Response::new(stream::empty().boxed()))
            }
            "BeginTransaction" | "EndTransaction" | "BeginSavepoint" | "EndSavepoint" => Err(no_transactions()),
            "CancelQuery" | "CancelFlightInfo" => {
                Err(Status::unimplemented("a statement stops when the stream of its rows is cancelled or closed"))
            }
            other => Err(Status::unimplemented(format!("'{other}' is no action of this server"))),
        }
    }

    async fn list_actions(&self, request: Request<Empty>) -> Answer<ActionType> {
        self.job(request.metadata()).await?;
        let all = ACTIONS.map(|(name, says)| Ok(ActionType { r#type: name.to_owned(), description: says.to_owned() }));
        Ok(Response::new(stream::iter(all).boxed()))
    }
}

fn unpack<T: ProstMessageExt>(any: &Any) -> Result<T, Status> {
    any.unpack().ok().flatten().ok_or_else(|| invalid(format!("the body must be a {}", T::type_url())))
}
