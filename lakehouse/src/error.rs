//! What can go wrong in the lakehouse.

use schemas::{Classified, Kind, TableRef};
use std::{path::PathBuf, sync::Arc};

/// Errors of the lakehouse. Cloned to every ticket of a failed group, hence the `Arc`s.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LakehouseError {
    /// Stored bytes are not what was written.
    #[error("{file} is corrupt at byte {offset}: {rule}; restore it from a backup, or move it away to go on without its rows", file = file.display())]
    Corrupt { file: PathBuf, offset: u64, rule: String },
    /// Another process has the directory.
    #[error("data directory {dir} is in use by another process; stop it or set another data_dir", dir = dir.display())]
    Locked { dir: PathBuf },
    /// The disk refused.
    #[error("{doing} failed: {source}")]
    Io { doing: String, source: Arc<std::io::Error> },
    /// The object store refused.
    #[error("object store: {doing} failed: {source}")]
    ObjectStore { doing: String, source: Arc<object_store::Error> },
    /// The table format refused.
    #[error("table {table}: {doing} failed: {source}")]
    Delta { table: TableRef, doing: &'static str, source: Arc<deltalake_core::DeltaTableError> },
    #[error("parquet: {doing} failed: {source}")]
    Parquet { doing: String, source: Arc<parquet::errors::ParquetError> },
    #[error("arrow: {0}")]
    Arrow(Arc<arrow_schema::ArrowError>),
    /// A frame that the log must not take.
    #[error("frame refused: {0}")]
    Frame(String),
    #[error("setting {name}: {rule}")]
    Config { name: &'static str, rule: String },
    #[error("{what} '{name}' does not exist{hint}")]
    NotFound { what: &'static str, name: String, hint: String },
    /// The log has been closed.
    #[error("the lakehouse is stopping")]
    Closed,
    /// A statement that cannot be understood. `line` and `column` count from 1.
    #[error("{message}")]
    Sql { message: String, line: Option<u64>, column: Option<u64>, hint: Option<String> },
    /// The statement does what this door does not allow.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// A declared limit: rows, bytes, time.
    #[error("limit reached: {0}")]
    Limit(String),
    #[error("cancelled")]
    Cancelled,
    /// A defect of ours.
    #[error("internal error: {0}")]
    Internal(String),
}

impl LakehouseError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |e| Self::Io { doing, source: Arc::new(e) }
    }

    pub(crate) fn store(doing: impl Into<String>) -> impl FnOnce(object_store::Error) -> Self {
        let doing = doing.into();
        move |e| Self::ObjectStore { doing, source: Arc::new(e) }
    }

    pub(crate) fn delta<E: Into<deltalake_core::DeltaTableError>>(table: &TableRef, doing: &'static str) -> impl FnOnce(E) -> Self {
        let table = table.clone();
        move |e| Self::Delta { table, doing, source: Arc::new(e.into()) }
    }

    pub(crate) fn parquet(doing: impl Into<String>) -> impl FnOnce(parquet::errors::ParquetError) -> Self {
        let doing = doing.into();
        move |e| Self::Parquet { doing, source: Arc::new(e) }
    }

    pub(crate) fn no_table(table: &TableRef) -> Self {
        Self::NotFound { what: "table", name: table.to_string(), hint: String::new() }
    }
}

impl From<arrow_schema::ArrowError> for LakehouseError {
    fn from(e: arrow_schema::ArrowError) -> Self {
        Self::Arrow(Arc::new(e))
    }
}

impl Classified for LakehouseError {
    fn kind(&self) -> Kind {
        match self {
            Self::Corrupt { .. } => Kind::Corrupt,
            Self::Locked { .. } => Kind::Conflict,
            Self::Io { .. } | Self::ObjectStore { .. } | Self::Closed => Kind::Unavailable,
            Self::Delta { .. } | Self::Parquet { .. } | Self::Arrow(_) | Self::Internal(_) => Kind::Internal,
            Self::Frame(_) | Self::Config { .. } | Self::Sql { .. } => Kind::Invalid,
            Self::NotFound { .. } => Kind::NotFound,
            Self::Forbidden(_) => Kind::Forbidden,
            Self::Limit(_) => Kind::Limit,
            Self::Cancelled => Kind::Cancelled,
        }
    }
}
