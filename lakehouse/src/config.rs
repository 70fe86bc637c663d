//! Settings of the lakehouse, with their defaults and limits.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// Where tables are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ObjectStoreConfig {
    /// `<data_dir>/tables`.
    #[default]
    Local,
    /// An `s3://bucket/prefix` URL with the options of `object_store` (`aws_access_key_id`, `aws_endpoint`, ...).
    /// The store must honour conditional writes: commits rest on them.
    S3 { url: String, options: BTreeMap<String, String> },
}

/// Settings of one lakehouse. Times are real time, sizes are bytes.
#[derive(Debug, Clone)]
pub struct LakehouseConfig {
    /// Holds `log/`, `state/`, `LOCK` and, by default, `tables/`.
    pub data_dir: PathBuf,
    pub object_store: ObjectStoreConfig,
    /// The city's own tenant: it exists before its first row, and an administrator's table without a schema is looked up in it.
    pub home: Option<schemas::Tenant>,
    /// Tables that exist, though empty, before their first row.
    pub tables: Vec<schemas::TableRef>,
    /// Hot rows are flushed at least this often. Zero: only on request, on size and at shutdown.
    pub flush_interval: Duration,
    /// Hot rows are flushed when they take this much memory.
    pub hot_bytes_max: usize,
    /// Appends wait when hot rows take this much memory, until a flush frees some.
    pub hot_bytes_hard_max: usize,
    /// Frames and bytes that may wait for the log writer before `append` waits.
    pub queue_frames_max: usize,
    pub queue_bytes_max: usize,
    /// A new log segment is begun when one reaches this size.
    pub segment_bytes: u64,
    /// Frames that wait for a subscriber before the log writer waits.
    pub subscriber_frames_max: usize,
    /// Compaction runs this often. Zero: only on request.
    pub compact_interval: Duration,
    /// Vacuum runs this often. Zero: only on request.
    pub vacuum_interval: Duration,
    /// How long vacuum keeps files that only old versions name. `VERSION AS OF` reaches back as far, and further where held.
    pub vacuum_retain: Duration,
    /// Compaction aims at files of this size.
    pub compact_target_bytes: u64,
    /// A date with more small files than this is compacted.
    pub compact_files_min: usize,
    /// Rows of one Parquet row group.
    pub row_group_rows: usize,
    /// A Delta checkpoint is written every so many commits.
    pub checkpoint_commits: u64,
    /// Fails log writes in tests; absent in production.
    pub log_fault: Option<crate::log::LogFault>,
}

impl LakehouseConfig {
    /// The defaults, in `data_dir`.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            object_store: ObjectStoreConfig::Local,
            home: None,
            tables: Vec::new(),
            flush_interval: Duration::from_secs(60),
            hot_bytes_max: 128 << 20,
            hot_bytes_hard_max: 512 << 20,
            queue_frames_max: 1_024,
            queue_bytes_max: 64 << 20,
            segment_bytes: 64 << 20,
            subscriber_frames_max: 256,
            compact_interval: Duration::from_secs(300),
            vacuum_interval: Duration::from_secs(3_600),
            vacuum_retain: Duration::from_secs(7 * 86_400),
            compact_target_bytes: 128 << 20,
            compact_files_min: 4,
            row_group_rows: 256 << 10,
            checkpoint_commits: 50,
            log_fault: None,
        }
    }
}
