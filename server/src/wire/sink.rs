//! The lakehouse as the sink of ingest.

use arrow_array::RecordBatch;
use futures::{FutureExt as _, future::BoxFuture};
use ingest::{Sink, SinkError, sink::Durability};
use lakehouse::{Lakehouse, LakehouseError};
use schemas::{Classified as _, Frame, TableRef, Timestamp};

/// Frames go to the log; identities of stored rows come from the tables.
#[derive(Debug, Clone)]
pub struct LakeSink(pub Lakehouse);

fn refused(error: &LakehouseError) -> SinkError {
    SinkError::new(error.kind(), error.to_string())
}

impl Sink for LakeSink {
    fn submit(&self, frame: Frame) -> BoxFuture<'_, Result<Durability, SinkError>> {
        Box::pin(async move {
            let ticket = self.0.append(frame).await.map_err(|e| refused(&e))?;
            Ok(ticket.map(|done| done.map_err(|e| refused(&e))).boxed())
        })
    }

    fn stored_rows(&self, table: &TableRef, date: i32) -> BoxFuture<'_, Result<Vec<RecordBatch>, SinkError>> {
        let table = table.clone();
        Box::pin(async move { self.0.stored_rows(&table, date).await.map_err(|e| refused(&e)) })
    }

    fn newest(&self, table: &TableRef) -> BoxFuture<'_, Result<Option<Timestamp>, SinkError>> {
        std::future::ready(Ok(self.0.newest(table))).boxed()
    }
}
