//! The port: what the HTTP surface needs from the city behind it. `server` implements it over lakehouse, twin and ingest.

use crate::{
    access::{Principal, Tenants},
    error::ApiError,
};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use futures::{future::BoxFuture, stream::BoxStream};
use schemas::{Clock, Contracts, Counts, EntityId, LogPosition, ProductId, SourceId, TableRef, Tenant, Timestamp};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::sync::broadcast;

/// The running city as the API sees it. Every method may be called from many requests at once.
///
/// The API decides who may call what ([`crate::access`]); an implementation decides only what the call's arguments say,
/// and restricts SQL to the tenants of the principal.
pub trait City: Send + Sync + 'static {
    fn clock(&self) -> &dyn Clock;

    fn contracts(&self) -> &Contracts;

    /// The twin now: cheap, immutable.
    fn twin(&self) -> twin::Twin;

    /// The twin of the past. Errors: `Limit` when it would be too large.
    fn twin_at(&self, request: PastRequest) -> BoxFuture<'_, Result<twin::Twin, ApiError>>;

    /// One attribute of one entity over time.
    fn series(&self, request: SeriesRequest) -> BoxFuture<'_, Result<Series, ApiError>>;

    /// Plans and starts a query. Dropping the stream cancels it.
    fn query(&self, request: SqlRequest) -> BoxFuture<'_, Result<SqlStream, ApiError>>;

    /// Takes messages over HTTP and resolves when they are durable. `body` is already decompressed.
    fn ingest(&self, request: IngestRequest) -> BoxFuture<'_, Result<IngestReceipt, ApiError>>;

    /// Messages that wait in quarantine, grouped by kind of device, each with what would read them.
    fn suggestions(&self, request: WaitingRequest) -> BoxFuture<'_, Result<Suggestions, ApiError>>;

    /// Writes a mapping (and a contract) of a tenant into the configured directories and puts it in force. Errors: `Invalid` when the
    /// text does not fit, or speaks of another tenant; then nothing changes.
    fn accept(&self, request: AcceptRequest) -> BoxFuture<'_, Result<Accepted, ApiError>>;

    /// Puts waiting messages through the pipeline again and resolves when they are durable. Harmless when repeated.
    fn replay(&self, request: ReplayRequest) -> BoxFuture<'_, Result<Replayed, ApiError>>;

    /// Asks the controller of a signal for something, once that is noted durably. Errors: `NotFound` when nobody controls signals here.
    fn command(&self, request: CommandRequest) -> BoxFuture<'_, Result<Commanded, ApiError>> {
        let error = ApiError::not_found(format!("nobody controls '{}' here", request.signal));
        Box::pin(std::future::ready(Err(error)))
    }

    /// Takes a body of another system's protocol, and resolves when what it holds is durable. `body` is already decompressed, except
    /// where the protocol itself compresses (Prometheus).
    fn ingest_foreign(&self, request: ForeignRequest) -> BoxFuture<'_, Result<IngestReceipt, ApiError>>;

    /// Changes of the twin from now on. A reader that is too slow is told so by the channel.
    fn changes(&self) -> broadcast::Receiver<Arc<ChangeBatch>>;

    /// Who holds these credentials; `None` when they are wrong, expired or revoked.
    fn authenticate(&self, credentials: Credentials) -> BoxFuture<'_, Option<Principal>>;

    /// A new session token, or `None` when user or password is wrong.
    fn sign_in(&self, user: &str, password: &str) -> BoxFuture<'_, Result<Option<Session>, ApiError>>;

    /// Revokes a session token; unknown ones are ignored.
    fn sign_out(&self, token: &str) -> BoxFuture<'_, ()>;

    /// Ledger lines of the last `hours` hours, all tenants, newest first.
    fn ledger(&self, hours: u32) -> BoxFuture<'_, Result<Vec<LedgerRow>, ApiError>>;

    fn status(&self) -> BoxFuture<'_, Result<Status, ApiError>>;

    /// Prometheus text exposition format 0.0.4.
    fn metrics(&self) -> String;

    /// `Err` says in one sentence what is not ready.
    fn ready(&self) -> Result<(), String>;

    /// The tables that anybody may read, fields of class `open` only.
    fn public_products(&self) -> Arc<BTreeSet<TableRef>>;

    /// Notes who did what; must not block.
    fn audit(&self, event: AuditEvent);
}

/// A twin of the past: for each entity and attribute of `tables` the newest row with `observed_at <= as_of`
/// among those received up to `known_as_on`.
#[derive(Debug, Clone, PartialEq)]
pub struct PastRequest {
    pub tables: Vec<TableRef>,
    pub as_of: Timestamp,
    pub known_as_on: Option<Timestamp>,
    /// West, south, east, north in degrees; `None` for everywhere.
    pub bbox: Option<[f64; 4]>,
}

/// Points of one attribute in `[from, to]`.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesRequest {
    pub table: TableRef,
    pub entity: EntityId,
    /// A field of the table's contract, checked.
    pub field: String,
    /// Key fields of the contract (checked) and the values that rows must have, for example `direction` = `north`.
    /// Where a key field is not named, rows of one instant are combined as the twin does (`twin::EntityView::values`).
    pub keys: Vec<(String, String)>,
    pub from: Timestamp,
    pub to: Timestamp,
    pub points_max: usize,
}

/// At most `points_max` rows of two columns: `time` (UTC microseconds, ascending, not null) and `value` (a number).
#[derive(Debug, Clone)]
pub struct Series {
    pub points: RecordBatch,
    /// True when rows were merged or left out to stay within `points_max`.
    pub downsampled: bool,
}

/// A query and what it may cost.
#[derive(Debug, Clone)]
pub struct SqlRequest {
    pub sql: String,
    pub principal: Principal,
    /// The stream may end (without an error) after this many rows.
    pub rows_max: usize,
    pub timeout: Duration,
}

/// The answer to a query, as it is made.
pub struct SqlStream {
    pub schema: SchemaRef,
    pub batches: BoxStream<'static, Result<RecordBatch, ApiError>>,
    /// The Delta version of each table that the query saw, hot rows on top.
    pub versions: Vec<(TableRef, i64)>,
}

impl std::fmt::Debug for SqlStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlStream").field("schema", &self.schema).field("versions", &self.versions).finish_non_exhaustive()
    }
}

/// Messages of one HTTP request.
#[derive(Debug, Clone)]
pub struct IngestRequest {
    pub principal: Principal,
    /// Whose table it is, when the caller may write for several; `None`: the caller's own.
    pub tenant: Option<Tenant>,
    pub product: ProductId,
    /// `application/x-ndjson` or `application/json`.
    pub content_type: &'static str,
    pub body: Bytes,
}

/// A body in the protocol of another system.
#[derive(Debug, Clone)]
pub struct ForeignRequest {
    pub principal: Principal,
    pub protocol: Protocol,
    pub body: Bytes,
}

/// What a foreign body is written in, with what its address says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// InfluxDB line protocol for a database or bucket; `precision` is one of `ns`, `us`, `ms`, `s`, `m`, `h`.
    Lines { db: String, precision: &'static str },
    /// Prometheus remote write 1.0: snappy over protobuf.
    PrometheusWrite,
    /// Metrics of OpenTelemetry over HTTP, in protobuf or in its JSON.
    OtlpMetrics { json: bool },
    /// Observations of SensorThings; `path` is what follows the root of the service, for example `Datastreams(1)/Observations`.
    SensorThings { path: String },
    /// NGSI-LD entities, normalized or concise: one or a list.
    NgsiLd,
    /// JSON that another system sends when something happens, signed with the secret of `name` (checked by the caller).
    Webhook { name: String },
}

/// What became of the messages of one request.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct IngestReceipt {
    #[serde(flatten)]
    pub counts: Counts,
    /// The first refused messages, with the reason.
    pub rejects: Vec<Reject>,
}

/// One refused message. `line` is 1-based: the line of NDJSON, the element of an array.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Reject {
    pub line: usize,
    pub reason: String,
    pub field: Option<String>,
    pub message: String,
}

/// Which waiting messages are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingRequest {
    pub hours: u32,
    pub tenant: Option<Tenant>,
    /// Those of the caller.
    pub tenants: Tenants,
}

/// Suggestions for what waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestions {
    /// Messages that wait.
    pub waiting: usize,
    /// Whether there are more than were looked at.
    pub truncated: bool,
    pub list: Vec<Suggested>,
}

/// One suggestion, in the form that `ingest::suggest` documents.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggested {
    pub tenant: Tenant,
    pub body: serde_json::Value,
}

/// A suggestion as an operator accepts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptRequest {
    /// Who accepts, for the head of the file.
    pub actor: String,
    /// The mapping may read messages of this tenant only.
    pub tenant: Tenant,
    /// Of the suggestion, hexadecimal; names the file.
    pub id: String,
    /// TOML of a mapping file.
    pub mapping: String,
    pub contract: Option<NewContract>,
}

/// A contract that comes with a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewContract {
    pub product: ProductId,
    /// ODCS YAML.
    pub text: String,
}

/// What accepting did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Accepted {
    /// Names of the files written, without their directory.
    pub files: Vec<String>,
    /// False when a new contract has to be loaded first, which a restart does.
    pub in_force: bool,
}

/// What is wanted of a traffic signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    Phase(u8),
    Program(String),
}

/// A command to a signal, authorised.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandRequest {
    pub actor: String,
    pub tenant: Tenant,
    pub signal: EntityId,
    pub wanted: Wanted,
    pub hold_secs: f64,
    /// Void after so many seconds unless it was applied.
    pub expires_secs: u64,
    pub reason: String,
}

/// A command that was asked for; what becomes of it are rows of `signal_command`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Commanded {
    pub command: String,
    /// RFC 3339.
    pub expires_at: String,
}

/// Which messages go through the pipeline again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayRequest {
    pub tenant: Tenant,
    /// Template of topics; `None` for all.
    pub topic: Option<String>,
    pub messages_max: usize,
    pub hours: u32,
}

/// What became of them.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Replayed {
    pub replayed: usize,
    /// Left out, by reason.
    pub skipped: std::collections::BTreeMap<String, usize>,
    /// Waiting messages of the request that this call did not reach.
    pub left: usize,
    #[serde(flatten)]
    pub counts: Counts,
    /// The first that were refused again; `line` counts within the call.
    pub rejects: Vec<Reject>,
}

/// Changes that one frame of the log caused.
#[derive(Debug, Clone)]
pub struct ChangeBatch {
    pub position: LogPosition,
    pub changes: Vec<twin::Change>,
}

/// What a caller offers as proof of who it is.
#[derive(Clone)]
pub enum Credentials {
    /// `Authorization: Bearer`, a revocable token.
    Token(String),
    /// `Authorization: Basic`.
    Password { user: String, password: String },
    /// The cookie of a browser's session.
    Session(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Secrets stay out of logs.
        match self {
            Self::Token(_) => f.write_str("Token"),
            Self::Password { user, .. } => write!(f, "Password({user})"),
            Self::Session(_) => f.write_str("Session"),
        }
    }
}

/// A session just opened.
#[derive(Clone)]
pub struct Session {
    /// Visible ASCII without `;`, `,` or quotes.
    pub token: String,
    pub lifetime: Duration,
    pub principal: Principal,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("principal", &self.principal).field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// One line of the ledger (ING-2).
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerRow {
    pub hour: Timestamp,
    pub tenant: Tenant,
    pub source: SourceId,
    pub product: Option<ProductId>,
    pub counts: Counts,
}

/// The state of the running binary.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    pub version: String,
    pub started_at: Timestamp,
    /// True when any part of what is shown was made up by the simulator.
    pub simulated: bool,
    pub position: LogPosition,
    pub tables: Vec<TableStatus>,
}

/// One table of the lakehouse.
#[derive(Debug, Clone, PartialEq)]
pub struct TableStatus {
    pub table: TableRef,
    pub version: Option<i64>,
    pub rows: u64,
    pub hot_rows: u64,
    pub files: u64,
    pub bytes: u64,
}

/// Who did what, for `ops.audit`.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEvent {
    pub actor: String,
    /// `sign_in`, `sign_out`, `sql`, `ingest`, `accept_mapping`, `replay`, `register`, `signal_command`.
    pub action: &'static str,
    /// What it was done to: a user, a query (first 2,000 characters), a product.
    pub object: String,
    /// `ok` or the name of an error kind.
    pub outcome: &'static str,
}
