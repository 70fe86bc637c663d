//! What one row changed, for the event stream.

use schemas::{Position, TableRef, Timestamp, Value};
use std::sync::Arc;

/// One row that won for at least one attribute, or moved its entity.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub table: TableRef,
    /// URN of the entity.
    pub id: Arc<str>,
    pub observed_at: Timestamp,
    /// Where the entity is now; `None` when no row ever said.
    pub place: Option<Position>,
    /// Attribute and value, in the order of the contract; only those that won. Invalid figures are left out.
    pub values: Vec<(Arc<str>, Value)>,
}
