//! A running Portico: its parts, how they start, and how they stop in order.

use crate::{
    access::Users,
    audit::Audit,
    config::Config,
    deletions::Deletions,
    listen::{self, WhenTaken},
    tls,
    wire::{self, Devices, Door, LakeSink, TwinFeed},
};
use anyhow::{Context as _, Result};
use api::{ApiConfig, MetricsAccess};
use arrow_array::{
    Array as _, RecordBatch,
    cast::AsArray as _,
    types::{Int64Type, TimestampMicrosecondType},
};
use ingest::{
    Ingest, IngestError, Mappings,
    camera::Register,
    codec::{CodecLimits, Codecs},
};
use lakehouse::{Access, Lakehouse, LakehouseError, QueryRequest};
use schemas::{Clock, Contracts, Counts, ProductId, SourceId, TableRef, Tenant, Timestamp, time::HOUR_US};
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

mod camera_register;
mod cameras;
mod doors;
mod health;
mod lorawan;
pub mod own_rows;
mod quality;
pub mod retention;
mod upkeep;

/// Everything that the doors share.
#[derive(Debug)]
pub struct Parts {
    pub clock: Arc<dyn Clock>,
    pub contracts: Contracts,
    pub lakehouse: Lakehouse,
    pub ingest: Ingest,
    pub devices: Arc<Devices>,
    /// Once its doors are open.
    pub lorawan: std::sync::OnceLock<ingest::lorawan::Lorawan>,
    pub feed: Arc<TwinFeed>,
    pub users: Door,
    pub audit: Audit,
    pub deletions: Deletions,
    pub public: Arc<BTreeSet<TableRef>>,
    pub tenant: Tenant,
    pub sql_memory_bytes: usize,
    pub started_at: Timestamp,
    stopping: AtomicBool,
}

/// Where the doors listen.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    pub http: SocketAddr,
    pub mqtt: Option<SocketAddr>,
    pub postgres: Option<SocketAddr>,
    pub flight: Option<SocketAddr>,
    /// UDP.
    pub lorawan: Option<SocketAddr>,
    pub lorawan_station: Option<SocketAddr>,
}

/// A running Portico.
#[derive(Debug)]
pub struct Node {
    pub parts: Arc<Parts>,
    pub addresses: Addresses,
    lorawan: Option<lorawan::Running>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

pub use cameras::register;

/// The contracts that are built in and those of `data.contracts`.
pub fn contracts(config: &Config) -> Result<Contracts> {
    let own = texts(&config.data.contracts, "yaml")?;
    let own = own.iter().map(|(file, text)| (file.as_str(), text.as_str()));
    Ok(Contracts::parse(schemas::catalog::BUILTIN.iter().copied().chain(own))?)
}

/// What mappings name: without it every camera and every codec is refused.
#[derive(Debug, Clone)]
pub struct Readers {
    pub cameras: Arc<Register>,
    pub codecs: Codecs,
}

impl Readers {
    fn load(config: &Config, clock: &Arc<dyn Clock>) -> Result<Self> {
        let codecs = match config.data.codecs.as_os_str().is_empty() {
            true => Codecs::default(),
            false => Codecs::load(&config.data.codecs, &CodecLimits::default(), clock)?,
        };
        Ok(Self { cameras: cameras::register(config)?, codecs })
    }
}

/// The mappings of these files and those that are built in. Whatever puts mappings into force makes them here.
pub fn mappings(files: &[(String, String)], readers: &Readers) -> Result<Mappings, IngestError> {
    let own = files.iter().map(|(file, text)| (file.as_str(), text.as_str()));
    let mut mappings = Mappings::parse(own.chain([("datex2.toml", ingest::datex::MAPPINGS)]))?.with_cameras(&readers.cameras);
    mappings.codecs = readers.codecs.clone();
    Ok(mappings)
}

/// Name and text of each file of `folder` with this ending; none when the setting is empty.
pub fn texts(folder: &std::path::Path, ending: &str) -> Result<Vec<(String, String)>> {
    if folder.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == ending) {
            let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            out.push((path.display().to_string(), text));
        }
    }
    out.sort();
    Ok(out)
}

/// Opens the tables alone, for commands that work on the data directory of a stopped server.
pub async fn open_lakehouse(config: &Config, contracts: &Contracts, clock: Arc<dyn Clock>) -> Result<Lakehouse> {
    std::fs::create_dir_all(config.state_dir()).with_context(|| config.state_dir().display().to_string())?;
    Ok(Lakehouse::open(upkeep::lakehouse_config(config)?, contracts.clone(), clock).await?)
}

impl Parts {
    /// Opens log, tables and twin, and starts the pipeline; no door is open yet.
    pub async fn open(config: &Config, clock: Arc<dyn Clock>, tasks: &TaskTracker) -> Result<Arc<Self>> {
        let contracts = contracts(config)?;
        let lakehouse = open_lakehouse(config, &contracts, Arc::clone(&clock)).await?;
        let feed = TwinFeed::open(&lakehouse, &contracts, &config.state_dir()).await?;
        lakehouse.serve_latest(Arc::clone(&feed) as Arc<dyn lakehouse::LatestRows>);
        upkeep::follow(&lakehouse, &feed, tasks);
        let users = Door(Arc::new(Users::open(&config.state_dir(), Arc::clone(&clock))?));
        let sink = Arc::new(LakeSink(lakehouse.clone()));
        let readers = Readers::load(config, &clock)?;
        let ingest = Ingest::start(
            upkeep::ingest_config(config),
            contracts.clone(),
            mappings(&texts(&config.data.mappings, "toml")?, &readers)?,
            sink,
            Arc::new(users.clone()),
            Arc::clone(&clock),
        )?;
        let public = config.city.public.iter().map(|t| TableRef::parse(t)).collect::<Result<_, _>>()?;
        let devices = Devices {
            contracts: contracts.clone(),
            lakehouse: lakehouse.clone(),
            ingest: ingest.clone(),
            users: Arc::clone(&users.0),
            clock: Arc::clone(&clock),
            readers,
            mappings_dir: config.data.mappings.clone(),
            contracts_dir: config.data.contracts.clone(),
            accepting: parking_lot::Mutex::default(),
        };
        Ok(Arc::new(Self {
            devices: Arc::new(devices),
            audit: Audit::start(lakehouse.clone(), Arc::clone(&clock)),
            deletions: Deletions::new(lakehouse.clone(), Arc::clone(&clock)),
            tenant: Tenant::new(&config.city.tenant)?,
            sql_memory_bytes: usize::try_from(config.sql.memory_mib << 20)?,
            started_at: clock.now(),
            stopping: AtomicBool::new(false),
            public: Arc::new(public),
            clock,
            contracts,
            lakehouse,
            ingest,
            lorawan: std::sync::OnceLock::new(),
            feed,
            users,
        }))
    }

    /// Makes durable what was received, flushes, and saves the twin. The doors are closed already.
    pub async fn close(&self, tasks: &TaskTracker) -> Result<()> {
        self.ingest.close().await;
        self.lakehouse.close().await?;
        tasks.close();
        tasks.wait().await;
        let position = self.feed.save()?;
        tracing::info!(position, "stopped in order");
        Ok(())
    }

    /// `Err` says what is not ready.
    pub fn ready(&self) -> Result<(), String> {
        if self.stopping.load(Ordering::Relaxed) { Err("stopping".into()) } else { Ok(()) }
    }

    /// Lines of the ledger of the last hours, newest first.
    pub async fn ledger(&self, hours: u32) -> Result<Vec<api::city::LedgerRow>, LakehouseError> {
        let from = Timestamp(self.clock.now().hour().0 - i64::from(hours) * HOUR_US);
        let sql = format!(
            "SELECT observed_at, tenant, source, product, sum(received), sum(stored), sum(duplicate), sum(late), sum(quarantined), sum(dropped) \
             FROM ops.ledger WHERE observed_at >= '{from}' GROUP BY 1, 2, 3, 4 ORDER BY 1 DESC, 2, 3, 4 LIMIT 10000"
        );
        let batches = self.lakehouse.query(QueryRequest::new(sql, Access::admin())).await?.collect().await?;
        Ok(batches.iter().flat_map(ledger_rows).collect())
    }
}

fn ledger_rows(batch: &RecordBatch) -> Vec<api::city::LedgerRow> {
    let at = batch.column(0).as_primitive::<TimestampMicrosecondType>();
    let text = |i: usize, row: usize| {
        let cast = arrow_cast::cast(batch.column(i), &arrow_schema::DataType::Utf8).ok()?;
        let column = cast.as_string::<i32>();
        column.is_valid(row).then(|| column.value(row).to_owned())
    };
    let count = |i: usize, row: usize| u64::try_from(batch.column(i).as_primitive::<Int64Type>().value(row)).unwrap_or(0);
    let line = |row: usize| {
        Some(api::city::LedgerRow {
            hour: Timestamp(at.value(row)),
            tenant: Tenant::new(&text(1, row)?).ok()?,
            source: SourceId::new(&text(2, row)?).ok()?,
            product: text(3, row).and_then(|p| ProductId::new(&p).ok()),
            counts: Counts {
                received: count(4, row),
                stored: count(5, row),
                duplicate: count(6, row),
                late: count(7, row),
                quarantined: count(8, row),
                dropped: count(9, row),
            },
        })
    };
    (0..batch.num_rows()).filter_map(line).collect()
}

impl Node {
    /// Opens everything and starts to listen.
    pub async fn start(config: &Config, clock: Arc<dyn Clock>, when_taken: WhenTaken) -> Result<Self> {
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let parts = Parts::open(config, clock, &tasks).await?;
        let tls = config.tls_files().map(|(certificate, key)| tls::server_config(certificate, key)).transpose()?;
        let http = listen::bind("http.bind", config.http.bind, when_taken).await?;
        let mut addresses =
            Addresses { http: http.local_addr()?, mqtt: None, postgres: None, flight: None, lorawan: None, lorawan_station: None };
        if config.mqtt.enabled {
            let listener = listen::bind("mqtt.bind", config.mqtt.bind, when_taken).await?;
            addresses.mqtt = Some(listener.local_addr()?);
            doors::mqtt(&parts, listener, tls.clone(), &stop, &tasks);
        }
        if config.postgres.enabled {
            let listener = listen::bind("postgres.bind", config.postgres.bind, when_taken).await?;
            addresses.postgres = Some(listener.local_addr()?);
            doors::postgres(&parts, config, listener, tls.clone(), &stop, &tasks);
        }
        if config.flight.enabled {
            let listener = listen::bind("flight.bind", config.flight.bind, when_taken).await?;
            addresses.flight = Some(listener.local_addr()?);
            doors::flight(&parts, config, listener, tls.clone(), &stop, &tasks);
        }
        let lorawan = lorawan::start(&parts, config, tls.clone(), when_taken, &stop, &tasks).await?;
        (addresses.lorawan, addresses.lorawan_station) = lorawan.as_ref().map_or((None, None), |l| (l.udp, l.station));
        for broker in &config.brokers {
            doors::follow(&parts, broker, &stop, &tasks)?;
        }
        let router = api::router(Arc::new(wire::Portico(Arc::clone(&parts))), api_config(config, tls.is_some(), &parts)?);
        doors::http(router?, http, tls, &stop, &tasks);
        upkeep::start(&parts, config, &stop, &tasks);
        Ok(Self { parts, addresses, lorawan, stop, tasks })
    }

    /// Closes the doors, makes durable what was received, flushes, and saves the twin.
    pub async fn stop(self) -> Result<()> {
        self.parts.stopping.store(true, Ordering::Relaxed);
        self.stop.cancel();
        if let Some(lorawan) = self.lorawan {
            lorawan.task.await.ok();
        }
        self.parts.close(&self.tasks).await
    }
}

fn api_config(config: &Config, tls: bool, parts: &Parts) -> Result<ApiConfig> {
    let mut out = ApiConfig { tls, metrics: MetricsAccess::Loopback, ..ApiConfig::default() };
    out.limits.ingest_inflated_bytes_max = usize::try_from(config.http.body_bytes_max).unwrap_or(usize::MAX);
    out.limits.ingest_bytes_max = out.limits.ingest_inflated_bytes_max;
    out.limits.sql_export_rows_max = usize::try_from(config.sql.rows_max).unwrap_or(usize::MAX);
    out.limits.sql_timeout = std::time::Duration::from_secs(config.sql.timeout_secs);
    out.webhooks = config.webhooks.iter().map(|w| webhook(w, parts)).collect::<Result<_>>()?;
    Ok(out)
}

/// The secret of a webhook, and the user for whom its messages count.
fn webhook(configured: &crate::config::Webhook, parts: &Parts) -> Result<api::Webhook> {
    const SECRET_BYTES_MIN: usize = 16;
    let crate::config::Webhook { name, secret_file, user } = configured;
    let secret = std::fs::read(secret_file).with_context(|| format!("webhooks '{name}': {}", secret_file.display()))?;
    let secret = secret.trim_ascii().to_vec();
    anyhow::ensure!(
        secret.len() >= SECRET_BYTES_MIN,
        "webhooks '{name}': the secret has {} bytes; write at least {SECRET_BYTES_MIN} random ones",
        secret.len()
    );
    let user = parts.users.0.named(user).with_context(|| format!("webhooks '{name}': there is no user '{user}'"))?;
    Ok(api::Webhook { name: name.clone(), secret, principal: wire::principal(&user) })
}
