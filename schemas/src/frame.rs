//! The unit of durability: everything that one group of messages caused, written and acknowledged together.

use crate::{LedgerDelta, TableRef};
use arrow_array::RecordBatch;

/// A place in the log: 1 is the first frame ever written. Strictly increasing, without gaps.
pub type LogPosition = u64;

/// Rows for one table. The schema is [`crate::row::pending_schema`] of the table's contract:
/// the columns of the table without `position` and `date`, which the lakehouse stamps.
#[derive(Debug, Clone)]
pub struct Part {
    pub table: TableRef,
    pub rows: RecordBatch,
}

/// Rows, quarantined messages (rows of `ops.quarantine`) and ledger deltas of one group of messages.
/// Either all of it is durable or none is: that is what makes ING-2 hold after a kill.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    pub parts: Vec<Part>,
    pub ledger: Vec<LedgerDelta>,
}

impl Frame {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.ledger.is_empty()
    }

    #[must_use]
    pub fn row_count(&self) -> usize {
        self.parts.iter().map(|p| p.rows.num_rows()).sum()
    }
}
