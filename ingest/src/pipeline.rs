//! Groups in, frames out. Decoding runs on the callers' side, in parallel; one worker thread tells duplicates, builds frames
//! and hands them to the sink in order, without waiting for the disk; answers come back in order of frames.
//!
//! Bounds: messages and bytes between `submit` and the frame (then `submit` waits), frames in flight (then the worker waits,
//! and the next frame gathers everything that came meanwhile, which is what makes a group fsync pay).

mod answers;
mod frame;
mod worker;

use crate::{
    Door, Durable, Group, IngestConfig, IngestError, Sink,
    decode::{DecodeLimits, Decoded, Decoder, Receipt},
    mapping::{Mappings, route::Router},
    replay::Again,
    stats::{Counters, Stats},
};
use futures::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use schemas::{Contracts, Counts, LogPosition, Timestamp};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Messages decoded before other tasks of the thread get a turn: well under a millisecond of work.
const DECODE_CHUNK: usize = 512;
/// Refusals listed in an outcome; the rest is counted.
pub const REJECTS_LISTED_MAX: usize = 20;

/// What became of one group.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Of the frame; 0 when the group was empty.
    pub position: LogPosition,
    pub counts: Counts,
    /// The first [`REJECTS_LISTED_MAX`], by message.
    pub rejects: Vec<MessageReject>,
}

/// Why one message of a group was quarantined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageReject {
    /// Index in the group.
    pub message: usize,
    pub reason: &'static str,
    pub field: Option<String>,
    pub text: String,
}

type Answer = oneshot::Sender<Result<Outcome, IngestError>>;

/// A decoded group on its way to the worker.
#[derive(Debug)]
struct Job {
    group: Group,
    decoded: Decoded,
    /// For a replay, where each message comes from.
    again: Option<Vec<Again>>,
    answer: Answer,
    /// Given back when the job is dropped: its rows are in a frame by then.
    _room: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

/// The pipeline. Cheap to clone; [`Pipeline::close`] ends it.
#[derive(Debug, Clone)]
pub struct Pipeline(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: IngestConfig,
    limits: DecodeLimits,
    router: Arc<Router>,
    decoders: Mutex<Vec<Decoder>>,
    room_messages: Arc<Semaphore>,
    /// In KiB, so that a semaphore can count it.
    room_kib: Arc<Semaphore>,
    jobs: mpsc::Sender<Job>,
    counters: Arc<Counters>,
    stop: CancellationToken,
    ended: CancellationToken,
}

impl Pipeline {
    /// Must be called inside a tokio runtime, which the worker thread uses to wait for the sink.
    pub fn start(config: IngestConfig, contracts: Contracts, mappings: Mappings, sink: Arc<dyn Sink>) -> Result<Self, IngestError> {
        let place = "oldest_accepted".to_owned();
        let oldest_accepted = Timestamp::parse(&config.oldest_accepted).map_err(|e| IngestError::Config { place, rule: e.to_string() })?;
        let limits = DecodeLimits {
            payload_bytes_max: config.payload_bytes_max,
            depth_max: config.depth_max,
            observations_per_message_max: config.observations_per_message_max,
            topics_cached_max: config.topics_cached_max,
            oldest_accepted,
            retention: config.retention,
        };
        // Jobs are bounded by the two semaphores; the channel's own bound only has to be no smaller.
        let (jobs, queue) = mpsc::channel(config.queue_messages_max.clamp(1, 1 << 16) as usize);
        let counters = Arc::new(Counters::default());
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let router = Arc::new(Router::new(contracts, mappings)?);
        let worker = worker::Worker::new(&config, Arc::clone(&router), sink, Arc::clone(&counters));
        worker::spawn(worker, queue, stop.clone(), ended.clone())?;
        Ok(Self(Arc::new(Inner {
            limits,
            router,
            decoders: Mutex::default(),
            room_messages: Arc::new(Semaphore::new(config.queue_messages_max.max(1) as usize)),
            room_kib: Arc::new(Semaphore::new((config.queue_bytes_max / 1024).max(1) as usize)),
            jobs,
            counters,
            stop,
            ended,
            config,
        })))
    }

    /// The contracts and routes in use.
    #[must_use]
    pub fn router(&self) -> &Router {
        &self.0.router
    }

    #[must_use]
    pub fn config(&self) -> &IngestConfig {
        &self.0.config
    }

    /// Waits for room, decodes, queues. The receiver gets the outcome when it is durable.
    pub async fn submit_group(&self, group: Group) -> Result<Pending, IngestError> {
        self.take(group, None).await
    }

    /// Messages of the quarantine once more: judged by their first receipt, known from that of the group on ([`crate::replay`]).
    /// `again` has an entry for each message.
    pub(crate) async fn submit_again(&self, group: Group, again: Vec<Again>) -> Result<Pending, IngestError> {
        self.take(group, Some(again)).await
    }

    async fn take(&self, group: Group, again: Option<Vec<Again>>) -> Result<Pending, IngestError> {
        let room = self.room(&group).await?;
        let (answer, outcome) = oneshot::channel();
        if group.messages.is_empty() && group.rejects.is_empty() {
            drop(answer.send(Ok(Outcome::default())));
            return Ok(Pending(outcome));
        }
        let decoded = self.decode(&group, again.as_deref()).await;
        self.0.jobs.send(Job { group, decoded, again, answer, _room: room }).await.map_err(|_| IngestError::Stopped)?;
        Ok(Pending(outcome))
    }

    /// A group larger than the whole room takes all of it.
    async fn room(&self, group: &Group) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), IngestError> {
        let (n_max, kib_max) = (self.0.config.queue_messages_max.max(1) as usize, (self.0.config.queue_bytes_max / 1024).max(1) as usize);
        let n = (group.messages.len() + group.rejects.len()).clamp(1, n_max);
        let bytes: usize =
            group.messages.iter().map(|m| m.payload.len() + m.topic.len()).chain(group.rejects.iter().map(|r| r.payload.len())).sum();
        let kib = bytes.div_ceil(1024).clamp(1, kib_max);
        let take = |room: &Arc<Semaphore>, n: usize| Arc::clone(room).acquire_many_owned(u32::try_from(n).unwrap_or(u32::MAX));
        let messages = take(&self.0.room_messages, n).await.map_err(|_| IngestError::Stopped)?;
        let kib = take(&self.0.room_kib, kib).await.map_err(|_| IngestError::Stopped)?;
        Ok((messages, kib))
    }

    async fn decode(&self, group: &Group, again: Option<&[Again]>) -> Decoded {
        let mut out = Decoded::default();
        let first = |i: usize| again.and_then(|a| a.get(i)).map_or(group.received_at, |a| a.received_at);
        let receipt = |i: usize| Receipt { tenant: &group.publisher.tenant, received_at: first(i) };
        for (chunk, messages) in group.messages.chunks(DECODE_CHUNK).enumerate() {
            if chunk > 0 {
                tokio::task::yield_now().await;
            }
            let decoder = self.0.decoders.lock().pop();
            let mut decoder = decoder.unwrap_or_else(|| Decoder::new(Arc::clone(&self.0.router), self.0.limits.clone()));
            for (i, message) in messages.iter().enumerate() {
                let index = chunk * DECODE_CHUNK + i;
                decoder.message(receipt(index), index as u32, message, &mut out);
            }
            self.0.decoders.lock().push(decoder);
        }
        out
    }

    #[must_use]
    pub fn stats(&self) -> Stats {
        let messages = self.0.config.queue_messages_max.max(1) as usize - self.0.room_messages.available_permits();
        let kib = (self.0.config.queue_bytes_max / 1024).max(1) as usize - self.0.room_kib.available_permits();
        self.0.counters.read(messages as u64, kib as u64 * 1024)
    }

    /// Takes nothing new, finishes what was queued, and returns when all of it is answered.
    pub async fn close(&self) {
        self.0.room_messages.close();
        self.0.room_kib.close();
        self.0.stop.cancel();
        self.0.ended.cancelled().await;
    }
}

/// The outcome to come.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Outcome, IngestError>>);

impl Pending {
    /// Resolves when the group is durable, or when it is certain that it must be sent again.
    pub async fn outcome(self) -> Result<Outcome, IngestError> {
        self.0.await.unwrap_or(Err(IngestError::Stopped))
    }
}

impl Door for Pipeline {
    fn submit(&self, group: Group) -> BoxFuture<'_, Result<Durable, IngestError>> {
        async move {
            let pending = self.submit_group(group).await?;
            Ok(pending.outcome().map(|outcome| outcome.map(|o| o.position)).boxed())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
