//! What queries see: an immutable picture of a table, files of one Delta version plus the hot rows that are not in them.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use hashbrown::HashMap;
use object_store::{ObjectStore, path::Path};
use schemas::TableRef;
use std::sync::Arc;

/// All tables at one instant.
pub type Views = HashMap<TableRef, Arc<TableView>>;

/// One immutable view of one table: every row exactly once (LH-1).
#[derive(Debug, Clone)]
pub struct TableView {
    pub table: TableRef,
    /// The stored schema: pending columns, fields, `position`, `date`. A file may lack late columns (schema evolution)
    /// and never holds `date`, which is its partition.
    pub schema: SchemaRef,
    /// Delta version of `files`; -1 when the table has no commit yet.
    pub version: i64,
    /// Live files, ordered by date, then by path.
    pub files: Arc<Vec<DataFile>>,
    /// Rows that are in the log and in no file, in log order, with the stored schema.
    pub hot: Arc<Vec<RecordBatch>>,
    /// The store that `files` are in.
    pub object_store: Arc<dyn ObjectStore>,
}

impl TableView {
    /// Rows of the view, hot and committed.
    #[must_use]
    pub fn row_count(&self) -> u64 {
        self.files.iter().map(|f| f.rows).sum::<u64>() + self.hot.iter().map(|b| b.num_rows() as u64).sum::<u64>()
    }
}

/// Who knows the newest row of every entity; makes the tables `<product>_latest` (suffix [`LATEST`]).
pub trait LatestRows: Send + Sync + 'static {
    /// One row per entity of the table, with its stored schema; `None` when nothing is known of it.
    fn rows(&self, table: &TableRef) -> Option<RecordBatch>;
}

/// What the name of a product is followed by in the name of its table of newest rows.
pub const LATEST: &str = "_latest";

/// One live Parquet file of one date.
#[derive(Debug, Clone, PartialEq)]
pub struct DataFile {
    /// Full path from the root of the object store.
    pub path: Path,
    pub size: u64,
    pub rows: u64,
    /// Days since 1970-01-01 UTC: the partition value.
    pub date: i32,
    pub stats: FileStats,
    /// When the file was written, milliseconds since the epoch.
    pub modified_ms: i64,
}

/// Smallest and largest value of a column in a file; `None` when unknown or when every value is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range<T> {
    pub min: T,
    pub max: T,
}

/// Statistics that prune files. A range is never narrower than the data (LH-3); `None` says nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FileStats {
    pub h3: Option<Range<i64>>,
    /// UTC microseconds, as are all times here.
    pub observed_at: Option<Range<i64>>,
    pub received_at: Option<Range<i64>>,
    pub position: Option<Range<i64>>,
    /// May be cut short: `min` a prefix, `max` at least as large as every value.
    pub entity_id: Option<Range<Arc<str>>>,
    /// Rows whose `h3` is null; `None` when unknown.
    pub h3_nulls: Option<u64>,
}

/// One commit of a table.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct VersionInfo {
    pub version: i64,
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// `flush`, `compact`, `create`, ... as Delta's `commitInfo.operation` says.
    pub operation: String,
    pub rows_added: u64,
    pub files_added: u64,
    pub files_removed: u64,
    /// What a removal took away.
    pub removed: Vec<crate::Removed>,
}
