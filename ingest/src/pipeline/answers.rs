//! Waits for frames to become durable, in order, and answers their groups.

use super::{Answer, Outcome};
use crate::{
    IngestError, SinkError,
    sink::Durability,
    stats::{Counters, FrameTotals},
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

/// A frame that was handed to the sink.
pub(super) struct Sent {
    /// Which life of the dedup state judged its rows.
    pub(super) epoch: u64,
    pub(super) durability: Result<Durability, SinkError>,
    pub(super) answers: Vec<(Answer, Outcome)>,
    pub(super) totals: FrameTotals,
    /// Room for one more frame in flight, given back afterwards.
    pub(super) room: OwnedSemaphorePermit,
}

/// What the worker watches.
#[derive(Debug)]
pub(super) struct Progress {
    /// Frames settled since the start, durable or not.
    pub(super) settled: watch::Receiver<u64>,
    /// The newest epoch that a failure ended; 0 when none did.
    pub(super) failed_epoch: Arc<AtomicU64>,
}

/// Starts the task that answers. It ends when the sender is dropped and the last frame is settled.
pub(super) fn spawn(mut sent: mpsc::Receiver<Sent>, counters: Arc<Counters>) -> (Progress, tokio::task::JoinHandle<()>) {
    let (settled, receiver) = watch::channel(0);
    let failed_epoch = Arc::new(AtomicU64::new(0));
    let progress = Progress { settled: receiver, failed_epoch: Arc::clone(&failed_epoch) };
    let task = tokio::spawn(async move {
        let mut failure: Option<(u64, IngestError)> = None;
        while let Some(frame) = sent.recv().await {
            let result = match frame.durability {
                Ok(durability) => durability.await,
                Err(e) => Err(e),
            };
            match &result {
                Ok(_) => counters.stored(&frame.totals),
                Err(e) => {
                    counters.failed();
                    tracing::error!(error = %e, n_groups = frame.answers.len(), "a frame was not stored; its messages are not acknowledged");
                    failed_epoch.store(frame.epoch, SeqCst);
                    failure = Some((frame.epoch, IngestError::Sink(e.clone())));
                }
            }
            let poisoned = failure.as_ref().filter(|(epoch, _)| *epoch == frame.epoch).map(|(_, e)| e);
            for (answer, mut outcome) in frame.answers {
                let said = match (&result, poisoned) {
                    (Ok(position), None) => {
                        outcome.position = *position;
                        Ok(outcome)
                    }
                    (_, Some(e)) => Err(e.clone()),
                    (Err(e), None) => Err(IngestError::Sink(e.clone())),
                };
                // A sender that no longer waits (closed connection) needs no answer.
                drop(answer.send(said));
            }
            drop(frame.room);
            settled.send_modify(|n| *n += 1);
        }
    });
    (progress, task)
}
