//! The one thread that writes the log: take all that waits, write, sync once, publish, tell.

use super::{
    LogFault, LogStep, Ticket,
    codec::Encoded,
    gather::Gather,
    recover::{Recovered, sync_dir},
    segment::{self, FILE_HEADER, RecordKind},
};
use crate::{LakehouseConfig, LakehouseError, hot::Hot, store::Subscription};
use parking_lot::Mutex;
use schemas::{Frame, LogPosition};
use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    io::{Seek, SeekFrom, Write as _},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

/// Bytes that one group may have: bounds the time of a sync and the buffer.
const GROUP_BYTES_MAX: usize = 16 << 20;
/// One permit of the byte queue.
const PERMIT_BYTES: usize = 1_024;

type Subscriber = mpsc::Sender<(LogPosition, Arc<Frame>)>;

/// Counters of the log, for metrics.
#[derive(Debug, Default)]
pub(crate) struct LogCounters {
    pub(crate) frames: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) sync_micros: AtomicU64,
    pub(crate) sync_micros_max: AtomicU64,
    pub(crate) errors: AtomicU64,
}

/// State that the writer shares with the store.
#[derive(Debug)]
pub(crate) struct LogShared {
    pub(crate) dir: PathBuf,
    /// Segments by first position; the last is being written and never deleted: its name keeps the position.
    pub(crate) segments: Mutex<Vec<(LogPosition, PathBuf)>>,
    pub(crate) subscribers: Mutex<Vec<Subscriber>>,
    pub(crate) counters: LogCounters,
    /// True once the log is closing: nobody is waited for any more.
    pub(crate) closing: watch::Sender<bool>,
    /// While this is held, no segment is deleted.
    pub(crate) keep_all: tokio::sync::Mutex<()>,
}

struct Job {
    encoded: Encoded,
    reply: oneshot::Sender<Result<LogPosition, LakehouseError>>,
    _permit: OwnedSemaphorePermit,
}

/// The appender's end of the log.
#[derive(Debug)]
pub(crate) struct Log {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    room: Arc<Semaphore>,
    room_max: u32,
    pub(crate) shared: Arc<LogShared>,
    hot: Arc<Hot>,
    subscriber_frames_max: usize,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Log {
    /// Starts the writer at position `next`, in a segment of its own.
    pub(crate) fn start(
        config: &LakehouseConfig,
        hot: Arc<Hot>,
        dir: PathBuf,
        recovered: Recovered,
        next: LogPosition,
    ) -> Result<Self, LakehouseError> {
        let (jobs, queue) = mpsc::channel(config.queue_frames_max.max(1));
        let room_max = u32::try_from((config.queue_bytes_max / PERMIT_BYTES).max(1)).unwrap_or(u32::MAX);
        let shared = Arc::new(LogShared {
            dir,
            segments: Mutex::new(recovered.segments),
            subscribers: Mutex::default(),
            counters: LogCounters::default(),
            closing: watch::Sender::new(false),
            keep_all: tokio::sync::Mutex::default(),
        });
        let segment = Segment::create(&shared, next, next > recovered.next)?;
        let mut writer = Writer {
            queue,
            shared: Arc::clone(&shared),
            hot: Arc::clone(&hot),
            segment,
            next,
            segment_bytes: config.segment_bytes,
            fault: config.log_fault.clone(),
            buffer: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("portico-log".into())
            .spawn(move || writer.run())
            .map_err(LakehouseError::io("starting the log writer"))?;
        Ok(Self {
            jobs: Mutex::new(Some(jobs)),
            room: Arc::new(Semaphore::new(room_max as usize)),
            room_max,
            shared,
            hot,
            subscriber_frames_max: config.subscriber_frames_max.max(1),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Queues a frame; waits only for room.
    pub(crate) async fn append(&self, encoded: Encoded) -> Result<Ticket, LakehouseError> {
        let jobs = self.jobs.lock().clone().ok_or(LakehouseError::Closed)?;
        let permits = u32::try_from(encoded.payload_len / PERMIT_BYTES + 1).unwrap_or(u32::MAX).min(self.room_max);
        let permit = Arc::clone(&self.room).acquire_many_owned(permits).await.map_err(|_| LakehouseError::Closed)?;
        let (reply, ticket) = oneshot::channel();
        jobs.send(Job { encoded, reply, _permit: permit }).await.map_err(|_| LakehouseError::Closed)?;
        Ok(Ticket(ticket))
    }

    /// From now on every frame, in order. A subscriber that does not read holds the log back.
    pub(crate) fn subscribe(&self) -> Subscription {
        let (sender, frames) = mpsc::channel(self.subscriber_frames_max);
        // The writer publishes and then sends, holding this lock for both: no frame falls between.
        let mut subscribers = self.shared.subscribers.lock();
        subscribers.push(sender);
        Subscription { after: self.hot.published(), frames }
    }

    /// Writes what is queued, then ends the thread.
    pub(crate) fn close(&self) {
        self.jobs.lock().take();
        self.shared.closing.send_replace(true);
        self.shared.subscribers.lock().clear();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the log writer panicked");
        }
    }
}

impl LogShared {
    /// Deletes segments that hold nothing after `flushed`.
    pub(crate) async fn trim(&self, flushed: LogPosition) -> Result<(), LakehouseError> {
        let Ok(_keep) = self.keep_all.try_lock() else { return Ok(()) };
        let gone: Vec<_> = {
            let mut segments = self.segments.lock();
            let count = segments.windows(2).take_while(|w| w[1].0 <= flushed + 1).count();
            segments.drain(..count).collect()
        };
        for (_, path) in gone {
            tokio::fs::remove_file(&path).await.map_err(LakehouseError::io(format!("removing {}", path.display())))?;
        }
        Ok(())
    }
}

struct Segment {
    file: File,
    path: PathBuf,
    /// Everything before is durable.
    good: u64,
    /// Bytes after `good` may be garbage of a failed group.
    dirty: bool,
    /// Schemas that have a record here.
    schemas: HashSet<u64>,
}

impl Segment {
    fn create(shared: &LogShared, first: LogPosition, after_gap: bool) -> Result<Self, LakehouseError> {
        let path = segment::path_of(&shared.dir, first);
        let doing = format!("creating log segment {}", path.display());
        let file = (|| {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
            file.write_all(&segment::file_header(after_gap))?;
            file.sync_all()?;
            sync_dir(&shared.dir)?;
            Ok(file)
        })()
        .map_err(LakehouseError::io(doing))?;
        let mut segments = shared.segments.lock();
        segments.retain(|(f, _)| *f != first);
        segments.push((first, path.clone()));
        Ok(Self { file, path, good: FILE_HEADER as u64, dirty: false, schemas: HashSet::new() })
    }

    /// Cuts off what a failed group left.
    fn repair(&mut self) -> std::io::Result<()> {
        if self.dirty {
            self.file.set_len(self.good)?;
            self.file.seek(SeekFrom::Start(self.good))?;
            self.file.sync_all()?;
            self.dirty = false;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &Gather<'_>, fault: Option<&LogFault>, counters: &LogCounters) -> std::io::Result<()> {
        self.repair()?;
        self.dirty = true;
        let allowed = fault.map_or(Ok(bytes.len()), |f| (f.0)(LogStep::Write, bytes.len()))?;
        bytes.write(&mut self.file, allowed.min(bytes.len()))?;
        if allowed < bytes.len() {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        if let Some(f) = fault {
            (f.0)(LogStep::Sync, 0)?;
        }
        let start = Instant::now();
        self.file.sync_data()?;
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        counters.syncs.fetch_add(1, Ordering::Relaxed);
        counters.sync_micros.fetch_add(micros, Ordering::Relaxed);
        counters.sync_micros_max.fetch_max(micros, Ordering::Relaxed);
        self.good += bytes.len() as u64;
        self.dirty = false;
        Ok(())
    }
}

struct Writer {
    queue: mpsc::Receiver<Job>,
    shared: Arc<LogShared>,
    hot: Arc<Hot>,
    segment: Segment,
    next: LogPosition,
    segment_bytes: u64,
    fault: Option<LogFault>,
    buffer: Vec<u8>,
}

impl Writer {
    fn run(&mut self) {
        while let Some(first) = self.queue.blocking_recv() {
            let mut group = vec![first];
            let mut bytes = group[0].encoded.payload_len;
            while bytes < GROUP_BYTES_MAX
                && let Ok(job) = self.queue.try_recv()
            {
                bytes += job.encoded.payload_len;
                group.push(job);
            }
            match self.write(&group) {
                Ok(()) => self.publish(group),
                Err(error) => self.refuse(group, &error),
            }
        }
    }

    fn write(&mut self, group: &[Job]) -> Result<(), LakehouseError> {
        if self.segment.good >= self.segment_bytes {
            // The old segment must end cleanly before a later one exists: recovery cuts only the last.
            self.segment.repair().map_err(LakehouseError::io("repairing the log"))?;
            self.segment = Segment::create(&self.shared, self.next, false)?;
        }
        let mut out = Gather::new(std::mem::take(&mut self.buffer));
        let mut new_schemas = Vec::new();
        for (position, job) in (self.next..).zip(group) {
            let place = (position, self.next);
            for (fingerprint, message) in &job.encoded.schemas {
                if !self.segment.schemas.contains(fingerprint) && !new_schemas.contains(fingerprint) {
                    new_schemas.push(*fingerprint);
                    let fingerprint = fingerprint.to_le_bytes();
                    let mut sum = crc32fast::Hasher::new();
                    sum.update(&fingerprint);
                    sum.update(message);
                    out.copy(&segment::record_head(RecordKind::Schema, place, fingerprint.len() + message.len(), &sum));
                    out.copy(&fingerprint);
                    out.push(message);
                }
            }
            out.copy(&segment::record_head(RecordKind::Frame, place, job.encoded.payload_len, &job.encoded.checksum));
            job.encoded.payload.iter().for_each(|piece| out.push(piece));
        }
        let (written, len) = (self.segment.write(&out, self.fault.as_ref(), &self.shared.counters), out.len());
        self.buffer = out.into_buffer();
        written.map_err(LakehouseError::io(format!("writing log segment {}", self.segment.path.display())))?;
        self.segment.schemas.extend(new_schemas);
        self.shared.counters.frames.fetch_add(group.len() as u64, Ordering::Relaxed);
        self.shared.counters.bytes.fetch_add(len as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Visible first, then acknowledged, then handed to subscribers.
    fn publish(&mut self, group: Vec<Job>) {
        let first = self.next;
        self.next += group.len() as u64;
        let subscribers = {
            let subscribers = self.shared.subscribers.lock();
            let frames = (first..).zip(&group).map(|(position, job)| (position, job.encoded.parts.as_slice()));
            if let Err(error) = self.hot.publish(frames) {
                // Durable but not visible until a restart: stamping cannot fail on rows that were encoded.
                tracing::error!(%error, first, "frames could not be made visible");
            }
            subscribers.clone()
        };
        let mut frames = Vec::with_capacity(if subscribers.is_empty() { 0 } else { group.len() });
        for (position, job) in (first..).zip(group) {
            if !subscribers.is_empty() {
                frames.push((position, job.encoded.frame));
            }
            // The appender may have left; the frame is stored all the same.
            job.reply.send(Ok(position)).ok();
        }
        self.deliver(&subscribers, frames);
        self.shared.subscribers.lock().retain(|s| !s.is_closed());
        if let Err(error) = self.hot.merge() {
            tracing::error!(%error, "hot rows could not be merged");
        }
    }

    fn deliver(&self, subscribers: &[Subscriber], frames: Vec<(LogPosition, Arc<Frame>)>) {
        let mut closing = self.shared.closing.subscribe();
        for (position, frame) in frames {
            for subscriber in subscribers {
                let sent = async {
                    tokio::select! {
                        biased;
                        // A subscriber that left is dropped after this group.
                        sent = subscriber.send((position, Arc::clone(&frame))) => sent.is_ok(),
                        _ = closing.wait_for(|c| *c) => false,
                    }
                };
                futures::executor::block_on(sent);
            }
        }
    }

    fn refuse(&self, group: Vec<Job>, error: &LakehouseError) {
        self.shared.counters.errors.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%error, frames = group.len(), "the log could not be written; nothing was acknowledged");
        for job in group {
            job.reply.send(Err(error.clone())).ok();
        }
    }
}
