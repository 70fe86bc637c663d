//! Quarantined messages once more through the pipeline, after a mapping or a contract was repaired.
//!
//! - Judged as then: relative times, lateness and the future are reckoned from the first receipt. Known from now on: rows carry
//!   the time of the replay as `received_at`, so that "AS OF yesterday" does not learn today what nobody could see (ADR 0004).
//! - The ledger of the first delivery stays as it was: the message was received and quarantined. The replay is a delivery of its own,
//!   by the source `replay/<source>`, in the hour of the replay; both lines balance (ING-2). `WHERE source NOT LIKE 'replay/%'`
//!   counts what devices sent.
//! - What was stored before is a duplicate (ING-3), so a replay may be repeated or interrupted anywhere.
//! - Rows, ledger and the note of what became of each message (`ops.replayed`) share one frame (ADR 0006).

use crate::{
    Group, IngestError, Publisher, RawMessage,
    decode::reject::Reason,
    pipeline::{MessageReject, Pipeline, REJECTS_LISTED_MAX},
};
use arrow_array::{
    ArrayRef, RecordBatch,
    builder::{Int64Builder, StringBuilder, TimestampMicrosecondBuilder},
};
use bytes::Bytes;
use schemas::{Counts, LogPosition, Part, SourceId, Tenant, Timestamp, ops::OpsTable};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

/// What the source of a replay begins with.
pub const PREFIX: &str = "replay/";
/// Messages handed over at once.
const GROUP_MESSAGES: usize = 4_096;

/// One row of `ops.quarantine`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    pub tenant: Tenant,
    pub source: SourceId,
    pub topic: String,
    pub payload: Bytes,
    pub reason: String,
    pub message: String,
    /// `observed_at` of the row: when the message was received first.
    pub received_at: Timestamp,
    /// Of the frame that quarantined it.
    pub position: LogPosition,
    /// Whether its sender is marked as simulated.
    pub simulated: bool,
}

/// Why a row is not replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Skip {
    /// The payload was longer than the quarantine keeps.
    Cut,
    /// The payload was not kept, because it may hold personal data.
    Withheld,
    /// Another row stands in its place, and replaying does not change that.
    Conflict,
    /// A line of a file, which is imported again instead.
    NotAMessage,
}

impl Quarantined {
    /// `None` when it can be replayed.
    #[must_use]
    pub fn skip(&self) -> Option<Skip> {
        match () {
            () if self.payload.is_empty() => Some(Skip::Withheld),
            () if was_cut(&self.message) => Some(Skip::Cut),
            () if self.reason == Reason::Conflict.code() => Some(Skip::Conflict),
            () if !Reason::ALL.iter().any(|r| r.code() == self.reason) || is_line(&self.topic) => Some(Skip::NotAMessage),
            () => None,
        }
    }

    /// Tells messages of one frame apart, together with position and topic.
    #[must_use]
    pub fn digest(&self) -> i64 {
        digest(&self.payload)
    }
}

/// The quarantine says so in the words that it adds.
fn was_cut(message: &str) -> bool {
    message.rsplit_once(" (payload cut to ").is_some_and(|(_, rest)| rest.ends_with(" bytes)"))
}

/// `air.csv:17`, as file imports name their lines.
fn is_line(topic: &str) -> bool {
    !topic.contains('/') && topic.rsplit_once(':').is_some_and(|(file, line)| file.contains('.') && line.parse::<u64>().is_ok())
}

/// FNV-1a, the same in every release: it is stored.
fn digest(payload: &[u8]) -> i64 {
    payload.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)) as i64
}

/// What became of a replay.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ReplayReport {
    /// Rows of the quarantine that went through the pipeline.
    pub replayed: usize,
    pub skipped: BTreeMap<Skip, usize>,
    #[serde(flatten)]
    pub counts: Counts,
    /// The first messages that were refused again.
    pub rejects: Vec<Refused>,
    #[serde(skip)]
    pub position: LogPosition,
}

/// A message that was refused again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    pub topic: String,
    pub reason: &'static str,
    pub field: Option<String>,
    pub message: String,
}

/// Puts rows through the pipeline again and waits until all of it is durable.
///
/// # Errors
/// When the log takes nothing more; what was answered before stays, and the same rows may be replayed again.
pub async fn replay(pipeline: &Pipeline, rows: Vec<Quarantined>, now: Timestamp) -> Result<ReplayReport, IngestError> {
    let mut report = ReplayReport::default();
    let mut by_sender: BTreeMap<(Tenant, SourceId, bool), Vec<Quarantined>> = BTreeMap::new();
    for row in rows {
        match row.skip() {
            Some(skip) => *report.skipped.entry(skip).or_default() += 1,
            None => by_sender.entry((row.tenant.clone(), row.source.clone(), row.simulated)).or_default().push(row),
        }
    }
    for ((tenant, source, simulated), rows) in by_sender {
        let source = source_of(&source);
        let publisher = Arc::new(Publisher { source, tenant, publish: Vec::new(), subscribe: Vec::new(), simulated });
        for chunk in rows.chunks(GROUP_MESSAGES) {
            let messages = chunk.iter().map(|r| RawMessage { topic: r.topic.clone().into(), payload: r.payload.clone() }).collect();
            let group = Group { publisher: Arc::clone(&publisher), messages, rejects: Vec::new(), received_at: now };
            let again = chunk.iter().map(|r| Again { received_at: r.received_at, position: r.position }).collect();
            let outcome = pipeline.submit_again(group, again).await?.outcome().await?;
            report.replayed += chunk.len();
            report.counts.add(&outcome.counts);
            report.position = report.position.max(outcome.position);
            let room = REJECTS_LISTED_MAX - report.rejects.len();
            report.rejects.extend(outcome.rejects.into_iter().take(room).map(|r| refused(chunk, r)));
        }
    }
    Ok(report)
}

fn refused(chunk: &[Quarantined], reject: MessageReject) -> Refused {
    let topic = chunk.get(reject.message).map(|r| r.topic.clone()).unwrap_or_default();
    Refused { topic, reason: reject.reason, field: reject.field, message: reject.text }
}

fn source_of(source: &SourceId) -> SourceId {
    if source.as_str().starts_with(PREFIX) {
        return source.clone();
    }
    // A name at the limit of its length stays as it is.
    SourceId::new(&format!("{PREFIX}{source}")).unwrap_or_else(|_| source.clone())
}

/// Where a replayed message comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Again {
    pub(crate) received_at: Timestamp,
    pub(crate) position: LogPosition,
}

/// What became of the rows and refusals of one message.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fate {
    pub(crate) stored: bool,
    pub(crate) duplicate: bool,
    pub(crate) refused: bool,
    /// Another row stands in its place: replaying again would change nothing.
    pub(crate) conflict: bool,
}

impl Fate {
    /// A message that is refused in part still waits.
    fn name(self) -> &'static str {
        match self {
            Self { conflict: true, .. } => "conflict",
            Self { refused: true, .. } => "quarantined",
            Self { stored: true, .. } => "stored",
            Self { duplicate: true, .. } => "duplicate",
            Self { .. } => "dropped",
        }
    }
}

/// Rows of `ops.replayed`, in the order of its columns.
#[derive(Debug)]
pub(crate) struct ReplayedRows {
    at: TimestampMicrosecondBuilder,
    /// tenant, source, topic
    texts: [StringBuilder; 3],
    position: Int64Builder,
    digest: Int64Builder,
    outcome: StringBuilder,
    len: usize,
}

impl ReplayedRows {
    pub(crate) fn new() -> Self {
        Self {
            at: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            texts: std::array::from_fn(|_| StringBuilder::new()),
            position: Int64Builder::new(),
            digest: Int64Builder::new(),
            outcome: StringBuilder::new(),
            len: 0,
        }
    }

    /// `again` and `fates` have an entry for each message of the group.
    pub(crate) fn push(&mut self, group: &Group, again: &[Again], fates: &[Fate]) {
        for ((message, again), fate) in group.messages.iter().zip(again).zip(fates) {
            self.at.append_value(group.received_at.0);
            let topic = String::from_utf8_lossy(&message.topic);
            for (column, text) in self.texts.iter_mut().zip([group.publisher.tenant.as_str(), group.publisher.source.as_str(), &topic]) {
                column.append_value(text);
            }
            self.position.append_value(i64::try_from(again.position).unwrap_or(i64::MAX));
            self.digest.append_value(digest(&message.payload));
            self.outcome.append_value(fate.name());
            self.len += 1;
        }
    }

    pub(crate) fn finish(mut self) -> Result<Option<Part>, IngestError> {
        if self.len == 0 {
            return Ok(None);
        }
        let mut columns: Vec<ArrayRef> = vec![Arc::new(self.at.finish())];
        columns.extend(self.texts.iter_mut().map(|t| Arc::new(t.finish()) as ArrayRef));
        columns.extend([Arc::new(self.position.finish()) as ArrayRef, Arc::new(self.digest.finish()), Arc::new(self.outcome.finish())]);
        let rows = RecordBatch::try_new(OpsTable::Replayed.pending_schema(), columns)
            .map_err(|e| IngestError::Internal(format!("replayed rows do not fit their schema: {e}")))?;
        Ok(Some(Part { table: OpsTable::Replayed.table(), rows }))
    }
}

#[cfg(test)]
mod tests;
