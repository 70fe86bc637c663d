//! The table log under everything: write-ahead log, hot rows, Delta tables, and SQL over one consistent view of them.
//!
//! A [`Frame`](schemas::Frame) is appended to the local log (one `fdatasync` for a group of frames), becomes hot rows that
//! queries see at once, and is flushed to one Delta table per data product with its log position as the application
//! transaction. [`Lakehouse::pin`] gives every row exactly once (LH-1), whatever flush and compaction do meanwhile.

mod auth;
mod backup;
mod columns;
mod compact;
mod config;
mod delta;
mod door;
mod erase;
mod error;
mod flight;
mod flush;
mod hot;
mod lakehouse;
mod log;
mod merge;
mod parquet_file;
mod postgres;
mod query;
mod read;
mod retention;
mod root;
mod sort;
mod state;
mod store;
#[cfg(test)]
mod testing;
mod vacuum;
mod view;
mod work;

pub use auth::SqlAuth;
pub use backup::BackupReport;
pub use compact::{CompactBudget, CompactReport};
pub use config::{LakehouseConfig, ObjectStoreConfig};
pub use door::DoorConfig;
pub use erase::Erase;
pub use error::LakehouseError;
pub use lakehouse::Lakehouse;
pub use log::{LogFault, LogStep, Ticket};
pub use query::*;
pub use read::Tail;
pub use retention::{Expired, Removed};
pub use state::Hold;
pub use store::{StoreStats, Subscription, TableStats};
pub use vacuum::VacuumReport;
pub use view::{DataFile, FileStats, LATEST, LatestRows, Range, TableView, VersionInfo, Views};
