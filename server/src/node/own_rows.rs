//! Rows that Portico writes about the city by itself: through the pipeline, like everybody's.

use super::Parts;
use ingest::{Group, IngestError, Publisher, RawMessage, pipeline::Outcome};
use schemas::{SourceId, Tenant, Timestamp};
use std::sync::Arc;

/// Whose rows, and as what they count in the ledger.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    pub source: &'static str,
    pub tenant: &'a Tenant,
    pub simulated: bool,
}

/// Stores rows of a product, each a JSON object by the names of its contract; durable when this returns.
pub async fn submit(
    parts: &Parts,
    origin: Origin<'_>,
    product: &str,
    rows: impl IntoIterator<Item = String>,
    now: Timestamp,
) -> Result<Outcome, IngestError> {
    let Origin { source, tenant, simulated } = origin;
    let topic: bytes::Bytes = format!("portico/{tenant}/{product}").into();
    let messages = rows.into_iter().map(|row| RawMessage { topic: topic.clone(), payload: row.into() }).collect();
    let source = SourceId::new(source).map_err(|e| IngestError::Internal(e.to_string()))?;
    let publisher = Arc::new(Publisher { source, tenant: tenant.clone(), publish: Vec::new(), subscribe: Vec::new(), simulated });
    let group = Group { publisher, messages, rejects: Vec::new(), received_at: now };
    parts.ingest.pipeline().submit_group(group).await?.outcome().await
}
