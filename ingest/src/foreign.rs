//! Bodies of other systems' protocols over HTTP, as messages on topics, so that mappings, quarantine and ledger see them like any other.
//!
//! | protocol | topic of a message | format in its mapping |
//! |---|---|---|
//! | InfluxDB line protocol ([`crate::lines`]) | `influx/{db}/{measurement}` | `line_protocol` |
//! | Prometheus remote write | `prometheus/{metric}` | `line_protocol` |
//! | OpenTelemetry metrics | `otlp/{metric}` | `line_protocol` |
//! | SensorThings observations | `v1.1/{path}` | `sensorthings` |
//! | NGSI-LD entities | `ngsi-ld/{type}` | `ngsi_ld` |
//! | webhooks | `webhook/{name}` | none: JSON |

#[cfg(fuzzing)]
pub mod fuzz;
mod json;
pub(crate) mod line;
mod otlp;
mod prometheus;

use crate::{
    Group, IngestError, Publisher, RawMessage, Rejected,
    http::{LineReject, Receipt, within_limit},
    lines,
    mapping::route::{CONVENTION, Route},
    pipeline::{Pending, Pipeline, REJECTS_LISTED_MAX},
};
use bytes::Bytes;
use schemas::Timestamp;
use std::sync::Arc;

/// Messages handed over at once; large bodies become several groups and frames.
const GROUP_MESSAGES: usize = 8_192;
/// Bytes of a refused message kept with its reason.
const REFUSED_BYTES_MAX: usize = 4_096;

/// A body and what it is written in.
#[derive(Debug, Clone)]
pub enum Foreign {
    /// Lines of a database or bucket.
    Lines {
        db: String,
        precision: lines::Precision,
    },
    /// Remote write 1.0, still compressed.
    PrometheusWrite,
    OtlpMetrics {
        json: bool,
    },
    /// What follows the root of the service: `Observations`, `Datastreams(1)/Observations`, `CreateObservations`.
    SensorThings {
        path: String,
    },
    NgsiLd,
    /// A message, or a list of messages, of the webhook of that name.
    Webhook {
        name: String,
    },
}

/// Takes one body and waits until all of it is durable. Good parts are stored although others are not.
///
/// # Errors
/// When the body is too large or not in its protocol at all, when the sender may not send it, or when the log does not take it.
pub async fn accept(
    pipeline: &Pipeline,
    publisher: &Arc<Publisher>,
    foreign: Foreign,
    body: Bytes,
    received_at: Timestamp,
) -> Result<Receipt, IngestError> {
    let limit = pipeline.config().http_body_bytes_max;
    within_limit(body.len(), limit)?;
    let lines = |family, db: Option<String>, precision, body| async move {
        lines::accept(pipeline, publisher, lines::Request { family, db: db.as_deref(), precision, body }, received_at).await
    };
    let ns = lines::Precision::Nanoseconds;
    let mut taker = Taker::new(pipeline, publisher, received_at);
    match foreign {
        Foreign::Lines { db, precision } => return lines("influx", Some(db), precision, body).await,
        Foreign::PrometheusWrite => return lines("prometheus", None, ns, prometheus::lines(&body, limit)?).await,
        Foreign::OtlpMetrics { json } => return lines("otlp", None, ns, otlp::lines(&body, json, limit)?).await,
        Foreign::SensorThings { path } => taker.put(1, &format!("v1.1/{path}"), "path", body).await?,
        Foreign::NgsiLd => json::entities(&mut taker, &body).await?,
        Foreign::Webhook { name } => json::messages(&mut taker, &name, &body).await?,
    }
    taker.finish().await
}

/// A right to the topic itself, or to every product that its mappings feed. What no mapping reads is quarantined, whoever sends it.
pub(crate) fn may_send(pipeline: &Pipeline, publisher: &Publisher, topic: &str) -> bool {
    let may = |topic: &str| publisher.publish.iter().any(|filter| filter.matches(topic));
    let below_product = |product: &str| {
        let topic = format!("{CONVENTION}/{}/{product}", publisher.tenant);
        may(&topic) || may(&format!("{topic}/http"))
    };
    match pipeline.router().route(&publisher.tenant, topic) {
        Route::Known(known) => may(topic) || known.choices.iter().all(|c| below_product(c.table.name.product.as_str())),
        Route::Dropped | Route::Refused(_) => true,
    }
}

/// Gathers messages into groups and hands them over; remembers which part of the body each was.
#[derive(Debug)]
pub(crate) struct Taker<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) publisher: &'a Arc<Publisher>,
    received_at: Timestamp,
    numbers: Vec<usize>,
    group: Group,
    pending: Vec<(Vec<usize>, Pending)>,
    receipt: Receipt,
}

impl<'a> Taker<'a> {
    pub(crate) fn new(pipeline: &'a Pipeline, publisher: &'a Arc<Publisher>, received_at: Timestamp) -> Self {
        let group = Group { publisher: Arc::clone(publisher), messages: Vec::new(), rejects: Vec::new(), received_at };
        Self { pipeline, publisher, received_at, numbers: Vec::new(), group, pending: Vec::new(), receipt: Receipt::default() }
    }

    /// A message on a topic, checked against the rights of the sender; `field` names what the topic came from.
    async fn put(&mut self, number: usize, topic: &str, field: &str, payload: Bytes) -> Result<(), IngestError> {
        let checked = check(self.pipeline, self.publisher, topic, field);
        self.push(number, checked, payload).await
    }

    /// A message, or what the door refuses. Waits when a group is full and the pipeline has no room.
    pub(crate) async fn push(&mut self, number: usize, topic: Result<Bytes, Box<Rejected>>, payload: Bytes) -> Result<(), IngestError> {
        match topic {
            Ok(topic) => {
                self.numbers.push(number);
                self.group.messages.push(RawMessage { topic, payload });
            }
            Err(refused) => {
                let payload = payload.slice(..payload.len().min(REFUSED_BYTES_MAX));
                if self.receipt.rejects.len() < REJECTS_LISTED_MAX {
                    let (field, message) = (refused.field.clone(), refused.message.clone());
                    self.receipt.rejects.push(LineReject { line: number, reason: refused.reason, field, message });
                }
                self.group.rejects.push(Rejected { payload, ..*refused });
            }
        }
        if self.group.messages.len() + self.group.rejects.len() >= GROUP_MESSAGES { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), IngestError> {
        let next =
            Group { publisher: Arc::clone(self.publisher), messages: Vec::new(), rejects: Vec::new(), received_at: self.received_at };
        let group = std::mem::replace(&mut self.group, next);
        let numbers = std::mem::take(&mut self.numbers);
        self.pending.push((numbers, self.pipeline.submit_group(group).await?));
        Ok(())
    }

    /// Waits until everything is durable.
    pub(crate) async fn finish(mut self) -> Result<Receipt, IngestError> {
        self.flush().await?;
        for (numbers, pending) in self.pending {
            let outcome = pending.outcome().await?;
            self.receipt.counts.add(&outcome.counts);
            self.receipt.position = self.receipt.position.max(outcome.position);
            let told = |r: crate::pipeline::MessageReject| LineReject {
                line: numbers[r.message],
                reason: r.reason,
                field: r.field,
                message: r.text,
            };
            self.receipt.rejects.extend(outcome.rejects.into_iter().map(told));
        }
        self.receipt.rejects.sort_by_key(|r| r.line);
        self.receipt.rejects.truncate(REJECTS_LISTED_MAX);
        Ok(self.receipt)
    }
}

/// The topic, when it is not too long and the sender may send to it.
pub(crate) fn check(pipeline: &Pipeline, publisher: &Publisher, topic: &str, field: &str) -> Result<Bytes, Box<Rejected>> {
    let max = crate::topic::TOPIC_LEN_MAX;
    let refused = |reason, message: String| {
        let (topic, field) = (crate::decode::reject::cut(topic, max), Some(field.to_owned()));
        Box::new(Rejected { product: None, topic, reason, field, message, payload: Bytes::new() })
    };
    if topic.len() > max {
        return Err(refused("too_large", format!("its topic has {} bytes; at most {max} are taken: use a shorter name", topic.len())));
    }
    if may_send(pipeline, publisher, topic) {
        return Ok(Bytes::copy_from_slice(topic.as_bytes()));
    }
    let source = &publisher.source;
    Err(refused("forbidden", format!("'{source}' may not send to '{topic}'; its topics include neither it nor those of its products")))
}

#[cfg(test)]
mod tests;
