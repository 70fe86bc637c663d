//! A file of detector output through the pipeline, with a bounded number of its intervals under way.

use super::{
    intervals::{Flaw, Intervals},
    messages::Loops,
};
use crate::{
    Group, IngestError, Publisher, Rejected,
    pipeline::{MessageReject, Pending, Pipeline},
};
use schemas::{Clock, Counts, ProductId};
use std::{collections::VecDeque, io::BufRead, sync::Arc};
use tokio_util::sync::CancellationToken;

/// Messages of one group, about.
const GROUP_MESSAGES: usize = 1_000;
/// Groups handed to the pipeline that are not durable yet.
const GROUPS_IN_FLIGHT: usize = 4;
/// Refusals in the report; all are in `ops.quarantine`.
const REJECTS_SHOWN: usize = 20;

/// What an import did. Everything it counts is durable.
#[derive(Debug, Default)]
pub struct ImportReport {
    pub intervals: u64,
    pub counts: Counts,
    pub rejects: Vec<MessageReject>,
    /// Intervals that the reader refused.
    pub flaws: Vec<Flaw>,
    /// Stopped before the end; importing again stores only what is missing.
    pub stopped: bool,
}

/// Reads a file and waits until all of it is durable. Importing again changes no count (ING-3).
///
/// # Errors
/// The text is not XML, or the pipeline stops. What came before the error is stored.
pub async fn import(
    pipeline: &Pipeline,
    publisher: &Arc<Publisher>,
    clock: &dyn Clock,
    (source, mut loops): (impl BufRead + Send, Loops),
    stop: &CancellationToken,
) -> Result<ImportReport, IngestError> {
    let mut report = ImportReport::default();
    let mut intervals = Intervals::new(source);
    let mut under_way: VecDeque<Pending> = VecDeque::new();
    let product = ProductId::new("traffic_measure").map_err(|e| IngestError::Internal(e.to_string()))?;
    let mut end: Result<bool, IngestError> = Ok(true);
    while matches!(end, Ok(true)) && !report.stopped {
        let mut group = Group { publisher: Arc::clone(publisher), messages: Vec::new(), rejects: Vec::new(), received_at: clock.now() };
        while group.messages.len() + group.rejects.len() < GROUP_MESSAGES {
            match intervals.next() {
                Ok(Some(Ok(interval))) => {
                    report.intervals += 1;
                    group.messages.extend(loops.take(&interval));
                }
                Ok(Some(Err(flaw))) => {
                    group.rejects.push(rejected(&product, &publisher.source, &flaw));
                    if report.flaws.len() < REJECTS_SHOWN {
                        report.flaws.push(flaw);
                    }
                }
                Ok(None) => {
                    end = Ok(false);
                    group.messages.extend(loops.finish());
                    break;
                }
                Err(e) => {
                    end = Err(IngestError::Invalid(format!("not output of SUMO's detectors: {e}")));
                    group.messages.extend(loops.finish());
                    break;
                }
            }
        }
        if under_way.len() == GROUPS_IN_FLIGHT {
            settle(&mut under_way, &mut report).await?;
        }
        if !group.messages.is_empty() || !group.rejects.is_empty() {
            under_way.push_back(pipeline.submit_group(group).await?);
        }
        report.stopped = stop.is_cancelled();
    }
    while !under_way.is_empty() {
        settle(&mut under_way, &mut report).await?;
    }
    end?;
    if report.intervals == 0 && report.flaws.is_empty() && !report.stopped {
        return Err(IngestError::Invalid("there is no interval of an induction loop (E1) in it".into()));
    }
    Ok(report)
}

fn rejected(product: &ProductId, source: &schemas::SourceId, flaw: &Flaw) -> Rejected {
    Rejected {
        product: Some(product.clone()),
        topic: format!("{source}:{}", flaw.detector),
        reason: "out_of_range",
        field: Some(flaw.field.to_owned()),
        message: flaw.rule.clone(),
        payload: flaw.detector.clone().into(),
    }
}

async fn settle(under_way: &mut VecDeque<Pending>, report: &mut ImportReport) -> Result<(), IngestError> {
    let Some(pending) = under_way.pop_front() else { return Ok(()) };
    let outcome = pending.outcome().await?;
    report.counts.add(&outcome.counts);
    let room = REJECTS_SHOWN.saturating_sub(report.rejects.len());
    report.rejects.extend(outcome.rejects.into_iter().take(room));
    Ok(())
}
