//! A file of any size through the pipeline: one message per record, a bounded number of them under way.

use super::{Publication, Record, Sites};
use crate::{
    Group, IngestError, Publisher, RawMessage,
    pipeline::{MessageReject, Pending, Pipeline},
};
use schemas::{Clock, Counts, EntityId, LogPosition};
use std::{collections::VecDeque, io::BufRead, sync::Arc};
use tokio_util::sync::CancellationToken;

/// Records of one group.
const GROUP_RECORDS: usize = 500;
/// Groups handed to the pipeline that are not durable yet.
const GROUPS_IN_FLIGHT: usize = 4;
/// Refusals in the report; all are in `ops.quarantine`.
const REJECTS_SHOWN: usize = 20;

/// What an import did. Everything it counts is durable.
#[derive(Debug, Default)]
pub struct ImportReport {
    pub records: u64,
    pub counts: Counts,
    pub rejects: Vec<MessageReject>,
    pub position: Option<LogPosition>,
    /// Stopped before the end; importing again stores only what is missing.
    pub stopped: bool,
    /// The sites that were known at the end.
    pub sites: Sites,
}

/// Reads a file, or the body of an answer, and waits until all of it is durable. Importing again changes no count (ING-3).
///
/// # Errors
/// The text is not DATEX II or FDT in XML, or the pipeline stops. Records before the error are stored.
pub async fn import(
    pipeline: &Pipeline,
    publisher: &Arc<Publisher>,
    clock: &dyn Clock,
    (source, sites): (impl BufRead + Send, Sites),
    stop: &CancellationToken,
) -> Result<ImportReport, IngestError> {
    let mut report = ImportReport::default();
    let mut publication = Publication::new(source, sites);
    let mut record = Record::default();
    let mut under_way: VecDeque<Pending> = VecDeque::new();
    let mut end: Result<bool, IngestError> = Ok(true);
    while matches!(end, Ok(true)) && !report.stopped {
        let mut messages = Vec::new();
        while messages.len() < GROUP_RECORDS {
            end = publication.next(&mut record).map_err(|e| IngestError::Invalid(format!("not XML that is read here: {e}")));
            if !matches!(end, Ok(true)) {
                break;
            }
            messages.push(message(&record));
        }
        report.records += messages.len() as u64;
        if under_way.len() == GROUPS_IN_FLIGHT {
            settle(&mut under_way, &mut report).await?;
        }
        if !messages.is_empty() {
            let group = Group { publisher: Arc::clone(publisher), messages, rejects: Vec::new(), received_at: clock.now() };
            under_way.push_back(pipeline.submit_group(group).await?);
        }
        report.stopped = stop.is_cancelled();
    }
    while !under_way.is_empty() {
        settle(&mut under_way, &mut report).await?;
    }
    end?;
    if !publication.is_recognised() && !report.stopped {
        return Err(IngestError::Invalid("no element of DATEX II version 2 or 3, nor of FDT, was found".into()));
    }
    report.sites = publication.into_sites();
    Ok(report)
}

fn message(record: &Record) -> RawMessage {
    let topic = format!("datex2/{}/{}", record.kind.name(), EntityId::local_part(&record.site));
    RawMessage { topic: topic.into(), payload: record.document.clone().into() }
}

async fn settle(under_way: &mut VecDeque<Pending>, report: &mut ImportReport) -> Result<(), IngestError> {
    let Some(pending) = under_way.pop_front() else { return Ok(()) };
    let outcome = pending.outcome().await?;
    report.counts.add(&outcome.counts);
    report.position = Some(outcome.position);
    let room = REJECTS_SHOWN.saturating_sub(report.rejects.len());
    report.rejects.extend(outcome.rejects.into_iter().take(room));
    Ok(())
}
