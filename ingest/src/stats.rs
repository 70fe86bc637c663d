//! Counters for `/metrics`. They count what is in the log, not what was tried.

use parking_lot::Mutex;
use schemas::Counts;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// A copy of the counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    pub counts: Counts,
    /// By stable reason code; sums to `counts.quarantined`.
    pub quarantined_by_reason: BTreeMap<&'static str, u64>,
    pub queue_messages: u64,
    pub queue_bytes: u64,
    pub frames: u64,
    /// Frames that the log did not take; their senders were not acknowledged.
    pub frames_failed: u64,
    /// Days of stored rows read to recognise late re-deliveries.
    pub days_loaded: u64,
}

/// What one frame did.
#[derive(Debug, Default)]
pub(crate) struct FrameTotals {
    pub(crate) counts: Counts,
    pub(crate) reasons: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    totals: Mutex<FrameTotals>,
    frames: AtomicU64,
    frames_failed: AtomicU64,
    pub(crate) days_loaded: AtomicU64,
}

impl Counters {
    pub(crate) fn stored(&self, frame: &FrameTotals) {
        self.frames.fetch_add(1, Relaxed);
        let mut totals = self.totals.lock();
        totals.counts.add(&frame.counts);
        for (reason, n) in &frame.reasons {
            *totals.reasons.entry(reason).or_default() += n;
        }
    }

    pub(crate) fn failed(&self) {
        self.frames_failed.fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self, queue_messages: u64, queue_bytes: u64) -> Stats {
        let totals = self.totals.lock();
        Stats {
            counts: totals.counts,
            quarantined_by_reason: totals.reasons.clone(),
            queue_messages,
            queue_bytes,
            frames: self.frames.load(Relaxed),
            frames_failed: self.frames_failed.load(Relaxed),
            days_loaded: self.days_loaded.load(Relaxed),
        }
    }
}
