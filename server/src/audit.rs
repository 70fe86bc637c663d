//! Who did what, as rows of `ops.audit` through the same log.

use api::city::AuditEvent;
use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use lakehouse::Lakehouse;
use schemas::{Clock, Frame, Part, ops::OpsTable};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Events that may wait for the log; more are counted and dropped, because no request may wait for its own note.
const QUEUE_MAX: usize = 10_000;
const BATCH_MAX: usize = 1_000;

/// Takes notes without waiting.
#[derive(Debug, Clone)]
pub struct Audit {
    queue: mpsc::Sender<(i64, AuditEvent)>,
    clock: Arc<dyn Clock>,
}

impl Audit {
    /// Starts the writer, which ends when the last `Audit` is dropped.
    #[must_use]
    pub fn start(lakehouse: Lakehouse, clock: Arc<dyn Clock>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(write(lakehouse, waiting));
        Self { queue, clock }
    }

    pub fn note(&self, event: &AuditEvent) {
        if self.queue.try_send((self.clock.now().0, event.clone())).is_err() {
            tracing::warn!(
                actor = event.actor,
                action = event.action,
                object = event.object,
                outcome = event.outcome,
                "audit queue is full, noted here only"
            );
        }
    }
}

async fn write(lakehouse: Lakehouse, mut waiting: mpsc::Receiver<(i64, AuditEvent)>) {
    let mut events = Vec::with_capacity(BATCH_MAX);
    while waiting.recv_many(&mut events, BATCH_MAX).await > 0 {
        let part = Part { table: OpsTable::Audit.table(), rows: rows(&events) };
        let frame = Frame { parts: vec![part], ledger: Vec::new() };
        let written = match lakehouse.append(frame).await {
            Ok(ticket) => ticket.await.map(|_| ()),
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tracing::error!(%error, events = events.len(), "audit events could not be written");
        }
        events.clear();
    }
}

fn rows(events: &[(i64, AuditEvent)]) -> RecordBatch {
    let text = |get: fn(&AuditEvent) -> &str| -> ArrayRef { Arc::new(events.iter().map(|e| Some(get(&e.1))).collect::<StringArray>()) };
    let none: ArrayRef = Arc::new(events.iter().map(|_| None::<&str>).collect::<StringArray>());
    let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(events.iter().map(|e| e.0)).with_timezone("UTC"));
    let columns = vec![at, text(|_| "ops"), text(|e| &e.actor), text(|e| e.action), text(|e| &e.object), text(|e| e.outcome), none];
    RecordBatch::try_new(OpsTable::Audit.pending_schema(), columns).expect("the columns are those of ops.audit, in order")
}
