//! What waits in quarantine, as the HTTP surface and the commands ask for it: rows out of `ops.quarantine` that no replay has settled,
//! suggestions for them, files written for what was accepted, and the replay itself.

use crate::{
    access::Users,
    node::{self, Readers},
};
use anyhow::{Context as _, Result};
use api::{
    access::Tenants,
    city::{AcceptRequest, Accepted, Reject, ReplayRequest, Replayed, Suggested, Suggestions, WaitingRequest},
    error::ApiError,
};
use arrow_array::{
    ArrayRef, RecordBatch,
    cast::AsArray as _,
    types::{Int64Type, TimestampMicrosecondType},
};
use arrow_schema::DataType;
use ingest::{
    Ingest, IngestError, Mappings,
    mapping::{
        route::Router,
        template::{TenantRule, TopicTemplate},
    },
    replay::{self, Quarantined},
    suggest::{self, Options, Sample},
};
use lakehouse::{Access, Lakehouse, LakehouseError, QueryRequest};
use parking_lot::Mutex;
use schemas::{Clock, Contract, Contracts, Kind, SourceId, Tenant, Timestamp, time::HOUR_US};
use std::{
    collections::HashSet,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Rows of the quarantine that one request looks at, newest first.
const ROWS_MAX: usize = 10_000;
/// Notes of replays that are compared with them.
const REPLAYED_MAX: usize = 1_000_000;
/// Accepted files come before those of the operator, because the first mapping of a topic reads it.
const FILE_PREFIX: &str = "0-accepted-";
/// Of local times without an offset.
const ZONE: &str = "Europe/Rome";

/// The parts of a node that deal with devices nobody knows yet.
#[derive(Debug)]
pub struct Devices {
    pub contracts: Contracts,
    pub lakehouse: Lakehouse,
    pub ingest: Ingest,
    pub users: Arc<Users>,
    pub clock: Arc<dyn Clock>,
    pub readers: Readers,
    pub mappings_dir: PathBuf,
    pub contracts_dir: PathBuf,
    /// One acceptance after the other: each reads the directory that the one before wrote.
    pub accepting: Mutex<()>,
}

/// Messages that wait, oldest first.
#[derive(Debug)]
pub struct Waiting {
    pub rows: Vec<Quarantined>,
    /// Whether there were more than one request looks at.
    pub truncated: bool,
}

fn query_failed(error: &LakehouseError) -> ApiError {
    ApiError::of(error)
}

fn ingest_failed(error: &IngestError) -> ApiError {
    ApiError::of(error)
}

fn io_failed(error: &anyhow::Error) -> ApiError {
    ApiError::new(Kind::Unavailable, format!("{error:#}"))
}

impl Devices {
    /// Rows of the last hours that no replay has settled.
    pub async fn waiting(&self, hours: u32, tenant: Option<&Tenant>) -> Result<Waiting, LakehouseError> {
        let from = Timestamp(self.clock.now().0 - i64::from(hours) * HOUR_US);
        // A tenant is letters, digits and underscores: nothing to escape.
        let own = tenant.map_or_else(String::new, |t| format!("AND tenant = '{t}' "));
        let settled = format!(
            "SELECT quarantine_position, topic, digest FROM ops.replayed \
             WHERE observed_at >= '{from}' {own}AND outcome <> 'quarantined' LIMIT {REPLAYED_MAX}"
        );
        let rows = format!(
            "SELECT observed_at, tenant, source, topic, reason, message, payload, position FROM ops.quarantine \
             WHERE observed_at >= '{from}' {own}AND source NOT LIKE '{}%' ORDER BY observed_at DESC LIMIT {}",
            replay::PREFIX,
            ROWS_MAX + 1
        );
        let settled: HashSet<(i64, String, i64)> = self.ask(settled).await?.iter().flat_map(settled_keys).collect();
        let mut rows: Vec<Quarantined> = self.ask(rows).await?.iter().flat_map(|b| self.quarantined(b)).collect();
        let truncated = rows.len() > ROWS_MAX;
        rows.truncate(ROWS_MAX);
        rows.retain(|r| !settled.contains(&(i64::try_from(r.position).unwrap_or(i64::MAX), r.topic.clone(), r.digest())));
        rows.retain(|r| r.skip().is_none());
        rows.reverse();
        Ok(Waiting { rows, truncated })
    }

    async fn ask(&self, sql: String) -> Result<Vec<RecordBatch>, LakehouseError> {
        self.lakehouse.query(QueryRequest::new(sql, Access::admin())).await?.collect().await
    }

    fn quarantined(&self, batch: &RecordBatch) -> Vec<Quarantined> {
        let (Some(at), Some(payload), Some(position)) =
            (as_type(batch, 0, &schemas::row::timestamp_type()), as_type(batch, 6, &DataType::Binary), as_type(batch, 7, &DataType::Int64))
        else {
            return Vec::new();
        };
        let (at, position) = (at.as_primitive::<TimestampMicrosecondType>(), position.as_primitive::<Int64Type>());
        let payload = payload.as_binary::<i32>();
        let texts: Vec<ArrayRef> = (1..=5).filter_map(|i| as_type(batch, i, &DataType::Utf8)).collect();
        let text = |i: usize, row: usize| texts.get(i).map(|c| c.as_string::<i32>().value(row).to_owned());
        let row = |row: usize| {
            let source = SourceId::new(&text(1, row)?).ok()?;
            Some(Quarantined {
                tenant: Tenant::new(&text(0, row)?).ok()?,
                simulated: self.is_simulated(&source),
                source,
                topic: text(2, row)?,
                payload: payload.value(row).to_vec().into(),
                reason: text(3, row)?,
                message: text(4, row)?,
                received_at: Timestamp(at.value(row)),
                position: u64::try_from(position.value(row)).ok()?,
            })
        };
        (0..batch.num_rows()).filter_map(row).collect()
    }

    /// The quarantine does not keep the mark, so the sender is asked.
    fn is_simulated(&self, source: &SourceId) -> bool {
        let user = source.as_str().split_once('/').map_or("", |(_, user)| user);
        self.users.named(user).is_some_and(|u| u.simulated)
    }

    /// A router of its own over what is in force: trying messages must not touch the state of running formats.
    fn trial(&self) -> Result<Arc<Router>, ApiError> {
        let mappings = self.mappings_in_force(&node::texts(&self.mappings_dir, "toml").map_err(|e| io_failed(&e))?)?;
        Ok(Arc::new(Router::new(self.contracts.clone(), mappings).map_err(|e| ingest_failed(&e))?))
    }

    /// Mappings onto contracts that wait for a restart are left out.
    fn mappings_in_force(&self, files: &[(String, String)]) -> Result<Mappings, ApiError> {
        let mut mappings = node::mappings(files, &self.readers).map_err(|e| ingest_failed(&e))?;
        mappings.list.retain(|m| self.contracts.get(&m.product).is_some());
        Ok(mappings)
    }

    pub async fn suggestions(&self, request: WaitingRequest) -> Result<Suggestions, ApiError> {
        let waiting = self.waiting(request.hours, request.tenant.as_ref()).await.map_err(|e| query_failed(&e))?;
        let samples: Vec<Sample> = waiting.rows.iter().filter(|r| request.tenants.contains(&r.tenant)).map(sample).collect();
        let (n, router) = (samples.len(), self.trial()?);
        let found = tokio::task::spawn_blocking(move || suggest::suggest(&samples, &router, &Options { zone: ZONE.into() })).await;
        let found = found.map_err(|e| ApiError::internal(format!("suggesting: {e}")))?;
        let list = found.into_iter().map(|s| {
            let body = serde_json::to_value(&s).map_err(|e| ApiError::internal(e.to_string()))?;
            Ok(Suggested { tenant: s.tenant, body })
        });
        Ok(Suggestions { waiting: n, truncated: waiting.truncated, list: list.collect::<Result<_, ApiError>>()? })
    }

    /// Blocks on the disk.
    pub fn accept(&self, request: &AcceptRequest) -> Result<Accepted, ApiError> {
        let _one = self.accepting.lock();
        let set = |dir: &Path, name: &str| {
            let absent = || ApiError::new(Kind::Invalid, format!("there is no directory to write to; '{name}' is not set"));
            let hint = || format!("set {name} to a directory and restart, or save the text there by hand");
            if dir.as_os_str().is_empty() { Err(absent().with_hint(hint())) } else { Ok(()) }
        };
        set(&self.mappings_dir, "data.mappings")?;
        let file = format!("{FILE_PREFIX}{}-{}.toml", request.tenant, request.id);
        own_only(&file, &request.mapping, &request.tenant)?;
        let mut contracts = self.contracts.clone();
        if let Some(new) = &request.contract {
            set(&self.contracts_dir, "data.contracts")?;
            contracts = contracts.with(new_contract(&self.contracts, new)?);
        }
        let path = self.mappings_dir.join(&file);
        let head = format!("# Accepted by {} at {}.\n", request.actor.replace(char::is_control, " "), self.clock.now());
        let text = format!("{head}{}", request.mapping);
        let mut files = node::texts(&self.mappings_dir, "toml").map_err(|e| io_failed(&e))?;
        files.retain(|(name, _)| Path::new(name) != path);
        files.push((path.display().to_string(), text.clone()));
        files.sort();
        let all = node::mappings(&files, &self.readers).map_err(|e| ingest_failed(&e))?;
        let known = |m: &ingest::mapping::Mapping| contracts.get(&m.product).is_some() || m.name.starts_with(&path.display().to_string());
        let tried = Mappings { list: all.list.into_iter().filter(known).collect(), ..all };
        Router::new(contracts, tried).map_err(|e| ingest_failed(&e))?;
        let mut written = Vec::new();
        if let Some(new) = &request.contract {
            let name = format!("{}.yaml", new.product);
            write_whole(&self.contracts_dir.join(&name), &new.text).map_err(|e| io_failed(&e))?;
            written.push(name);
        }
        write_whole(&path, &text).map_err(|e| io_failed(&e))?;
        written.push(file);
        self.ingest.pipeline().router().replace(self.mappings_in_force(&files)?).map_err(|e| ingest_failed(&e))?;
        Ok(Accepted { files: written, in_force: request.contract.is_none() })
    }

    pub async fn replay(&self, request: ReplayRequest) -> Result<Replayed, ApiError> {
        let template = request.topic.as_deref().map(TopicTemplate::parse).transpose();
        let template = template.map_err(|e| ApiError::body("topic", e))?;
        let waiting = self.waiting(request.hours, Some(&request.tenant)).await.map_err(|e| query_failed(&e))?;
        let wanted = |r: &Quarantined| template.as_ref().is_none_or(|t| t.matches(&r.topic).is_some());
        let rows: Vec<Quarantined> = waiting.rows.into_iter().filter(wanted).collect();
        // What nothing reads yet would come back to the quarantine, again and again.
        let router = self.trial()?;
        let (n, mut rows) = tokio::task::spawn_blocking(move || {
            let samples: Vec<Sample> = rows.iter().map(sample).collect();
            let read = suggest::reads(router, &samples.iter().collect::<Vec<_>>());
            (rows.len(), rows.into_iter().zip(read).filter_map(|(row, read)| read.then_some(row)).collect::<Vec<_>>())
        })
        .await
        .map_err(|e| ApiError::internal(format!("trying messages: {e}")))?;
        let unread = n - rows.len();
        let left = rows.len().saturating_sub(request.messages_max);
        rows.truncate(request.messages_max);
        let report = replay::replay(self.ingest.pipeline(), rows, self.clock.now()).await.map_err(|e| ingest_failed(&e))?;
        let mut skipped: std::collections::BTreeMap<String, usize> =
            report.skipped.iter().map(|(skip, n)| (format!("{skip:?}").to_lowercase(), *n)).collect();
        if unread > 0 {
            skipped.insert("unread".into(), unread);
        }
        let reject = |(i, r): (usize, replay::Refused)| {
            let message = format!("{}: {}", r.topic, r.message);
            Reject { line: i + 1, reason: r.reason.to_owned(), field: r.field, message }
        };
        let rejects = report.rejects.into_iter().enumerate().map(reject).collect();
        Ok(Replayed { replayed: report.replayed, skipped, left, counts: report.counts, rejects })
    }

    /// All tenants, for commands of whoever owns the machine.
    #[must_use]
    pub fn everything(hours: u32) -> WaitingRequest {
        WaitingRequest { hours, tenant: None, tenants: Tenants::All }
    }
}

fn sample(row: &Quarantined) -> Sample {
    Sample {
        tenant: row.tenant.clone(),
        topic: row.topic.clone(),
        payload: row.payload.clone(),
        reason: row.reason.clone(),
        message: row.message.clone(),
        received_at: row.received_at,
    }
}

/// Column `i`, whatever form of its type the query answered with.
fn as_type(batch: &RecordBatch, i: usize, kind: &DataType) -> Option<ArrayRef> {
    arrow_cast::cast(batch.columns().get(i)?, kind).ok()
}

fn settled_keys(batch: &RecordBatch) -> Vec<(i64, String, i64)> {
    let (Some(position), Some(topic), Some(digest)) =
        (as_type(batch, 0, &DataType::Int64), as_type(batch, 1, &DataType::Utf8), as_type(batch, 2, &DataType::Int64))
    else {
        return Vec::new();
    };
    let (position, digest) = (position.as_primitive::<Int64Type>(), digest.as_primitive::<Int64Type>());
    let topic = topic.as_string::<i32>();
    (0..batch.num_rows()).map(|r| (position.value(r), topic.value(r).to_owned(), digest.value(r))).collect()
}

/// API-1: an accepted file reads messages of its tenant only.
fn own_only(file: &str, text: &str, tenant: &Tenant) -> Result<(), ApiError> {
    let own = Mappings::parse([(file, text)]).map_err(|e| ingest_failed(&e))?;
    let fixed = |m: &ingest::mapping::Mapping| matches!(&m.tenant, TenantRule::Fixed(t) if t == tenant);
    if let Some(other) = own.list.iter().find(|m| !fixed(m)) {
        return Err(ApiError::body("mapping", format!("{}: tenant must be \"{tenant}\"; write tenant = \"{tenant}\"", other.name)));
    }
    if own.list.is_empty() || !own.dropped.is_empty() {
        return Err(ApiError::body("mapping", "must hold [[mapping]] tables and nothing else; 'drop' concerns all tenants"));
    }
    Ok(())
}

fn new_contract(contracts: &Contracts, new: &api::city::NewContract) -> Result<Contract, ApiError> {
    if contracts.get(&new.product).is_some() {
        return Err(ApiError::new(Kind::Conflict, format!("the product '{}' has a contract already; choose another name", new.product)));
    }
    let parsed = Contract::parse(&format!("{}.yaml", new.product), &new.text).map_err(|e| ApiError::body("contract", e.to_string()))?;
    if parsed.product != new.product {
        return Err(ApiError::body("contract", format!("its table is '{}', not '{}'", parsed.product, new.product)));
    }
    Ok(parsed)
}

/// Beside, durable, and renamed over: a reader finds the old file or the new one.
fn write_whole(path: &Path, text: &str) -> Result<()> {
    let beside = path.with_extension("new");
    let mut out = std::fs::File::create(&beside).with_context(|| beside.display().to_string())?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    std::fs::rename(&beside, path).with_context(|| path.display().to_string())?;
    if let Some(dir) = path.parent() {
        std::fs::File::open(dir)?.sync_all()?;
    }
    Ok(())
}
