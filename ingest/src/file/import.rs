//! A file's items through the pipeline, in groups, with a bound on what is under way.

use super::rows::FileItem;
use crate::{
    Group, IngestError, Publisher, Rejected,
    pipeline::{Outcome, Pending, Pipeline},
};
use schemas::{Clock, Counts, LogPosition, ProductId, Timestamp};
use std::{collections::VecDeque, sync::Arc};
use tokio_util::sync::CancellationToken;

/// Messages and rejects of one group.
const GROUP_ITEMS: usize = 2_000;
/// Groups handed to the door that are not durable yet.
const GROUPS_IN_FLIGHT: usize = 8;
/// Rejects that the report shows; all are in `ops.quarantine`.
const REJECTS_SHOWN: usize = 20;

/// One refused cell or line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineReject {
    pub line: u64,
    pub reason: &'static str,
    /// The column or field that is wrong, when one is.
    pub field: Option<String>,
    pub message: String,
}

/// What an import did, as far as it is durable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Number of the last line whose items are durable.
    pub line: u64,
    /// What became of the messages and rejects: the import's own lines of the ledger, which balance (ING-2).
    /// Old observations count as `late`; they are stored all the same.
    pub counts: Counts,
    /// The first refusals, by the reader or by the contract; all of them are in `ops.quarantine`.
    pub rejects: Vec<LineReject>,
    pub oldest: Option<Timestamp>,
    pub newest: Option<Timestamp>,
    /// Log position of the last durable group.
    pub position: Option<LogPosition>,
    /// Stopped before the end. Running the import again stores only what is missing.
    pub stopped: bool,
}

/// How the caller follows and stops an import.
pub struct Progress<'a> {
    /// Called after every durable group.
    pub report: &'a mut (dyn FnMut(&ImportReport) + Send),
    pub stop: &'a CancellationToken,
}

impl std::fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").field("stopped", &self.stop.is_cancelled()).finish_non_exhaustive()
    }
}

/// A group on its way.
struct UnderWay {
    pending: Pending,
    gathered: Gathered,
}

/// What the reader knows about a group.
#[derive(Default)]
struct Gathered {
    /// Of each message, to say where a refusal is.
    lines: Vec<u64>,
    /// Refused by the reader already.
    rejects: Vec<LineReject>,
    last_line: u64,
    /// Oldest and newest instant.
    span: Option<(Timestamp, Timestamp)>,
}

/// Sends the items through the pipeline and waits until all of it is durable. Reads the items between two groups, on the caller's task.
/// `publisher.source` names the import in the ledger and in quarantine. Repeating it changes no count of rows (ING-3).
///
/// # Errors
/// The first error of reading or of the pipeline. What the report said before is durable.
pub async fn import(
    pipeline: &Pipeline,
    publisher: &Arc<Publisher>,
    clock: &dyn Clock,
    (product, items): (&ProductId, impl Iterator<Item = Result<FileItem, IngestError>>),
    progress: Progress<'_>,
) -> Result<ImportReport, IngestError> {
    let mut report = ImportReport::default();
    let mut under_way: VecDeque<UnderWay> = VecDeque::new();
    let mut items = items.peekable();
    while items.peek().is_some() {
        if progress.stop.is_cancelled() {
            report.stopped = true;
            break;
        }
        if under_way.len() == GROUPS_IN_FLIGHT {
            settle(&mut under_way, &mut report, progress.report).await?;
        }
        let mut group = Group { publisher: Arc::clone(publisher), messages: Vec::new(), rejects: Vec::new(), received_at: clock.now() };
        let mut gathered = Gathered::default();
        for item in items.by_ref().take(GROUP_ITEMS) {
            gathered.put(item?, product, &mut group);
        }
        under_way.push_back(UnderWay { pending: pipeline.submit_group(group).await?, gathered });
    }
    while !under_way.is_empty() {
        settle(&mut under_way, &mut report, progress.report).await?;
    }
    Ok(report)
}

/// Waits for the oldest group and adds it to the report.
async fn settle(
    under_way: &mut VecDeque<UnderWay>,
    report: &mut ImportReport,
    progress: &mut (dyn FnMut(&ImportReport) + Send),
) -> Result<(), IngestError> {
    let Some(UnderWay { pending, gathered: way }) = under_way.pop_front() else { return Ok(()) };
    let Outcome { position, counts, rejects } = pending.outcome().await?;
    report.position = Some(position);
    report.line = way.last_line;
    report.counts.add(&counts);
    let mut refused = way.rejects;
    refused.extend(rejects.into_iter().map(|r| LineReject {
        line: way.lines.get(r.message).copied().unwrap_or(way.last_line),
        reason: r.reason,
        field: r.field,
        message: r.text,
    }));
    refused.sort_by_key(|r| r.line);
    refused.truncate(REJECTS_SHOWN.saturating_sub(report.rejects.len()));
    report.rejects.append(&mut refused);
    if let Some((oldest, newest)) = way.span {
        report.oldest = Some(report.oldest.map_or(oldest, |o| o.min(oldest)));
        report.newest = report.newest.max(Some(newest));
    }
    progress(report);
    Ok(())
}

impl Gathered {
    fn put(&mut self, item: FileItem, product: &ProductId, group: &mut Group) {
        match item {
            FileItem::Message { line, observed_at, message } => {
                self.last_line = line;
                self.lines.push(line);
                let (old, new) = self.span.unwrap_or((observed_at, observed_at));
                self.span = Some((old.min(observed_at), new.max(observed_at)));
                group.messages.push(message);
            }
            FileItem::Reject { line, reason, field, message, payload } => {
                self.last_line = line;
                if self.rejects.len() < REJECTS_SHOWN {
                    self.rejects.push(LineReject { line, reason, field: field.clone(), message: message.clone() });
                }
                let topic = format!("{}:{line}", group.publisher.source);
                group.rejects.push(Rejected { product: Some(product.clone()), topic, reason, field, message, payload });
            }
        }
    }
}
