//! Rows of `ops.quarantine`: what could not become a row, with the reason, so that it can be repaired and sent again.

use crate::{IngestError, Publisher};
use arrow_array::builder::{BinaryBuilder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use schemas::{Part, Timestamp, invariant, ops::OpsTable};
use std::sync::Arc;

/// One quarantined piece of input.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    pub topic: &'a str,
    pub product: Option<&'a str>,
    pub reason: &'a str,
    pub field: Option<&'a str>,
    pub message: &'a str,
    pub payload: &'a [u8],
    /// The payload may hold personal data and was left out (GOV-1); the message says so.
    pub private: bool,
}

/// Columns in the order of `OpsTable::Quarantine.pending_schema()`.
#[derive(Debug)]
pub struct QuarantineRows {
    payload_bytes_max: usize,
    at: TimestampMicrosecondBuilder,
    /// tenant, source, topic, product, reason, field, message
    texts: [StringBuilder; 7],
    payload: BinaryBuilder,
    len: usize,
}

impl QuarantineRows {
    #[must_use]
    pub fn new(payload_bytes_max: usize) -> Self {
        Self {
            payload_bytes_max,
            at: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            texts: std::array::from_fn(|_| StringBuilder::new()),
            payload: BinaryBuilder::new(),
            len: 0,
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A payload over the limit is cut, and the message says so.
    pub fn push(&mut self, publisher: &Publisher, received_at: Timestamp, entry: &Entry<'_>) {
        let kept = entry.payload.len().min(self.payload_bytes_max);
        let mut message = entry.message.to_owned();
        if kept < entry.payload.len() {
            message.push_str(&format!(" (payload cut to {kept} of {} bytes)", entry.payload.len()));
        }
        if entry.private {
            schemas::check!(invariant::Id::Gov1, entry.payload.is_empty(), "a private payload came to the quarantine");
            message.push_str(" (the payload is not kept: it may hold personal data)");
        }
        self.at.append_value(received_at.0);
        let values = [
            Some(publisher.tenant.as_str()),
            Some(publisher.source.as_str()),
            Some(entry.topic),
            entry.product,
            Some(entry.reason),
            entry.field,
            Some(message.as_str()),
        ];
        for (column, value) in self.texts.iter_mut().zip(values) {
            column.append_option(value);
        }
        self.payload.append_value(&entry.payload[..kept]);
        self.len += 1;
    }

    /// The rows as a part of a frame; `None` when there are none.
    pub fn finish(mut self) -> Result<Option<Part>, IngestError> {
        if self.len == 0 {
            return Ok(None);
        }
        let mut columns: Vec<ArrayRef> = vec![Arc::new(self.at.finish())];
        columns.extend(self.texts.iter_mut().map(|t| Arc::new(t.finish()) as ArrayRef));
        columns.push(Arc::new(self.payload.finish()));
        let rows = RecordBatch::try_new(OpsTable::Quarantine.pending_schema(), columns)
            .map_err(|e| IngestError::Internal(format!("quarantine rows do not fit their schema: {e}")))?;
        Ok(Some(Part { table: OpsTable::Quarantine.table(), rows }))
    }
}
