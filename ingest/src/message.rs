//! What the doors hand to the pipeline, and what they get back.

use crate::{IngestError, TopicFilter};
use bytes::Bytes;
use futures::future::BoxFuture;
use schemas::{LogPosition, ProductId, SourceId, Tenant, Timestamp};
use std::sync::Arc;

/// One message as it came over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawMessage {
    /// UTF-8, checked by the door.
    pub topic: Bytes,
    pub payload: Bytes,
}

/// Messages of one sender that may share one acknowledgement.
#[derive(Debug, Clone)]
pub struct Group {
    pub publisher: Arc<Publisher>,
    pub messages: Vec<RawMessage>,
    /// Input that the door could not turn into a message (a broken line of a file).
    /// Each counts as received and quarantined, and becomes a row of `ops.quarantine`. Empty for live doors.
    pub rejects: Vec<Rejected>,
    pub received_at: Timestamp,
}

/// One piece of input that never became a message, with what its owner needs to repair it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    pub product: Option<ProductId>,
    /// Where it came from: the topic it would have had, or the file and line (`air.csv:17`).
    pub topic: String,
    /// Stable word, for example `syntax`, `bad_time`, `out_of_range`.
    pub reason: &'static str,
    /// The column or field that is wrong, when one is.
    pub field: Option<String>,
    pub message: String,
    /// The input as it came, cut to the limit of the door.
    pub payload: Bytes,
}

/// Resolves when every outcome of the group is in the log: rows, quarantine and ledger.
pub type Durable = BoxFuture<'static, Result<LogPosition, IngestError>>;

/// Where doors put messages. Implemented by [`crate::pipeline::Pipeline`].
pub trait Door: Send + Sync {
    /// Waits for room (back-pressure), then returns the future that the acknowledgement must wait for.
    /// Groups of one caller are taken in the order of the calls.
    fn submit(&self, group: Group) -> BoxFuture<'_, Result<Durable, IngestError>>;
}

/// Who sends, and what it may do.
#[derive(Debug, Clone)]
pub struct Publisher {
    pub source: SourceId,
    pub tenant: Tenant,
    /// Topics it may publish to.
    pub publish: Vec<TopicFilter>,
    /// Topics it may subscribe to.
    pub subscribe: Vec<TopicFilter>,
    /// Every row of this sender is marked as simulated.
    pub simulated: bool,
}

/// Who may come in. Implemented by the server over its users.
pub trait Access: Send + Sync + 'static {
    /// `None` when the user is unknown, revoked or the password is wrong.
    fn authenticate(&self, user: &str, password: &[u8]) -> BoxFuture<'_, Option<Arc<Publisher>>>;
}
