//! Figures of the store, for metrics and the status page.

use super::Store;
use schemas::{LogPosition, TableRef};
use std::sync::atomic::Ordering;

/// Figures of one table.
#[derive(Debug, Clone, serde::Serialize)]
pub struct TableStats {
    pub table: TableRef,
    /// Delta version, -1 before the first flush.
    pub version: i64,
    pub files: usize,
    pub bytes: u64,
    /// Rows in files, and rows that are only hot.
    pub rows: u64,
    pub hot_rows: u64,
}

/// Figures of the store since it was opened.
#[derive(Debug, Clone, serde::Serialize)]
pub struct StoreStats {
    pub position: LogPosition,
    /// Every frame up to here is in files.
    pub flushed: LogPosition,
    pub hot_bytes: usize,
    pub log_segments: usize,
    pub log_frames: u64,
    pub log_bytes: u64,
    pub log_syncs: u64,
    /// Time spent in syncs, in total and the longest, in microseconds.
    pub log_sync_micros: u64,
    pub log_sync_micros_max: u64,
    /// Groups that could not be written; nothing of them was acknowledged.
    pub log_errors: u64,
    pub tables: Vec<TableStats>,
}

impl Store {
    #[must_use]
    pub(crate) fn stats(&self) -> StoreStats {
        let counters = &self.log.shared.counters;
        let get = |c: &std::sync::atomic::AtomicU64| c.load(Ordering::Relaxed);
        let (views, position) = self.hot.pin_at();
        let mut tables: Vec<TableStats> = views
            .values()
            .map(|v| TableStats {
                table: v.table.clone(),
                version: v.version,
                files: v.files.len(),
                bytes: v.files.iter().map(|f| f.size).sum(),
                rows: v.files.iter().map(|f| f.rows).sum(),
                hot_rows: v.hot.iter().map(|b| b.num_rows() as u64).sum(),
            })
            .collect();
        tables.sort_unstable_by(|a, b| a.table.cmp(&b.table));
        StoreStats {
            position,
            flushed: self.hot.flushed(),
            hot_bytes: self.hot.bytes(),
            log_segments: self.log.shared.segments.lock().len(),
            log_frames: get(&counters.frames),
            log_bytes: get(&counters.bytes),
            log_syncs: get(&counters.syncs),
            log_sync_micros: get(&counters.sync_micros),
            log_sync_micros_max: get(&counters.sync_micros_max),
            log_errors: get(&counters.errors),
            tables,
        }
    }
}
