//! Portico as the HTTP surface sees it: twin, lakehouse, ingest and users behind the port `City`.

use super::access;
use crate::{metrics, node::Parts};
use api::{
    access::{Principal, Tenants},
    city::{
        AcceptRequest, Accepted, AuditEvent, ChangeBatch, City, CommandRequest, Commanded, Credentials, ForeignRequest, IngestReceipt,
        IngestRequest, LedgerRow, PastRequest, Protocol, Reject, ReplayRequest, Replayed, Series, SeriesRequest, Session, SqlRequest,
        SqlStream, Status, Suggestions, TableStatus, WaitingRequest,
    },
    error::ApiError,
};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use ingest::{Publisher, TopicFilter, foreign::Foreign, lines::Precision};
use lakehouse::{LakehouseError, Limits, QueryRequest};
use schemas::{Clock, Contracts, Kind, SourceId, TableRef, Tenant};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::sync::broadcast;

const SESSION: Duration = Duration::from_secs(12 * 3_600);

/// The port's implementation.
#[derive(Debug, Clone)]
pub struct Portico(pub Arc<Parts>);

fn failed(error: &LakehouseError) -> ApiError {
    match error {
        LakehouseError::Sql { message, line, column, hint } => {
            let mut out = ApiError::new(Kind::Invalid, message.clone());
            if let (Some(line), Some(column)) = (line, column) {
                out = out.at(u32::try_from(*line).unwrap_or(u32::MAX), u32::try_from(*column).unwrap_or(u32::MAX));
            }
            match hint {
                Some(hint) => out.with_hint(hint.clone()),
                None => out,
            }
        }
        other => ApiError::of(other),
    }
}

fn past_failed(error: &twin::TwinError) -> ApiError {
    ApiError::of(error)
}

impl Portico {
    /// Who sends: the user's own topics and tenant; an admin sends for the city's tenant, or for the one that is named.
    fn publisher(&self, principal: &Principal, named: Option<&Tenant>) -> Result<Publisher, ApiError> {
        let refused = || ApiError::forbidden("you have no tenant to send data for", "ask an admin to give your user one");
        let user = self.0.users.0.named(&principal.name).ok_or_else(refused)?;
        let own = access::publisher(&user);
        let source = SourceId::new(&format!("http/{}", principal.name)).map_err(|e| ApiError::new(Kind::Invalid, e.to_string()))?;
        if let Some(own) = own.filter(|p| !p.publish.is_empty()) {
            return Ok(Publisher { source, ..own });
        }
        let tenant = match (&principal.tenants, named) {
            // The API checked that it is one of the caller's.
            (_, Some(named)) => named.clone(),
            (Tenants::All, None) => self.0.tenant.clone(),
            (Tenants::Some(list), None) => list.first().cloned().ok_or_else(refused)?,
        };
        let everything = TopicFilter::parse(&format!("portico/{tenant}/#")).ok_or_else(refused)?;
        Ok(Publisher { source, tenant, publish: vec![everything], subscribe: Vec::new(), simulated: user.simulated })
    }

    async fn past(&self, request: PastRequest) -> Result<twin::Twin, ApiError> {
        let mut rows = Vec::new();
        for table in &request.tables {
            let batches =
                self.0.lakehouse.latest_as_of(table, request.as_of, request.known_as_on, request.bbox).await.map_err(|e| failed(&e))?;
            rows.extend(batches.into_iter().map(|b| (table.clone(), b)));
        }
        twin::Twin::from_rows(self.0.contracts.clone(), rows).map_err(|e| past_failed(&e))
    }

    async fn run_sql(&self, request: SqlRequest) -> Result<SqlStream, ApiError> {
        let limits = Limits { rows_max: request.rows_max, memory_bytes: self.0.sql_memory_bytes, timeout: request.timeout };
        let query = QueryRequest { limits, ..QueryRequest::new(request.sql, access::reach(&request.principal)) };
        let stream = self.0.lakehouse.query(query).await.map_err(|e| failed(&e))?;
        Ok(SqlStream {
            schema: stream.schema,
            batches: stream.batches.map(|b| b.map_err(|e| failed(&e))).boxed(),
            versions: stream.versions,
        })
    }

    async fn take(&self, request: IngestRequest) -> Result<IngestReceipt, ApiError> {
        let publisher = self.publisher(&request.principal, request.tenant.as_ref())?;
        let receipt = self
            .0
            .ingest
            .accept_http(&Arc::new(publisher), Some(request.product.as_str()), request.content_type, request.body)
            .await
            .map_err(|e| ApiError::of(&e))?;
        Ok(told(receipt))
    }

    async fn take_foreign(&self, request: ForeignRequest) -> Result<IngestReceipt, ApiError> {
        let publisher = self.publisher(&request.principal, None)?;
        let foreign = match request.protocol {
            Protocol::Lines { db, precision } => {
                let wrong = || ApiError::query("precision", "is not a unit of time");
                Foreign::Lines { db, precision: Precision::named(precision).ok_or_else(wrong)? }
            }
            Protocol::PrometheusWrite => Foreign::PrometheusWrite,
            Protocol::OtlpMetrics { json } => Foreign::OtlpMetrics { json },
            Protocol::SensorThings { path } => Foreign::SensorThings { path },
            Protocol::NgsiLd => Foreign::NgsiLd,
            Protocol::Webhook { name } => Foreign::Webhook { name },
        };
        let receipt = self.0.ingest.accept_foreign(&Arc::new(publisher), foreign, request.body).await.map_err(|e| ApiError::of(&e))?;
        Ok(told(receipt))
    }
}

fn told(receipt: ingest::http::Receipt) -> IngestReceipt {
    let reject = |r: ingest::http::LineReject| Reject { line: r.line, reason: r.reason.to_owned(), field: r.field, message: r.message };
    IngestReceipt { counts: receipt.counts, rejects: receipt.rejects.into_iter().map(reject).collect() }
}

impl City for Portico {
    fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    fn contracts(&self) -> &Contracts {
        &self.0.contracts
    }

    fn twin(&self) -> twin::Twin {
        self.0.feed.snapshot()
    }

    fn twin_at(&self, request: PastRequest) -> BoxFuture<'_, Result<twin::Twin, ApiError>> {
        self.past(request).boxed()
    }

    fn series(&self, request: SeriesRequest) -> BoxFuture<'_, Result<Series, ApiError>> {
        async move {
            let SeriesRequest { table, entity, field, keys, from, to, points_max } = request;
            let asked = lakehouse::SeriesRequest { table, entity, field, keys, from, to, points_max };
            let points = self.0.lakehouse.series(asked).await.map_err(|e| failed(&e))?;
            let before: usize = points.schema_ref().metadata().get("points").and_then(|n| n.parse().ok()).unwrap_or(points.num_rows());
            Ok(Series { downsampled: before > points.num_rows(), points })
        }
        .boxed()
    }

    fn query(&self, request: SqlRequest) -> BoxFuture<'_, Result<SqlStream, ApiError>> {
        self.run_sql(request).boxed()
    }

    fn ingest(&self, request: IngestRequest) -> BoxFuture<'_, Result<IngestReceipt, ApiError>> {
        self.take(request).boxed()
    }

    fn suggestions(&self, request: WaitingRequest) -> BoxFuture<'_, Result<Suggestions, ApiError>> {
        self.0.devices.suggestions(request).boxed()
    }

    fn accept(&self, request: AcceptRequest) -> BoxFuture<'_, Result<Accepted, ApiError>> {
        let devices = Arc::clone(&self.0.devices);
        async move {
            let task = tokio::task::spawn_blocking(move || devices.accept(&request));
            task.await.map_err(|e| ApiError::internal(format!("accepting: {e}")))?
        }
        .boxed()
    }

    fn replay(&self, request: ReplayRequest) -> BoxFuture<'_, Result<Replayed, ApiError>> {
        self.0.devices.replay(request).boxed()
    }

    fn command(&self, request: CommandRequest) -> BoxFuture<'_, Result<Commanded, ApiError>> {
        super::signals::command(&self.0, request).boxed()
    }

    fn ingest_foreign(&self, request: ForeignRequest) -> BoxFuture<'_, Result<IngestReceipt, ApiError>> {
        self.take_foreign(request).boxed()
    }

    fn changes(&self) -> broadcast::Receiver<Arc<ChangeBatch>> {
        self.0.feed.subscribe()
    }

    fn authenticate(&self, credentials: Credentials) -> BoxFuture<'_, Option<Principal>> {
        async move {
            let user = match credentials {
                Credentials::Token(secret) | Credentials::Session(secret) => self.0.users.0.by_token(secret.as_bytes()),
                Credentials::Password { user, password } => self.0.users.check(&user, password.as_bytes()).await,
            }?;
            Some(access::principal(&user))
        }
        .boxed()
    }

    fn sign_in(&self, user: &str, password: &str) -> BoxFuture<'_, Result<Option<Session>, ApiError>> {
        let (user, password) = (user.to_owned(), password.to_owned());
        async move {
            let Some(user) = self.0.users.check(&user, password.as_bytes()).await else { return Ok(None) };
            let token = self.0.users.0.open_session(&user);
            Ok(Some(Session { token, lifetime: SESSION, principal: access::principal(&user) }))
        }
        .boxed()
    }

    fn sign_out(&self, token: &str) -> BoxFuture<'_, ()> {
        self.0.users.0.close_session(token);
        async {}.boxed()
    }

    fn ledger(&self, hours: u32) -> BoxFuture<'_, Result<Vec<LedgerRow>, ApiError>> {
        async move { self.0.ledger(hours).await.map_err(|e| failed(&e)) }.boxed()
    }

    fn status(&self) -> BoxFuture<'_, Result<Status, ApiError>> {
        async move {
            let stats = self.0.lakehouse.stats();
            let table = |t: lakehouse::TableStats| TableStatus {
                version: (t.version >= 0).then_some(t.version),
                table: t.table,
                rows: t.rows,
                hot_rows: t.hot_rows,
                files: t.files as u64,
                bytes: t.bytes,
            };
            let twin = self.twin();
            Ok(Status {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                started_at: self.0.started_at,
                simulated: twin.counts(self.0.clock.now()).iter().any(|c| c.simulated),
                position: twin.position(),
                tables: stats.tables.into_iter().map(table).collect(),
            })
        }
        .boxed()
    }

    fn metrics(&self) -> String {
        metrics::text(&self.0)
    }

    fn ready(&self) -> Result<(), String> {
        self.0.ready()
    }

    fn public_products(&self) -> Arc<BTreeSet<TableRef>> {
        Arc::clone(&self.0.public)
    }

    fn audit(&self, event: AuditEvent) {
        self.0.audit.note(&event);
    }
}
