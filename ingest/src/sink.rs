//! Where the pipeline puts frames. Implemented by the server over the lakehouse, and in memory by tests.

use crate::SinkError;
use arrow_array::RecordBatch;
use futures::future::BoxFuture;
use schemas::{Frame, LogPosition, TableRef, Timestamp};

/// Resolves when the frame is durable and visible to queries.
pub type Durability = BoxFuture<'static, Result<LogPosition, SinkError>>;

/// The log behind the pipeline.
pub trait Sink: Send + Sync + 'static {
    /// Queues the frame in order (order of calls is order in the log). May wait for room before returning the future.
    fn submit(&self, frame: Frame) -> BoxFuture<'_, Result<Durability, SinkError>>;

    /// Every row of one table and UTC date (days since 1970) that is durable now, hot and committed.
    /// Columns, found by name: `entity_id`, `observed_at`, `quality` and all fields of the contract,
    /// with the types of `schemas::row::pending_schema` (plain `Utf8`, not a view or a dictionary).
    fn stored_rows(&self, table: &TableRef, date: i32) -> BoxFuture<'_, Result<Vec<RecordBatch>, SinkError>>;

    /// Newest `observed_at` of the table, hot and committed; `None` when it is empty.
    fn newest(&self, table: &TableRef) -> BoxFuture<'_, Result<Option<Timestamp>, SinkError>>;
}
