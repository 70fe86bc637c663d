//! The one thread that judges rows and builds frames. The reasoning about races is in [`crate::dedup`].

use super::{
    Job,
    answers::{self, Progress, Sent},
    frame::FrameBuilder,
};
use crate::{
    IngestConfig, IngestError, Sink,
    dedup::{Dedup, Verdict},
    mapping::route::{Router, Table},
    stats::Counters,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Why a batch could not be judged.
enum Setback {
    /// An earlier frame failed: forget the state and judge again.
    Poisoned,
    /// The lake could not be read: nobody of the batch is answered with success.
    Lake(IngestError),
}

pub(super) struct Worker {
    frame_messages_max: usize,
    frames_in_flight_max: usize,
    quarantine_payload_bytes_max: usize,
    router: Arc<Router>,
    sink: Arc<dyn Sink>,
    counters: Arc<Counters>,
    dedup: Dedup,
    /// Which life of the dedup state this is; starts at 1.
    epoch: u64,
    n_sent: u64,
}

impl Worker {
    pub(super) fn new(config: &IngestConfig, router: Arc<Router>, sink: Arc<dyn Sink>, counters: Arc<Counters>) -> Self {
        Self {
            frame_messages_max: config.frame_messages_max.max(1),
            frames_in_flight_max: config.frames_in_flight_max.max(1),
            quarantine_payload_bytes_max: config.quarantine_payload_bytes_max,
            dedup: Dedup::new(config.series_max, config.day_sets_bytes_max),
            router,
            sink,
            counters,
            epoch: 1,
            n_sent: 0,
        }
    }
}

/// Starts the thread. `ended` is cancelled when the last group is answered.
pub(super) fn spawn(
    worker: Worker,
    queue: mpsc::Receiver<Job>,
    stop: CancellationToken,
    ended: CancellationToken,
) -> Result<(), IngestError> {
    let runtime = tokio::runtime::Handle::try_current().map_err(|e| IngestError::Internal(format!("Pipeline::start: {e}")))?;
    let run = move || {
        runtime.block_on(worker.run(queue, stop));
        ended.cancel();
    };
    let thread = std::thread::Builder::new().name("ingest-frames".into()).spawn(run);
    thread.map(drop).map_err(|e| IngestError::Unavailable { what: "thread ingest-frames".into(), message: e.to_string() })
}

impl Worker {
    async fn run(mut self, mut queue: mpsc::Receiver<Job>, stop: CancellationToken) {
        let room = Arc::new(Semaphore::new(self.frames_in_flight_max));
        let (sent, frames) = mpsc::channel(self.frames_in_flight_max);
        let (mut progress, answering) = answers::spawn(frames, Arc::clone(&self.counters));
        loop {
            // First room for a frame, then the queue: what comes while the log is busy shares one frame.
            let Ok(room) = Arc::clone(&room).acquire_owned().await else { break };
            let Some(batch) = self.batch(&mut queue, &stop).await else { break };
            let frame = match self.judge_and_build(&batch, &mut progress).await {
                Ok(frame) => frame,
                Err(e) => {
                    tracing::error!(error = %e, n_groups = batch.len(), "messages could not be judged; they are not acknowledged");
                    batch.into_iter().for_each(|job| drop(job.answer.send(Err(e.clone()))));
                    // The state already holds rows of this batch, which nobody will store.
                    self.settle_all(&mut progress).await;
                    self.forget();
                    continue;
                }
            };
            let answers = batch.into_iter().map(|job| job.answer).zip(frame.1).collect();
            let durability = self.sink.submit(frame.0).await;
            self.n_sent += 1;
            if sent.send(Sent { epoch: self.epoch, durability, answers, totals: frame.2, room }).await.is_err() {
                break;
            }
        }
        drop(sent);
        if let Err(e) = answering.await {
            tracing::error!(error = %e, "the task that answers senders failed");
        }
    }

    /// Everything that waits, up to the size of a frame; `None` when the pipeline is closed and the queue empty.
    async fn batch(&self, queue: &mut mpsc::Receiver<Job>, stop: &CancellationToken) -> Option<Vec<Job>> {
        let first = tokio::select! {
            biased;
            job = queue.recv() => job?,
            () = stop.cancelled() => {
                queue.close();
                queue.recv().await?
            }
        };
        let mut n = first.group.messages.len();
        let mut batch = vec![first];
        while n < self.frame_messages_max {
            let Ok(job) = queue.try_recv() else { break };
            n += job.group.messages.len();
            batch.push(job);
        }
        Some(batch)
    }

    async fn judge_and_build(&mut self, batch: &[Job], progress: &mut Progress) -> Result<Built, IngestError> {
        loop {
            if self.is_poisoned(progress) {
                self.settle_all(progress).await;
                self.forget();
            }
            match self.judge(batch, progress).await {
                Ok(verdicts) => return self.build(batch, &verdicts),
                Err(Setback::Poisoned) => {}
                Err(Setback::Lake(e)) => return Err(e),
            }
        }
    }

    fn is_poisoned(&self, progress: &Progress) -> bool {
        progress.failed_epoch.load(Ordering::SeqCst) == self.epoch
    }

    fn forget(&mut self) {
        self.dedup.reset();
        self.epoch += 1;
    }

    /// Waits until every frame handed over is durable or has failed.
    async fn settle_all(&self, progress: &mut Progress) {
        let n = self.n_sent;
        // An error means that the answering task is gone; then nothing is in flight either.
        drop(progress.settled.wait_for(|settled| *settled >= n).await);
    }

    /// Step 1 of the dedup, and the days that step 3 needs. Verdicts are in order of groups, blocks and rows.
    async fn judge(&mut self, batch: &[Job], progress: &mut Progress) -> Result<Vec<Option<Verdict>>, Setback> {
        let mut verdicts = Vec::new();
        let mut days: BTreeMap<(usize, i32), Arc<Table>> = BTreeMap::new();
        for block in batch.iter().flat_map(|job| &job.decoded.blocks) {
            let table = &block.table;
            if !self.dedup.is_open(table.id) {
                let newest = self.sink.newest(&table.name).await.map_err(|e| Setback::Lake(e.into()))?;
                self.dedup.open(table.id, newest);
            }
            for row in &block.rows {
                let verdict = self.dedup.judge(table.id, row.identity, row.observed_at);
                let date = row.observed_at.date();
                if verdict.is_none() && !self.dedup.has_day(table.id, date) {
                    days.entry((table.id, date)).or_insert_with(|| Arc::clone(table));
                }
                verdicts.push(verdict);
            }
        }
        if !days.is_empty() {
            self.settle_all(progress).await;
            if self.is_poisoned(progress) {
                return Err(Setback::Poisoned);
            }
            for ((id, date), table) in days {
                self.load(id, date, &table).await.map_err(Setback::Lake)?;
            }
        }
        Ok(verdicts)
    }

    async fn load(&mut self, id: usize, date: i32, table: &Table) -> Result<(), IngestError> {
        let batches = self.sink.stored_rows(&table.name, date).await?;
        let mut rows = Vec::with_capacity(batches.iter().map(arrow_array::RecordBatch::num_rows).sum());
        for batch in &batches {
            rows.extend(self.router.identities.stored(table, batch).map_err(IngestError::Internal)?);
        }
        self.dedup.load_day(id, date, rows);
        self.counters.days_loaded.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Step 3 of the dedup, and the frame.
    fn build(&mut self, batch: &[Job], verdicts: &[Option<Verdict>]) -> Result<Built, IngestError> {
        let mut builder = FrameBuilder::new(batch, self.quarantine_payload_bytes_max);
        let mut verdicts = verdicts.iter();
        let dedup = &mut self.dedup;
        let mut outcomes = Vec::with_capacity(batch.len());
        for job in batch {
            outcomes.push(builder.add(job, |block, i| {
                let row = &block.rows[i];
                let verdict = verdicts.next().copied().flatten();
                dedup.settle(block.table.id, row.identity, row.observed_at, verdict)
            }));
        }
        dedup.evict();
        let (frame, totals) = builder.finish()?;
        Ok(Built(frame, outcomes, totals))
    }
}

struct Built(schemas::Frame, Vec<super::Outcome>, crate::stats::FrameTotals);
