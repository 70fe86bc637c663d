//! Shared by the tests of the pipeline: contracts, limits, and a sink in memory that can hold frames back, lose them, or lie about them.

use crate::{Publisher, Sink, SinkError, TopicFilter, decode::DecodeLimits, sink::Durability};
use arrow_array::{Array, RecordBatch, cast::AsArray, types::TimestampMicrosecondType};
use futures::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use schemas::{Contracts, Counts, Frame, Kind, SourceId, TableRef, Tenant, Timestamp, ops::OpsTable, row};
use std::{collections::VecDeque, sync::Arc};

pub(crate) fn contracts() -> Contracts {
    static ONCE: std::sync::OnceLock<Contracts> = std::sync::OnceLock::new();
    ONCE.get_or_init(|| Contracts::builtin().unwrap()).clone()
}

pub(crate) fn limits() -> DecodeLimits {
    let config = crate::IngestConfig::default();
    DecodeLimits {
        payload_bytes_max: config.payload_bytes_max,
        depth_max: config.depth_max,
        observations_per_message_max: config.observations_per_message_max,
        topics_cached_max: 100,
        oldest_accepted: Timestamp(0),
        retention: true,
    }
}

pub(crate) fn publisher() -> Arc<Publisher> {
    Arc::new(Publisher {
        source: SourceId::new("mqtt/gateway-7").unwrap(),
        tenant: Tenant::new("bologna").unwrap(),
        publish: vec![TopicFilter::parse("portico/bologna/#").unwrap()],
        subscribe: Vec::new(),
        simulated: true,
    })
}

/// What becomes of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Stored,
    /// Not stored, and said so.
    Lost,
    /// Stored, but the answer is a failure: the disk said nothing.
    StoredUnsaid,
    /// Refused before a future could be returned.
    Refused,
}

#[derive(Debug, Default)]
pub(crate) struct MemorySink {
    pub(crate) frames: Arc<Mutex<Vec<Frame>>>,
    /// Fates of the next frames; `Stored` when empty.
    pub(crate) fates: Mutex<VecDeque<Fate>>,
    /// A frame becomes durable only with a permit from here, when it is set.
    pub(crate) gate: Option<Arc<tokio::sync::Semaphore>>,
}

impl MemorySink {
    fn parts(&self, table: &TableRef) -> Vec<RecordBatch> {
        self.frames.lock().iter().flat_map(|f| &f.parts).filter(|p| p.table == *table).map(|p| p.rows.clone()).collect()
    }

    /// Every row as text, sorted: entity, instant, quality and fields; what two runs must agree on.
    pub(crate) fn rows(&self) -> Vec<String> {
        let frames = self.frames.lock();
        let mut out = Vec::new();
        for part in frames.iter().flat_map(|f| &f.parts).filter(|p| OpsTable::of(&p.table).is_none()) {
            for i in 0..part.rows.num_rows() {
                let skip = [row::RECEIVED_AT, row::SOURCE];
                let fields = part.rows.schema();
                let cells = fields.fields().iter().zip(part.rows.columns()).filter(|(f, _)| !skip.contains(&f.name().as_str()));
                let cells: Vec<String> =
                    cells.map(|(_, c)| if c.is_null(i) { "-".into() } else { format!("{:?}", c.slice(i, 1)) }).collect();
                out.push(format!("{} {}", part.table, cells.join("|")));
            }
        }
        out.sort();
        out
    }

    /// The ledger, summed.
    pub(crate) fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        self.frames.lock().iter().flat_map(|f| &f.ledger).for_each(|d| sum.add(&d.counts));
        sum
    }

    pub(crate) fn quarantined(&self) -> Vec<RecordBatch> {
        self.parts(&OpsTable::Quarantine.table())
    }
}

fn times(batch: &RecordBatch) -> Vec<i64> {
    batch.column_by_name(row::OBSERVED_AT).unwrap().as_primitive::<TimestampMicrosecondType>().values().to_vec()
}

impl Sink for MemorySink {
    fn submit(&self, frame: Frame) -> BoxFuture<'_, Result<Durability, SinkError>> {
        let fate = self.fates.lock().pop_front().unwrap_or(Fate::Stored);
        let (frames, gate) = (Arc::clone(&self.frames), self.gate.clone());
        let failure = || SinkError::new(Kind::Unavailable, "disk full");
        async move {
            if fate == Fate::Refused {
                return Err(failure());
            }
            let durability = async move {
                if let Some(gate) = gate {
                    gate.acquire().await.unwrap().forget();
                }
                let mut frames = frames.lock();
                if fate != Fate::Lost {
                    frames.push(frame);
                }
                if fate == Fate::Stored { Ok(frames.len() as u64) } else { Err(failure()) }
            };
            Ok(durability.boxed())
        }
        .boxed()
    }

    fn stored_rows(&self, table: &TableRef, date: i32) -> BoxFuture<'_, Result<Vec<RecordBatch>, SinkError>> {
        let mut out = Vec::new();
        for batch in self.parts(table) {
            let times = times(&batch);
            out.extend((0..times.len()).filter(|i| Timestamp(times[*i]).date() == date).map(|i| batch.slice(i, 1)));
        }
        async move { Ok(out) }.boxed()
    }

    fn newest(&self, table: &TableRef) -> BoxFuture<'_, Result<Option<Timestamp>, SinkError>> {
        let newest = self.parts(table).iter().flat_map(times).max().map(Timestamp);
        async move { Ok(newest) }.boxed()
    }
}

/// The defaults, for fixtures that are older than what contracts keep.
pub(crate) fn keeping_all() -> crate::IngestConfig {
    crate::IngestConfig { retention: false, ..crate::IngestConfig::default() }
}
