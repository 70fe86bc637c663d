//! The handle that the rest of the binary holds.

use crate::{
    BackupReport, CompactBudget, CompactReport, LakehouseConfig, LakehouseError, StoreStats, Subscription, Tail, Ticket, VacuumReport,
    VersionInfo, Views, query::Engine, state::Hold, store::Store,
};
use arrow_array::RecordBatch;
use schemas::{Clock, Contracts, Frame, LogPosition, TableRef, Timestamp};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// The lakehouse: appends, flushes, and answers SQL. Cheap to clone. Dropping the last handle writes what is queued and
/// ends the threads; [`Lakehouse::close`] also flushes.
#[derive(Debug, Clone)]
pub struct Lakehouse {
    pub(crate) store: Arc<Store>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) contracts: Contracts,
}

impl Lakehouse {
    /// Opens a data directory, creating it when new, and recovers the log.
    ///
    /// # Errors
    /// `Locked` when another process has it, `Corrupt` when the log cannot be read, `Config`, `Io`, `Delta`.
    pub async fn open(config: LakehouseConfig, contracts: Contracts, clock: Arc<dyn Clock>) -> Result<Self, LakehouseError> {
        let store = Store::open(config, contracts.clone(), clock).await?;
        Ok(Self { store, engine: Arc::new(Engine::new()?), contracts })
    }

    /// Queues a frame: order of calls is order of the log. Waits only for space.
    ///
    /// # Errors
    /// `Frame` when rows do not fit their contract or the frame is too large, `Closed` when stopping.
    pub async fn append(&self, frame: Frame) -> Result<Ticket, LakehouseError> {
        self.store.append(frame).await
    }

    /// Every frame from now on, in log order, once it is durable and visible.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.store.subscribe()
    }

    /// Says who answers for the tables of newest rows; the first call counts.
    pub fn serve_latest(&self, rows: Arc<dyn crate::LatestRows>) {
        self.store.latest.set(rows).ok();
    }

    /// Position of the last visible frame; 0 when there is none.
    #[must_use]
    pub fn position(&self) -> LogPosition {
        self.store.position()
    }

    /// Every row after a position, and the position up to which that is complete.
    #[must_use]
    pub fn tail(&self, after: LogPosition) -> (LogPosition, Tail) {
        self.store.tail(after)
    }

    /// One consistent view of all tables (LH-1).
    #[must_use]
    pub fn pin(&self) -> Arc<Views> {
        self.store.pin()
    }

    /// Rows of a table and date: `entity_id`, `observed_at`, `quality` and the contract's fields.
    pub async fn stored_rows(&self, table: &TableRef, date: i32) -> Result<Vec<RecordBatch>, LakehouseError> {
        self.store.stored_rows(table, date).await
    }

    /// The newest `observed_at` of a table; `None` when it has no row.
    #[must_use]
    pub fn newest(&self, table: &TableRef) -> Option<Timestamp> {
        self.store.newest(table)
    }

    /// Puts hot rows into files; returns the position up to which every table is in files.
    pub async fn flush(&self) -> Result<LogPosition, LakehouseError> {
        self.store.flush().await
    }

    /// Merges small files, within a budget.
    pub async fn compact(&self, budget: CompactBudget) -> Result<CompactReport, LakehouseError> {
        self.store.compact(budget).await
    }

    /// Deletes files that no version of the last `retain`, no hold and no running query needs.
    pub async fn vacuum(&self, retain: Duration) -> Result<VacuumReport, LakehouseError> {
        self.store.vacuum(retain).await
    }

    /// Keeps a version of a table readable until `owner` releases it.
    pub async fn hold(&self, table: &TableRef, version: i64, owner: &str) -> Result<(), LakehouseError> {
        self.store.hold(table, version, owner).await
    }

    /// Gives up all that `owner` holds.
    pub fn release(&self, owner: &str) -> Result<(), LakehouseError> {
        self.store.release(owner)
    }

    #[must_use]
    pub fn holds(&self) -> Vec<Hold> {
        self.store.holds()
    }

    /// Writes a Delta checkpoint of every table.
    pub async fn checkpoint(&self) -> Result<(), LakehouseError> {
        self.store.checkpoint().await
    }

    /// Copies tables, state and log to an empty or new directory while running. To restore, copy it back (or start on it).
    pub async fn backup(&self, dest: impl Into<PathBuf>) -> Result<BackupReport, LakehouseError> {
        self.store.backup(dest.into()).await
    }

    #[must_use]
    pub fn stats(&self) -> StoreStats {
        self.store.stats()
    }

    /// All tables that exist, also empty ones, in order.
    #[must_use]
    pub fn tables(&self) -> Vec<TableRef> {
        let mut out: Vec<_> = self.pin().keys().cloned().collect();
        out.sort_unstable();
        out
    }

    /// Commits of a table, newest first.
    pub async fn history(&self, table: &TableRef) -> Result<Vec<VersionInfo>, LakehouseError> {
        self.store.history(table, None).await
    }

    /// Writes what is queued, flushes, and refuses appends from then on.
    pub async fn close(&self) -> Result<(), LakehouseError> {
        self.store.close().await
    }
}
