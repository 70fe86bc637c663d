//! The store: log, hot rows and tables as one thing that appends, pins, flushes and recovers.

mod open;
mod stats;

pub use stats::{StoreStats, TableStats};

use crate::{
    DataFile, LakehouseConfig, LakehouseError, TableView, Ticket, VersionInfo, Views,
    delta::{Change, DeltaLog, NewFile},
    hot::Hot,
    log::{codec::Encoder, writer::Log},
    root::Root,
    state::Holds,
    work::Work,
};
use arrow_schema::SchemaRef;
use hashbrown::{HashMap, HashSet};
use object_store::path::Path;
use parking_lot::Mutex;
use schemas::{Clock, Contracts, Frame, LogPosition, TableRef};
use std::{
    fs::File,
    sync::{Arc, atomic::AtomicU64},
};
use tokio::sync::{Notify, mpsc};

/// A table's Delta log, opened on first need. The lock orders its commits.
pub(crate) type Slot = Arc<tokio::sync::Mutex<Option<DeltaLog>>>;

/// Every frame after `after`, in log order. Frames up to `after` are in the views already.
#[derive(Debug)]
pub struct Subscription {
    pub after: LogPosition,
    pub(crate) frames: mpsc::Receiver<(LogPosition, Arc<Frame>)>,
}

impl Subscription {
    /// The next frame; `None` when the lakehouse has closed. Read promptly: the log waits for its subscribers.
    pub async fn next(&mut self) -> Option<(LogPosition, Arc<Frame>)> {
        self.frames.recv().await
    }

    /// The same for a thread outside the async runtime.
    pub fn next_blocking(&mut self) -> Option<(LogPosition, Arc<Frame>)> {
        self.frames.blocking_recv()
    }
}

/// Log, hot rows and tables. Shared as an `Arc`.
pub(crate) struct Store {
    pub(crate) config: LakehouseConfig,
    pub(crate) contracts: Contracts,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) root: Root,
    pub(crate) hot: Arc<Hot>,
    pub(crate) log: Log,
    pub(crate) holds: Holds,
    pub(crate) work: Work,
    pub(crate) flush_lock: tokio::sync::Mutex<()>,
    pub(crate) compact_lock: tokio::sync::Mutex<()>,
    /// Files that are stored and not committed yet: vacuum spares them.
    pub(crate) pending: Mutex<HashSet<Path>>,
    pub(crate) file_serial: AtomicU64,
    /// Files that were searched for rows of an entity and hold none.
    pub(crate) searched: Mutex<HashSet<(Path, Arc<str>)>>,
    /// Random: tells the files of this process from those of others on the same object store.
    pub(crate) instance: u64,
    pub(crate) latest: std::sync::OnceLock<Arc<dyn crate::LatestRows>>,
    encoder: Encoder,
    slots: Mutex<HashMap<TableRef, Slot>>,
    flush_wanted: Arc<Notify>,
    /// Held as long as the store lives.
    _lock: File,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("data_dir", &self.config.data_dir).finish_non_exhaustive()
    }
}

impl Store {
    /// The tenant that exists before its first row, and that a table without a schema belongs to.
    pub(crate) fn home(&self) -> Option<&str> {
        self.config.home.as_ref().map(schemas::Tenant::as_str)
    }

    /// One consistent view of all tables: a frame is in all of them or in none (LH-1).
    #[must_use]
    pub(crate) fn pin(&self) -> Arc<Views> {
        self.hot.views()
    }

    /// Queues a frame: order of calls is order of the log. Waits for queue space, and for memory when flushing lags.
    ///
    /// # Errors
    /// [`LakehouseError::Frame`] when rows do not fit their contract or the frame is too large; `Closed` when stopping.
    pub(crate) async fn append(&self, frame: Frame) -> Result<Ticket, LakehouseError> {
        let encoded = self.encoder.encode(frame)?;
        if self.hot.bytes() >= self.config.hot_bytes_max {
            self.flush_wanted.notify_one();
            self.hot.below(self.config.hot_bytes_hard_max).await;
        }
        self.log.append(encoded).await
    }

    /// Every frame from now on, in order, after it is durable and visible.
    #[must_use]
    pub(crate) fn subscribe(&self) -> Subscription {
        self.log.subscribe()
    }

    /// Position of the last visible frame; 0 when there is none.
    #[must_use]
    pub(crate) fn position(&self) -> LogPosition {
        self.hot.published()
    }

    /// See [`crate::Lakehouse::flush`].
    pub(crate) async fn flush(self: &Arc<Self>) -> Result<LogPosition, LakehouseError> {
        let store = Arc::clone(self);
        self.work.run(async move { store.flush_now().await }).await
    }

    /// The files of an old Delta version, without hot rows.
    pub(crate) async fn view_at(self: &Arc<Self>, table: &TableRef, version: i64) -> Result<Arc<TableView>, LakehouseError> {
        let (store, table) = (Arc::clone(self), table.clone());
        self.work.run(async move { store.load_version(&table, version).await }).await
    }

    async fn load_version(&self, table: &TableRef, version: i64) -> Result<Arc<TableView>, LakehouseError> {
        let slot = self.slot(table);
        let slot = slot.lock().await;
        let log = slot.as_ref().ok_or_else(|| LakehouseError::no_table(table))?;
        let old = log.at_version(version).await?;
        let files = Arc::new(old.files().to_vec());
        self.hot.remember(table, &files);
        Ok(Arc::new(TableView {
            table: table.clone(),
            schema: self.contracts.stored_schema(table).unwrap_or_else(|| old.schema()),
            version,
            files,
            hot: Arc::default(),
            object_store: Arc::clone(&self.root.store),
        }))
    }

    /// Commits of a table, newest first; empty before its first flush.
    pub(crate) async fn history(
        self: &Arc<Self>,
        table: &TableRef,
        commits_max: Option<usize>,
    ) -> Result<Vec<VersionInfo>, LakehouseError> {
        if !self.pin().contains_key(table) {
            return Err(LakehouseError::no_table(table));
        }
        let slot = self.slot(table);
        self.work
            .run(async move {
                match slot.lock().await.as_ref() {
                    Some(log) => log.history(commits_max).await,
                    None => Ok(Vec::new()),
                }
            })
            .await
    }

    /// Writes a Delta checkpoint of every table.
    pub(crate) async fn checkpoint(self: &Arc<Self>) -> Result<(), LakehouseError> {
        let slots: Vec<Slot> = self.slots.lock().values().cloned().collect();
        let root = self.root.clone();
        self.work
            .run(async move {
                for slot in slots {
                    if let Some(log) = slot.lock().await.as_ref() {
                        log.checkpoint(&root).await?;
                    }
                }
                Ok(())
            })
            .await
    }

    /// Flushes, then ends the log. Appends after this fail; queries still work.
    pub(crate) async fn close(self: &Arc<Self>) -> Result<(), LakehouseError> {
        let store = Arc::clone(self);
        self.work
            .run(async move {
                let log = Arc::clone(&store);
                // What is queued is written and acknowledged before the last flush.
                crate::work::blocking(move || {
                    log.log.close();
                    Ok(())
                })
                .await?;
                store.flush_now().await.map(|_| ())
            })
            .await
    }

    pub(crate) fn slot(&self, table: &TableRef) -> Slot {
        Arc::clone(self.slots.lock().entry(table.clone()).or_default())
    }

    /// Opens the table's log, or creates it. A log that has to be read again (its last commit failed halfway)
    /// may hold a version that the views lack: they catch up here.
    pub(crate) async fn open_slot(&self, slot: &mut Option<DeltaLog>, table: &TableRef, stored: &SchemaRef) -> Result<(), LakehouseError> {
        if slot.is_none() {
            let log = match DeltaLog::open(&self.root, table).await? {
                Some(log) => log,
                None => DeltaLog::create(&self.root, table, stored, &self.config).await?,
            };
            self.hot.replace_files(table, log.version(), log.files().to_vec(), log.flushed().await?);
            *slot = Some(log);
        }
        Ok(())
    }

    /// One commit, shown to readers in the same breath. After a failure the log is read again before the next.
    pub(crate) async fn commit(
        &self,
        table: &TableRef,
        change: Change,
        (adds, removes): (&[NewFile], &[DataFile]),
    ) -> Result<i64, LakehouseError> {
        let view = self.pin().get(table).cloned().ok_or_else(|| LakehouseError::no_table(table))?;
        let now_ms = self.clock.now().micros() / 1_000;
        let slot = self.slot(table);
        let mut slot = slot.lock().await;
        let log = slot.as_mut().ok_or_else(|| LakehouseError::Internal(format!("table {table} is not open")))?;
        let missing = {
            let live: HashSet<&Path> = log.files().iter().map(|f| &f.path).collect();
            removes.iter().any(|r| !live.contains(&r.path))
        };
        if missing {
            return Err(LakehouseError::Internal(format!("table {table}: a file to replace is gone")));
        }
        match log.commit(&self.root, &change, (adds, removes), &view.schema, now_ms).await {
            Ok(version) => {
                let flushed = if let Change::Flush(position) = change { position } else { 0 };
                self.hot.replace_files(table, version, log.files().to_vec(), flushed);
                Ok(version)
            }
            Err(error) => {
                *slot = None;
                Err(error)
            }
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.log.close();
    }
}

#[cfg(test)]
mod tests;
