//! Builds one frame from judged groups: rows, quarantine, ledger, and each group's own outcome.

use super::{Job, MessageReject, Outcome, REJECTS_LISTED_MAX};
use crate::{
    Group, IngestError,
    decode::{
        block::Block,
        reject::{Reason, Reject},
    },
    dedup::Verdict,
    quarantine::{Entry, QuarantineRows},
    replay::{Fate, ReplayedRows},
    rows::TableRows,
    stats::FrameTotals,
};
use schemas::{Counts, Frame, LedgerDelta, ProductId, SourceId, Tenant, Timestamp, invariant};
use std::{collections::BTreeMap, collections::HashMap, sync::Arc};

type LedgerKey = (Tenant, SourceId, Option<ProductId>, Timestamp);

/// A frame under construction.
#[derive(Debug)]
pub(super) struct FrameBuilder {
    rows: BTreeMap<usize, TableRows>,
    /// Rows that each table may get.
    room: BTreeMap<usize, usize>,
    quarantine: QuarantineRows,
    replayed: ReplayedRows,
    ledger: HashMap<LedgerKey, Counts, foldhash::fast::RandomState>,
    totals: FrameTotals,
}

/// What one group adds, before it is merged.
struct GroupCounts<'a> {
    group: &'a Group,
    /// Messages whose payload is not kept.
    private: &'a [u32],
    lines: Vec<(Option<ProductId>, Counts)>,
    rejects: Vec<MessageReject>,
    /// Of each message of a replay; empty otherwise.
    fates: Vec<Fate>,
}

impl GroupCounts<'_> {
    fn line(&mut self, product: Option<&ProductId>) -> &mut Counts {
        let at = self.lines.iter().position(|(p, _)| p.as_ref() == product).unwrap_or(self.lines.len());
        if at == self.lines.len() {
            self.lines.push((product.cloned(), Counts::default()));
        }
        &mut self.lines[at].1
    }
}

impl FrameBuilder {
    /// For these jobs.
    pub(super) fn new(jobs: &[Job], payload_bytes_max: usize) -> Self {
        let mut room: BTreeMap<usize, usize> = BTreeMap::new();
        for block in jobs.iter().flat_map(|job| &job.decoded.blocks) {
            *room.entry(block.table.id).or_default() += block.rows.len();
        }
        Self {
            rows: BTreeMap::new(),
            room,
            quarantine: QuarantineRows::new(payload_bytes_max),
            replayed: ReplayedRows::new(),
            ledger: HashMap::default(),
            totals: FrameTotals::default(),
        }
    }

    /// Adds a group; `settle` gives the verdict of a row (block, index), in order.
    pub(super) fn add(&mut self, job: &Job, mut settle: impl FnMut(&Block, usize) -> Verdict) -> Outcome {
        let mut counts =
            GroupCounts { group: &job.group, private: &job.decoded.private, lines: Vec::new(), rejects: Vec::new(), fates: Vec::new() };
        counts.fates.resize(job.again.as_ref().map_or(0, Vec::len), Fate::default());
        for block in &job.decoded.blocks {
            self.block(block, &mut counts, &mut settle);
        }
        for refusal in &job.decoded.refusals {
            counts.line(refusal.product.as_ref()).received += 1;
            self.refuse(refusal.message, refusal.product.as_ref(), &refusal.reject, &mut counts);
        }
        if job.decoded.dropped > 0 {
            let line = counts.line(None);
            line.received += job.decoded.dropped;
            line.dropped += job.decoded.dropped;
        }
        self.door_rejects(&mut counts);
        if let Some(again) = &job.again {
            self.replayed.push(&job.group, again, &counts.fates);
        }
        self.merge(counts)
    }

    fn block(&mut self, block: &Block, counts: &mut GroupCounts<'_>, settle: &mut impl FnMut(&Block, usize) -> Verdict) {
        let group = counts.group;
        let product = &block.table.name.product;
        let mut line = Counts { received: block.rows.len() as u64, ..Counts::default() };
        let room = *self.room.get(&block.table.id).unwrap_or(&0);
        let rows = self.rows.entry(block.table.id).or_insert_with(|| TableRows::new(Arc::clone(&block.table), room));
        let mut conflicts = Vec::new();
        for (i, row) in block.rows.iter().enumerate() {
            let verdict = settle(block, i);
            if let Some(fate) = counts.fates.get_mut(row.message as usize) {
                fate.stored |= verdict == Verdict::New;
                fate.duplicate |= verdict == Verdict::Duplicate;
                fate.conflict |= verdict == Verdict::Conflict;
            }
            match verdict {
                Verdict::New => {
                    rows.push(block, i, &group.publisher, group.received_at);
                    if row.late {
                        line.late += 1;
                    } else {
                        line.stored += 1;
                    }
                }
                Verdict::Duplicate => line.duplicate += 1,
                Verdict::Conflict => conflicts.push(i),
            }
        }
        counts.line(Some(product)).add(&line);
        for i in conflicts {
            let row = &block.rows[i];
            let message = format!(
                "{} at {} was stored before with other values; the first stays. Send a correction as a new observation",
                row.entity.id, row.observed_at
            );
            self.refuse(row.message, Some(product), &Reject::new(Reason::Conflict, message), counts);
        }
    }

    fn refuse(&mut self, message: u32, product: Option<&ProductId>, reject: &Reject, counts: &mut GroupCounts<'_>) {
        let group = counts.group;
        let raw = &group.messages[message as usize];
        if let Some(fate) = counts.fates.get_mut(message as usize) {
            fate.refused = true;
        }
        let (topic, reason) = (String::from_utf8_lossy(&raw.topic), reject.reason.code());
        let private = counts.private.binary_search(&message).is_ok();
        let entry = Entry {
            topic: &topic,
            product: product.map(ProductId::as_str),
            reason,
            field: reject.field.as_deref(),
            message: &reject.message,
            payload: if private { &[] } else { &raw.payload },
            private,
        };
        self.quarantine.push(&group.publisher, group.received_at, &entry);
        *self.totals.reasons.entry(reason).or_default() += 1;
        counts.line(product).quarantined += 1;
        let (field, text) = (reject.field.clone(), reject.message.clone());
        counts.rejects.push(MessageReject { message: message as usize, reason, field, text });
    }

    /// Input that the door itself could not read; it has no index, and is told after the messages.
    fn door_rejects(&mut self, counts: &mut GroupCounts<'_>) {
        let group = counts.group;
        for rejected in &group.rejects {
            let entry = Entry {
                topic: &rejected.topic,
                product: rejected.product.as_ref().map(ProductId::as_str),
                reason: rejected.reason,
                field: rejected.field.as_deref(),
                message: &rejected.message,
                payload: &rejected.payload,
                private: false,
            };
            self.quarantine.push(&group.publisher, group.received_at, &entry);
            *self.totals.reasons.entry(rejected.reason).or_default() += 1;
            let line = counts.line(rejected.product.as_ref());
            line.received += 1;
            line.quarantined += 1;
        }
    }

    fn merge(&mut self, counts: GroupCounts<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        let publisher = &counts.group.publisher;
        for (product, line) in counts.lines {
            let key = (publisher.tenant.clone(), publisher.source.clone(), product, counts.group.received_at.hour());
            self.ledger.entry(key).or_default().add(&line);
            self.totals.counts.add(&line);
            outcome.counts.add(&line);
        }
        outcome.rejects = counts.rejects;
        outcome.rejects.sort_by_key(|r| r.message);
        outcome.rejects.truncate(REJECTS_LISTED_MAX);
        outcome
    }

    pub(super) fn finish(self) -> Result<(Frame, FrameTotals), IngestError> {
        let mut parts = Vec::with_capacity(self.rows.len() + 1);
        for rows in self.rows.into_values() {
            parts.extend(rows.finish()?);
        }
        parts.extend(self.quarantine.finish()?);
        parts.extend(self.replayed.finish()?);
        let mut ledger = Vec::with_capacity(self.ledger.len());
        for ((tenant, source, product, hour), counts) in self.ledger {
            schemas::check!(invariant::Id::Ing2, counts.imbalance() == 0, "{tenant} {source} {product:?} {hour}: {counts:?}");
            ledger.push(LedgerDelta { tenant, source, product, hour, counts });
        }
        ledger.sort_by(|a, b| (&a.tenant, &a.source, &a.product, a.hour).cmp(&(&b.tenant, &b.source, &b.product, b.hour)));
        Ok((Frame { parts, ledger }, self.totals))
    }
}
