//! Opening: lock, tables, log, threads.

use super::{Slot, Store};
use crate::{
    LakehouseConfig, LakehouseError,
    columns::adapt,
    delta::DeltaLog,
    hot::Hot,
    log::{
        codec::{Encoder, Pending},
        recover::{Recovered, recover, sync_dir},
        writer::Log,
    },
    root::Root,
    state::Holds,
    work::{Work, blocking},
};
use futures::{StreamExt, TryStreamExt};
use hashbrown::HashMap;
use parking_lot::Mutex;
use schemas::{Clock, Contracts, LogPosition, TableRef, ops::OpsTable};
use std::{
    fs::{File, TryLockError},
    hash::BuildHasher,
    path::Path,
    sync::{Arc, Weak, atomic::AtomicU64},
    time::Duration,
};
use tokio::sync::Notify;

/// Tables whose logs are read at the same time.
const OPEN_AT_ONCE: usize = 8;
const _: () = assert!(OPEN_AT_ONCE * 2 <= crate::work::BLOCKING_THREADS, "every log that is read needs a second thread for its files");
/// Frames that recovery shows at a time.
const RECOVER_FRAMES: usize = 64;

/// A table as found on disk.
struct Found {
    table: TableRef,
    log: DeltaLog,
    flushed: LogPosition,
}

impl Store {
    /// Locks the directory, loads the tables, replays the log over them and starts the threads.
    pub(crate) async fn open(config: LakehouseConfig, contracts: Contracts, clock: Arc<dyn Clock>) -> Result<Arc<Self>, LakehouseError> {
        let lock = lock_dir(&config.data_dir)?;
        let work = Work::start()?;
        let root = Root::open(&config.object_store, &config.data_dir)?;
        let found = work.run(load_tables(root.clone())).await?;
        let hot = Arc::new(Hot::new(Arc::clone(&root.store)));
        for table in config.tables.iter().cloned().chain(OpsTable::ALL.map(OpsTable::table)) {
            let schema = contracts
                .stored_schema(&table)
                .ok_or_else(|| LakehouseError::Config { name: "tables", rule: format!("there is no contract for '{table}'") })?;
            hot.declare(&table, schema, -1, Vec::new());
        }
        let mut flushed = HashMap::new();
        let mut slots: HashMap<TableRef, Slot> = HashMap::new();
        for Found { table, log, flushed: position } in found {
            let schema = contracts.stored_schema(&table).unwrap_or_else(|| log.schema());
            hot.load(&table, schema, log.version(), log.files().to_vec());
            flushed.insert(table.clone(), position);
            slots.insert(table, Arc::new(tokio::sync::Mutex::new(Some(log))));
        }
        let newest = flushed.values().copied().max().unwrap_or(0);
        let log_dir = config.data_dir.join("log");
        let recovered = replay(log_dir.clone(), Arc::clone(&hot), contracts.clone(), flushed).await?;
        let next = recovered.next.max(newest + 1);
        hot.start_at(next - 1);
        let holds = Holds::open(&config.data_dir.join("state"))?;
        let log = Log::start(&config, Arc::clone(&hot), log_dir, recovered, next)?;
        let instance = std::hash::RandomState::new().hash_one(std::process::id());
        let store = Arc::new(Self {
            latest: std::sync::OnceLock::new(),
            encoder: Encoder::new(contracts.clone()),
            config,
            contracts,
            clock,
            root,
            hot,
            log,
            holds,
            work,
            flush_lock: tokio::sync::Mutex::default(),
            compact_lock: tokio::sync::Mutex::default(),
            pending: Mutex::default(),
            file_serial: AtomicU64::new(0),
            searched: Mutex::default(),
            instance,
            slots: Mutex::new(slots),
            flush_wanted: Arc::default(),
            _lock: lock,
        });
        store.start_maintenance();
        Ok(store)
    }

    fn start_maintenance(self: &Arc<Self>) {
        let handle = self.work.handle();
        handle.spawn(flush_loop(Arc::downgrade(self), Arc::clone(&self.flush_wanted), self.config.flush_interval));
        if !self.config.compact_interval.is_zero() {
            handle.spawn(compact_loop(Arc::downgrade(self), self.config.compact_interval));
        }
        if !self.config.vacuum_interval.is_zero() {
            handle.spawn(vacuum_loop(Arc::downgrade(self), self.config.vacuum_interval));
        }
    }
}

/// Flushes on time and on demand until the store is gone.
async fn flush_loop(store: Weak<Store>, wanted: Arc<Notify>, interval: Duration) {
    // A store that only flushes on demand still looks up now and then, to end with it.
    let pause = if interval.is_zero() { Duration::from_secs(3_600) } else { interval };
    let mut ticks = ticks(pause).await;
    loop {
        let on_demand = tokio::select! {
            () = wanted.notified() => true,
            _ = ticks.tick() => false,
        };
        let Some(store) = store.upgrade() else { return };
        if on_demand || !interval.is_zero() {
            if let Err(error) = store.flush_now().await {
                tracing::error!(%error, "flush failed; it will be tried again");
            }
        }
    }
}

/// Ticks that do not pile up; the first comes after one interval.
async fn ticks(interval: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    ticks
}

async fn compact_loop(store: Weak<Store>, interval: Duration) {
    let mut ticks = ticks(interval).await;
    loop {
        ticks.tick().await;
        let Some(store) = store.upgrade() else { return };
        if let Err(error) = store.compact_now(crate::CompactBudget::default()).await {
            tracing::error!(%error, "compaction failed; it will be tried again");
        }
    }
}

async fn vacuum_loop(store: Weak<Store>, interval: Duration) {
    let mut ticks = ticks(interval).await;
    loop {
        ticks.tick().await;
        let Some(store) = store.upgrade() else { return };
        if let Err(error) = store.vacuum_now(store.config.vacuum_retain).await {
            tracing::error!(%error, "vacuum failed; it will be tried again");
        }
    }
}

fn lock_dir(dir: &Path) -> Result<File, LakehouseError> {
    let make = |d: &Path| std::fs::create_dir_all(d).map_err(LakehouseError::io(format!("creating {}", d.display())));
    make(&dir.join("log"))?;
    make(&dir.join("state"))?;
    sync_dir(dir).map_err(LakehouseError::io(format!("syncing {}", dir.display())))?;
    let path = dir.join("LOCK");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(LakehouseError::io(format!("opening {}", path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LakehouseError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(e)) => Err(LakehouseError::io(format!("locking {}", path.display()))(e)),
    }
}

async fn load_tables(root: Root) -> Result<Vec<Found>, LakehouseError> {
    let tables = root.tables().await?;
    let found: Vec<Option<Found>> = futures::stream::iter(tables)
        .map(|table| {
            let root = root.clone();
            async move {
                let Some(log) = DeltaLog::open(&root, &table).await? else { return Ok(None) };
                let flushed = log.flushed().await?;
                Ok::<_, LakehouseError>(Some(Found { table, log, flushed }))
            }
        })
        .buffer_unordered(OPEN_AT_ONCE)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}

/// Makes hot again what the log has and the tables lack (LH-2).
async fn replay(
    dir: std::path::PathBuf,
    hot: Arc<Hot>,
    contracts: Contracts,
    flushed: HashMap<TableRef, LogPosition>,
) -> Result<Recovered, LakehouseError> {
    blocking(move || {
        let mut waiting: Vec<(LogPosition, Vec<Pending>)> = Vec::new();
        let show = |waiting: &mut Vec<(LogPosition, Vec<Pending>)>| {
            hot.publish(waiting.iter().map(|(p, parts)| (*p, parts.as_slice())))?;
            waiting.clear();
            hot.merge()
        };
        let recovered = recover(&dir, |position, parts| {
            let missing = |p: &Pending| flushed.get(&p.table).is_none_or(|f| position > *f);
            let parts = parts.into_iter().filter(missing).map(|p| to_contract(p, &contracts)).collect::<Result<_, _>>()?;
            waiting.push((position, parts));
            if waiting.len() == RECOVER_FRAMES { show(&mut waiting) } else { Ok(()) }
        })?;
        show(&mut waiting)?;
        if recovered.torn_bytes > 0 {
            tracing::warn!(bytes = recovered.torn_bytes, "the log ended in a frame that was never acknowledged; it was cut off");
        }
        Ok(recovered)
    })
    .await
}

/// Rows logged under an older contract get the columns of today's.
fn to_contract(part: Pending, contracts: &Contracts) -> Result<Pending, LakehouseError> {
    match contracts.pending_schema(&part.table) {
        Some(schema) if part.rows.schema_ref() != &schema => Pending::new(part.table, adapt(&part.rows, &schema)?, part.bytes),
        _ => Ok(part),
    }
}
