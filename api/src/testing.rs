//! A small city for the tests of this crate: one host with a few entities, four users, answers that say what was asked.

use crate::{
    access::{Principal, Role, Tenants},
    city::*,
    config::ApiConfig,
    error::ApiError,
};
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array};
use arrow_schema::{DataType, Field, Schema};
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use parking_lot::Mutex;
use schemas::{Clock, Contracts, Counts, Frame, Kind, ManualClock, Part, ProductId, SourceId, TableRef, Tenant, Timestamp, row};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::broadcast;
use tower::ServiceExt as _;

/// 2024-03-03T08:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp(1_709_452_800_000_000);

/// A product with a field of each class.
const BINS: &str = r#"
apiVersion: v3.1.0
kind: DataContract
id: urn:portico:contract:bins
name: Bins
version: 1.0.0
status: active
schema:
  - name: bins
    properties:
      - {name: side, logicalType: string, primaryKey: true, classification: open}
      - {name: fill, logicalType: number, classification: open, customProperties: [{property: unit, value: "%"}]}
      - {name: street, logicalType: string, classification: internal}
      - {name: weight, logicalType: number, classification: internal}
      - {name: citizen, logicalType: string, classification: personal}
slaProperties: [{property: frequency, value: 300, unit: s}]
customProperties:
  - {property: label_it, value: Cassonetti}
  - {property: label_en, value: Bins}
  - {property: entityType, value: Bin}
  - {property: headline, value: fill}
  - {property: owner, value: Office}
  - {property: licence, value: CC-BY-4.0}
"#;

pub(crate) struct FakeCity {
    clock: ManualClock,
    contracts: Contracts,
    host: Mutex<twin::TwinHost>,
    changes: broadcast::Sender<Arc<ChangeBatch>>,
    public: Mutex<Arc<BTreeSet<TableRef>>>,
    pub(crate) audited: Mutex<Vec<AuditEvent>>,
    pub(crate) ingested: Mutex<Vec<IngestRequest>>,
    pub(crate) foreign: Mutex<Vec<ForeignRequest>>,
    pub(crate) past: Mutex<Vec<PastRequest>>,
    pub(crate) series: Mutex<Vec<SeriesRequest>>,
    pub(crate) sql: Mutex<Vec<SqlRequest>>,
    /// Set when the stream of a query `endless` is dropped.
    pub(crate) dropped: Arc<AtomicBool>,
    pub(crate) signed_out: AtomicUsize,
    pub(crate) accepted: Mutex<Vec<AcceptRequest>>,
    pub(crate) replayed: Mutex<Vec<ReplayRequest>>,
    pub(crate) waiting: Mutex<Vec<WaitingRequest>>,
}

/// One row: entity, place, fields.
pub(crate) type Row<'a> = (&'a str, f64, f64, &'a [(&'a str, schemas::Value)]);

pub(crate) fn table(text: &str) -> TableRef {
    TableRef::parse(text).unwrap()
}

impl FakeCity {
    /// `bologna.parking` (public, 3 entities), `bologna.bins` (1), `modena.bins` (public, 1), `modena.noise` (1).
    pub(crate) fn new() -> Arc<Self> {
        let files = schemas::catalog::BUILTIN.iter().copied().chain([("bins.yaml", BINS)]);
        let contracts = Contracts::parse(files).unwrap();
        let public = [table("bologna.parking"), table("modena.bins")].into();
        let city = Arc::new(Self {
            clock: ManualClock::at(NOW),
            host: Mutex::new(twin::TwinHost::new(contracts.clone(), twin::Limits::default())),
            contracts,
            changes: broadcast::channel(4).0,
            public: Mutex::new(Arc::new(public)),
            audited: Mutex::default(),
            ingested: Mutex::default(),
            foreign: Mutex::default(),
            past: Mutex::default(),
            series: Mutex::default(),
            sql: Mutex::default(),
            dropped: Arc::default(),
            signed_out: AtomicUsize::default(),
            accepted: Mutex::default(),
            replayed: Mutex::default(),
            waiting: Mutex::default(),
        });
        let free = |n| [("free", schemas::Value::Int(n))];
        city.put(
            "bologna.parking",
            &[
                ("urn:ngsi-ld:OffStreetParking:bologna:a", 11.34, 44.49, &free(10)),
                ("urn:ngsi-ld:OffStreetParking:bologna:b", 11.35, 44.50, &free(20)),
                ("urn:ngsi-ld:OffStreetParking:bologna:c", 11.36, 44.51, &free(30)),
            ],
        );
        let text = |t: &str| schemas::Value::Text(t.into());
        let bin = [
            ("side", text("left")),
            ("fill", schemas::Value::Float(50.0)),
            ("street", text("Via Segreta")),
            ("weight", schemas::Value::Float(7.5)),
            ("citizen", text("Mario Rossi")),
        ];
        city.put("bologna.bins", &[("urn:ngsi-ld:Bin:bologna:1", 11.34, 44.49, &bin)]);
        city.put("modena.bins", &[("urn:ngsi-ld:Bin:modena:1", 10.92, 44.64, &bin)]);
        city.put("modena.noise", &[("urn:ngsi-ld:NoiseLevelObserved:modena:1", 10.92, 44.64, &[])]);
        city
    }

    /// Applies rows as the next frame and tells the listeners.
    pub(crate) fn put(&self, table: &str, rows: &[Row<'_>]) {
        let table = TableRef::parse(table).unwrap();
        let contract = Arc::clone(self.contracts.get(&table.product).unwrap());
        let batch = batch(&contract, self.clock.now(), rows);
        let mut host = self.host.lock();
        let position = host.position() + 1;
        let changes = host.apply(position, &Frame { parts: vec![Part { table, rows: batch }], ledger: Vec::new() });
        let _ = self.changes.send(Arc::new(ChangeBatch { position, changes }));
    }

    pub(crate) fn advance_secs(&self, secs: i64) {
        self.clock.advance_us(secs * 1_000_000);
    }

    pub(crate) fn router(self: &Arc<Self>) -> Router {
        self.router_with(ApiConfig::default())
    }

    pub(crate) fn router_with(self: &Arc<Self>, config: ApiConfig) -> Router {
        let city: Arc<dyn City> = Arc::<Self>::clone(self);
        crate::router(city, config).unwrap()
    }
}

fn batch(contract: &schemas::Contract, at: Timestamp, rows: &[Row<'_>]) -> RecordBatch {
    let n = rows.len();
    let texts = |t: &str| Arc::new(StringArray::from(vec![t; n])) as ArrayRef;
    let times = || Arc::new(TimestampMicrosecondArray::from(vec![at.0; n]).with_timezone("UTC")) as ArrayRef;
    let place = |r: &Row<'_>| schemas::Position::new(r.1, r.2).unwrap();
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| Some(r.0)).collect::<StringArray>()),
        times(),
        times(),
        texts("test"),
        texts("valid"),
        Arc::new(BooleanArray::from(vec![true; n])),
        Arc::new(rows.iter().map(|r| Some(r.1)).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|r| Some(r.2)).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|r| Some(place(r).cell().0)).collect::<Int64Array>()),
    ];
    for field in &contract.fields {
        let values = rows.iter().map(|r| r.3.iter().find(|(name, _)| *name == field.name).map(|(_, v)| v));
        columns.push(match field.kind {
            schemas::FieldType::Float => Arc::new(values.map(|v| v.and_then(schemas::Value::as_f64)).collect::<Float64Array>()),
            schemas::FieldType::Int => {
                Arc::new(values.map(|v| v.and_then(schemas::Value::as_f64).map(|v| v as i64)).collect::<Int64Array>())
            }
            schemas::FieldType::Text => Arc::new(
                values.map(|v| if let Some(schemas::Value::Text(t)) = v { Some(t.to_string()) } else { None }).collect::<StringArray>(),
            ),
            schemas::FieldType::Bool => new_null_array(&DataType::Boolean, n),
        });
    }
    RecordBatch::try_new(row::pending_schema(contract), columns).unwrap()
}

/// The users of the fake city; the password and the token of each is its name.
pub(crate) fn principal(name: &str) -> Option<Principal> {
    let (role, tenants) = match name {
        "admin" => (Role::Admin, Tenants::All),
        "analyst" => (Role::Analyst, Tenants::All),
        "viewer" => (Role::Viewer, Tenants::Some(vec![Tenant::new("bologna").unwrap()])),
        "gateway" => (Role::Gateway, Tenants::Some(vec![Tenant::new("bologna").unwrap()])),
        "modena_analyst" => (Role::Analyst, Tenants::Some(vec![Tenant::new("modena").unwrap()])),
        _ => return None,
    };
    Some(Principal { name: name.into(), role, tenants })
}

/// `n` rows from `start`: `id` (i64), `h3` (a cell), `name` (text), `at`.
pub(crate) fn numbers(start: i64, n: usize) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("h3", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("at", row::timestamp_type(), false).with_metadata([("unit".to_owned(), "s".to_owned())].into()),
    ]);
    let cell = schemas::Position::new(11.34, 44.49).unwrap().cell().0;
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(Int64Array::from_iter_values(start..start + n as i64)),
            Arc::new(Int64Array::from(vec![cell; n])),
            Arc::new((0..n).map(|i| (i > 0).then_some("a \"b\",c")).collect::<StringArray>()),
            Arc::new(TimestampMicrosecondArray::from(vec![NOW.0; n]).with_timezone("UTC")),
        ],
    )
    .unwrap()
}

/// Tells when a query's stream is dropped.
struct Noted(Arc<AtomicBool>);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl City for FakeCity {
    fn clock(&self) -> &dyn Clock {
        &self.clock
    }

    fn contracts(&self) -> &Contracts {
        &self.contracts
    }

    fn twin(&self) -> twin::Twin {
        self.host.lock().snapshot()
    }

    /// A past in which only the first car park existed.
    fn twin_at(&self, request: PastRequest) -> BoxFuture<'_, Result<twin::Twin, ApiError>> {
        self.past.lock().push(request.clone());
        let contract = self.contracts.get(&ProductId::new("parking").unwrap()).unwrap();
        let old = [("urn:ngsi-ld:OffStreetParking:bologna:a", 11.34, 44.49, &[("free", schemas::Value::Int(1))][..])];
        let rows = batch(contract, request.as_of, &old);
        let mut host = twin::TwinHost::new(self.contracts.clone(), twin::Limits::default());
        host.apply(1, &Frame { parts: vec![Part { table: table("bologna.parking"), rows }], ledger: Vec::new() });
        async move { Ok(host.snapshot()) }.boxed()
    }

    fn series(&self, request: SeriesRequest) -> BoxFuture<'_, Result<Series, ApiError>> {
        let schema = Schema::new(vec![Field::new("time", row::timestamp_type(), false), Field::new("value", DataType::Int64, true)]);
        let time = TimestampMicrosecondArray::from(vec![request.from.0, request.to.0]).with_timezone("UTC");
        let points = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(time), Arc::new(Int64Array::from(vec![Some(7), None]))]).unwrap();
        self.series.lock().push(request);
        async move { Ok(Series { points, downsampled: true }) }.boxed()
    }

    fn query(&self, request: SqlRequest) -> BoxFuture<'_, Result<SqlStream, ApiError>> {
        let sql = request.sql.clone();
        self.sql.lock().push(request);
        let dropped = Noted(Arc::clone(&self.dropped));
        async move {
            let broken = || Err(ApiError::new(Kind::Unavailable, "a disk went away"));
            let batches = match sql.as_str() {
                "wrong" => return Err(ApiError::new(Kind::Invalid, "no column 'x'").at(3, 14).with_hint("did you mean 'y'?")),
                "early" => stream::iter(vec![broken()]).boxed(),
                "late" => stream::iter(vec![Ok(numbers(0, 2)), broken()]).boxed(),
                "none" => stream::empty().boxed(),
                "endless" => stream::iter([Ok(numbers(0, 1))]).chain(stream::pending()).boxed(),
                "wide" => stream::iter([Ok(numbers(i64::MAX - 1, 1))]).boxed(),
                _ => stream::iter(vec![Ok(numbers(0, 2)), Ok(numbers(2, 3))]).boxed(),
            };
            let batches = batches.inspect(move |_| _ = &dropped).boxed();
            Ok(SqlStream { schema: numbers(0, 1).schema(), batches, versions: vec![(table("bologna.parking"), 12)] })
        }
        .boxed()
    }

    fn ingest(&self, request: IngestRequest) -> BoxFuture<'_, Result<IngestReceipt, ApiError>> {
        if request.product.as_str() == crate::register::PRODUCT {
            self.ingested.lock().push(request);
            let counts = Counts { received: 1, stored: 1, ..Counts::default() };
            return async move { Ok(IngestReceipt { counts, rejects: Vec::new() }) }.boxed();
        }
        let received = request.body.split(|b| *b == b'\n').filter(|l| !l.is_empty()).count() as u64;
        self.ingested.lock().push(request);
        let reject = Reject { line: 2, reason: "range".into(), field: Some("free".into()), message: "free is below 0".into() };
        let counts = Counts { received, stored: received - 1, quarantined: 1, ..Counts::default() };
        async move { Ok(IngestReceipt { counts, rejects: vec![reject] }) }.boxed()
    }

    /// One group of each tenant.
    fn suggestions(&self, request: WaitingRequest) -> BoxFuture<'_, Result<Suggestions, ApiError>> {
        self.waiting.lock().push(request);
        let one =
            |tenant: &str| Suggested { tenant: Tenant::new(tenant).unwrap(), body: serde_json::json!({"id": "0a", "tenant": tenant}) };
        let list = vec![one("bologna"), one("modena")];
        async move { Ok(Suggestions { waiting: 7, truncated: false, list }) }.boxed()
    }

    fn accept(&self, request: AcceptRequest) -> BoxFuture<'_, Result<Accepted, ApiError>> {
        let in_force = request.contract.is_none();
        let wrong = request.mapping == "wrong";
        self.accepted.lock().push(request);
        async move {
            if wrong {
                return Err(ApiError::new(Kind::Invalid, "mapping[0]: topic: is missing"));
            }
            Ok(Accepted { files: vec!["0-accepted-bologna-0a.toml".into()], in_force })
        }
        .boxed()
    }

    fn replay(&self, request: ReplayRequest) -> BoxFuture<'_, Result<Replayed, ApiError>> {
        let n = request.messages_max.min(5);
        self.replayed.lock().push(request);
        let counts = Counts { received: n as u64, stored: n as u64, ..Counts::default() };
        let skipped = [("cut".to_owned(), 1)].into();
        async move { Ok(Replayed { replayed: n, skipped, left: 5 - n, counts, rejects: Vec::new() }) }.boxed()
    }

    /// Every line that begins with `bad` is refused.
    fn ingest_foreign(&self, request: ForeignRequest) -> BoxFuture<'_, Result<IngestReceipt, ApiError>> {
        let lines = || request.body.split(|b| *b == b'\n').enumerate().filter(|(_, l)| !l.is_empty());
        let received = lines().count() as u64;
        let bad = lines().filter(|(_, l)| l.starts_with(b"bad"));
        let reject = |(i, _)| Reject { line: i + 1, reason: "not_format".into(), field: None, message: "not a line".into() };
        let rejects: Vec<Reject> = bad.map(reject).collect();
        let quarantined = rejects.len() as u64;
        let counts = Counts { received, stored: received - quarantined, quarantined, ..Counts::default() };
        self.foreign.lock().push(request);
        async move { Ok(IngestReceipt { counts, rejects }) }.boxed()
    }

    fn changes(&self) -> broadcast::Receiver<Arc<ChangeBatch>> {
        self.changes.subscribe()
    }

    fn authenticate(&self, credentials: Credentials) -> BoxFuture<'_, Option<Principal>> {
        let found = match credentials {
            Credentials::Token(t) | Credentials::Session(t) => principal(&t),
            Credentials::Password { user, password } => principal(&user).filter(|_| user == password),
        };
        async move { found }.boxed()
    }

    fn sign_in(&self, user: &str, password: &str) -> BoxFuture<'_, Result<Option<Session>, ApiError>> {
        let found = principal(user).filter(|_| user == password);
        let session = found.map(|principal| Session { token: principal.name.clone(), lifetime: Duration::from_secs(3_600), principal });
        async move { Ok(session) }.boxed()
    }

    fn sign_out(&self, _token: &str) -> BoxFuture<'_, ()> {
        self.signed_out.fetch_add(1, Ordering::SeqCst);
        async {}.boxed()
    }

    fn ledger(&self, _hours: u32) -> BoxFuture<'_, Result<Vec<LedgerRow>, ApiError>> {
        let line = |tenant: &str, stored| LedgerRow {
            hour: NOW,
            tenant: Tenant::new(tenant).unwrap(),
            source: SourceId::new("mqtt/one").unwrap(),
            product: None,
            counts: Counts { received: 5, stored, ..Counts::default() },
        };
        let rows = vec![line("bologna", 5), line("modena", 3)];
        async move { Ok(rows) }.boxed()
    }

    fn status(&self) -> BoxFuture<'_, Result<Status, ApiError>> {
        let one = |name: &str| TableStatus { table: table(name), version: Some(3), rows: 10, hot_rows: 2, files: 1, bytes: 100 };
        let tables = vec![one("bologna.parking"), one("modena.noise")];
        let status = Status { version: "0.1.0".into(), started_at: NOW, simulated: true, position: self.host.lock().position(), tables };
        async move { Ok(status) }.boxed()
    }

    fn metrics(&self) -> String {
        "portico_up 1\n".into()
    }

    fn ready(&self) -> Result<(), String> {
        if self.clock.now() == NOW { Ok(()) } else { Err("the log is being read".into()) }
    }

    fn public_products(&self) -> Arc<BTreeSet<TableRef>> {
        Arc::clone(&self.public.lock())
    }

    fn audit(&self, event: AuditEvent) {
        assert_ne!(event.object, "panic", "a panic asked for");
        self.audited.lock().push(event);
    }
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

/// Sends one request; `user` is a bearer token, or `""` for nobody.
pub(crate) async fn send(router: &Router, user: &str, mut request: Request<Body>) -> Answer {
    if !user.is_empty() {
        request.headers_mut().insert("authorization", format!("Bearer {user}").parse().unwrap());
    }
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec();
    Answer { status, headers, body }
}

pub(crate) fn request(method: &str, uri: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder().method(method).uri(uri).body(body.into()).unwrap()
}

pub(crate) async fn get(router: &Router, user: &str, uri: &str) -> Answer {
    send(router, user, request("GET", uri, Body::empty())).await
}

/// Percent-encodes what a query string cannot hold.
pub(crate) fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
