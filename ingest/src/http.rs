//! Messages in the body of an HTTP request: NDJSON, a JSON list, or one JSON object, each for one product; or one foreign event.

use crate::{
    Group, IngestError, Publisher, RawMessage,
    decode::elements,
    mapping::route::{CONVENTION, unknown_product},
    pipeline::{Pipeline, REJECTS_LISTED_MAX},
};
use bytes::Bytes;
use schemas::{Counts, LogPosition, ProductId, Timestamp};
use std::sync::Arc;

/// Messages handed over at once; large bodies become several groups and frames.
const GROUP_MESSAGES: usize = 8_192;

/// Of a topic that a request names.
const TOPIC_BYTES_MAX: usize = 1_024;

/// Answer to one request. Everything it counts is durable.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Receipt {
    #[serde(flatten)]
    pub counts: Counts,
    /// The first 20 quarantined lines.
    pub rejects: Vec<LineReject>,
    /// The newest log position that the request caused.
    #[serde(skip)]
    pub position: LogPosition,
}

/// Why one line was quarantined.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LineReject {
    /// From 1: the line of NDJSON, blank ones included, or the place in the list.
    pub line: usize,
    pub reason: &'static str,
    pub field: Option<String>,
    pub message: String,
}

/// Takes one body and waits until all of it is durable. Messages need `id` beside the fields of the contract.
pub async fn accept(
    pipeline: &Pipeline,
    publisher: &Arc<Publisher>,
    request: Request<'_>,
    received_at: Timestamp,
) -> Result<Receipt, IngestError> {
    within_limit(request.body.len(), pipeline.config().http_body_bytes_max)?;
    let topic = topic(pipeline, publisher, request.product)?;
    let messages = split(request.content_type, &request.body, pipeline.config().depth_max + 1)?;
    let mut pending = Vec::new();
    for chunk in messages.chunks(GROUP_MESSAGES) {
        let raw = chunk.iter().map(|(_, (from, to))| RawMessage { topic: topic.clone(), payload: request.body.slice(*from..*to) });
        let group = Group { publisher: Arc::clone(publisher), messages: raw.collect(), rejects: Vec::new(), received_at };
        pending.push((chunk, pipeline.submit_group(group).await?));
    }
    let mut receipt = Receipt::default();
    for (chunk, pending) in pending {
        let outcome = pending.outcome().await?;
        receipt.counts.add(&outcome.counts);
        receipt.position = receipt.position.max(outcome.position);
        let lines =
            outcome.rejects.into_iter().map(|r| LineReject { line: chunk[r.message].0, reason: r.reason, field: r.field, message: r.text });
        receipt.rejects.extend(lines.take(REJECTS_LISTED_MAX - receipt.rejects.len()));
    }
    Ok(receipt)
}

/// Every door over HTTP refuses a larger body, packed or unpacked.
pub(crate) fn within_limit(bytes: usize, bytes_max: usize) -> Result<(), IngestError> {
    if bytes <= bytes_max {
        return Ok(());
    }
    let (value, limit) = (bytes as u64, bytes_max as u64);
    Err(IngestError::Limit { what: "the body in bytes", value, limit, fix: "send it in several requests" })
}

/// What a request brings.
#[derive(Debug)]
pub struct Request<'a> {
    pub product: Option<&'a str>,
    pub content_type: &'a str,
    /// Decompressed.
    pub body: Bytes,
}

/// Takes one event that a server posts as it comes (a webhook: JSON in its own form, or protobuf), as a message on `topic`,
/// which mappings read; waits until it is durable.
pub async fn event(
    pipeline: &Pipeline,
    publisher: &Arc<Publisher>,
    topic: &str,
    body: Bytes,
    received_at: Timestamp,
) -> Result<Receipt, IngestError> {
    if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX || topic.contains(['+', '#', '\0']) {
        return Err(IngestError::Invalid(format!(
            "the topic must be 1 to {TOPIC_BYTES_MAX} bytes without '+' and '#', as in lns/chirpstack"
        )));
    }
    if !publisher.publish.iter().any(|filter| filter.matches(topic)) {
        return Err(IngestError::Forbidden(format!("'{}' may not publish to that topic", publisher.source)));
    }
    let messages = vec![RawMessage { topic: Bytes::copy_from_slice(topic.as_bytes()), payload: body }];
    let group = Group { publisher: Arc::clone(publisher), messages, rejects: Vec::new(), received_at };
    let outcome = pipeline.submit_group(group).await?.outcome().await?;
    let rejects = outcome.rejects.into_iter().map(|r| LineReject { line: 1, reason: r.reason, field: r.field, message: r.text });
    Ok(Receipt { counts: outcome.counts, rejects: rejects.collect(), position: outcome.position })
}

fn topic(pipeline: &Pipeline, publisher: &Publisher, product: Option<&str>) -> Result<Bytes, IngestError> {
    let Some(name) = product else {
        return Err(IngestError::Invalid("name the product in the path: POST /api/ingest/<product>".into()));
    };
    let contracts = pipeline.router().contracts();
    if ProductId::new(name).ok().and_then(|p| contracts.get(&p)).is_none() {
        return Err(unknown_product(contracts, name));
    }
    let topic = format!("{CONVENTION}/{}/{name}", publisher.tenant);
    // A right to publish below the product (`…/air_quality/+`) is a right to send its messages over HTTP.
    let below = format!("{topic}/http");
    if !publisher.publish.iter().any(|filter| filter.matches(&topic) || filter.matches(&below)) {
        return Err(IngestError::Forbidden(format!("'{}' may not send {name}; its topics do not include {topic}/+", publisher.source)));
    }
    Ok(Bytes::from(topic))
}

type Lines = Vec<(usize, (usize, usize))>;

/// Line number and bytes of every message.
fn split(content_type: &str, body: &[u8], depth_max: usize) -> Result<Lines, IngestError> {
    match content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase().as_str() {
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => Ok(lines(body)),
        "application/json" => {
            let list = elements(body, depth_max).map(|list| list.into_iter().enumerate().map(|(i, span)| (i + 1, span)).collect());
            // Not a list: one message, which decoding judges; a list that is broken is quarantined as a whole.
            Ok(list.unwrap_or_else(|| vec![(1, (0, body.len()))]))
        }
        other => {
            Err(IngestError::Invalid(format!("content type '{other}' is not read here; send application/x-ndjson or application/json")))
        }
    }
}

fn lines(body: &[u8]) -> Lines {
    let mut out = Vec::new();
    let mut start = 0;
    for (i, line) in body.split(|b| *b == b'\n').enumerate() {
        if !line.trim_ascii().is_empty() {
            out.push((i + 1, (start, start + line.len())));
        }
        start += line.len() + 1;
    }
    out
}

#[cfg(test)]
mod tests;
