//! Follows an external MQTT broker: persistent session, QoS 1, acknowledged to it only when durable.
//!
//! Every attempt to connect is a fresh client with the same identifier and no clean start: the broker sends again whatever
//! was not acknowledged, and no stale acknowledgement of an earlier connection can meet a new message with the same number.

mod link;

use crate::{Door, Durable, Group, IngestError, Publisher, RawMessage, TopicFilter};
use futures::{
    StreamExt,
    future::{BoxFuture, OptionFuture},
    stream::FuturesOrdered,
};
use link::{Arrival, Link};
use schemas::Clock;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

/// Messages of one group at most. A group is whatever has arrived, never waited for.
const GROUP_MESSAGES: usize = 4_096;
/// How long a stop waits for messages that are not durable yet.
const DRAIN: Duration = Duration::from_secs(5);

/// The version spoken with an external broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MqttVersion {
    V311,
    #[default]
    V5,
}

/// An external broker to follow.
#[derive(Clone)]
pub struct ExternalBroker {
    /// `mqtt://host[:1883]` or `mqtts://host[:8883]`; `mqtts` needs `tls`.
    pub url: String,
    /// Names the session at the broker: stable, and unique among all who follow it.
    pub client_id: String,
    pub user: String,
    pub password: String,
    pub topics: Vec<TopicFilter>,
    /// Share the topics with the other members of this group (`$share/{group}/{filter}`).
    pub shared_group: Option<String>,
    pub version: MqttVersion,
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// 5 seconds at least.
    pub keep_alive: Duration,
    /// Messages taken and not yet durable. The broker is told in MQTT 5.0, and not read beyond it in either version.
    pub in_flight_max: u16,
    /// Bytes of the largest packet; a larger one ends the connection.
    pub packet_max: u32,
    /// First and longest pause before connecting again.
    pub backoff: (Duration, Duration),
    /// Where the jitter of the pauses starts. Different for every follower.
    pub seed: u64,
}

impl ExternalBroker {
    /// Defaults for everything but the address, the identifier and the topics.
    #[must_use]
    pub fn new(url: impl Into<String>, client_id: impl Into<String>, topics: Vec<TopicFilter>) -> Self {
        Self {
            url: url.into(),
            client_id: client_id.into(),
            user: String::new(),
            password: String::new(),
            topics,
            shared_group: None,
            version: MqttVersion::default(),
            tls: None,
            keep_alive: Duration::from_secs(30),
            in_flight_max: 16_384,
            packet_max: 256 << 10,
            backoff: (Duration::from_millis(250), Duration::from_secs(30)),
            seed: 0,
        }
    }
}

/// The password stays out of logs.
impl std::fmt::Debug for ExternalBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExternalBroker")
            .field("url", &self.url)
            .field("client_id", &self.client_id)
            .field("topics", &self.topics)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// What a follower did. `connected` is 0 or 1 now; the rest only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FollowerStats {
    pub connected: u64,
    pub connections_total: u64,
    pub messages: u64,
    pub bytes: u64,
    pub acks: u64,
    /// Connections that ended with an error, the log's refusals included.
    pub failures: u64,
}

#[derive(Debug, Default)]
struct Counters {
    connected: AtomicU64,
    connections_total: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
    acks: AtomicU64,
    failures: AtomicU64,
}

fn add(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Ordering::Relaxed);
}

/// Follows one external broker. Cheap to clone; clones share the counters.
#[derive(Clone)]
pub struct Follower {
    config: Arc<ExternalBroker>,
    publisher: Arc<Publisher>,
    door: Arc<dyn Door>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("config", &self.config).field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Follower {
    /// Messages count as sent by `publisher`.
    ///
    /// # Errors
    /// [`IngestError::Config`] naming the setting that cannot work.
    pub fn new(config: ExternalBroker, publisher: Arc<Publisher>, door: Arc<dyn Door>, clock: Arc<dyn Clock>) -> Result<Self, IngestError> {
        link::check(&config)?;
        Ok(Self { config: Arc::new(config), publisher, door, clock, counters: Arc::default() })
    }

    #[must_use]
    pub fn stats(&self) -> FollowerStats {
        let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
        let c = &self.counters;
        FollowerStats {
            connected: get(&c.connected),
            connections_total: get(&c.connections_total),
            messages: get(&c.messages),
            bytes: get(&c.bytes),
            acks: get(&c.acks),
            failures: get(&c.failures),
        }
    }

    /// Follows until `stop`: connects, and connects again with growing, jittered pauses whatever happens.
    pub async fn run(&self, stop: CancellationToken) {
        let (first, longest) = self.config.backoff;
        let mut random = self.config.seed;
        let mut pause = first;
        while !stop.is_cancelled() {
            let before = self.counters.acks.load(Ordering::Relaxed);
            let outcome = self.connection(&stop).await;
            self.counters.connected.store(0, Ordering::Relaxed);
            let Err(error) = outcome else { return };
            if stop.is_cancelled() {
                return;
            }
            add(&self.counters.failures, 1);
            if self.counters.acks.load(Ordering::Relaxed) > before {
                pause = first;
            }
            let wait = jittered(pause, &mut random);
            tracing::warn!(url = %self.config.url, error, ?wait, "external broker lost, connecting again");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            pause = (pause * 2).min(longest);
        }
    }

    /// One connection; `Ok` only after a stop.
    async fn connection(&self, stop: &CancellationToken) -> Result<(), String> {
        let (link, reader) = Link::open(&self.config).map_err(|e| e.to_string())?;
        let (arrived, arrivals) = mpsc::channel(usize::from(self.config.in_flight_max));
        let flow = Flow {
            follower: self,
            link,
            arrivals,
            submitting: None.into(),
            submitted: Vec::new(),
            pending: FuturesOrdered::new(),
            in_flight: 0,
        };
        tokio::select! {
            // The reader owns the socket, acknowledgements included: it only ends with an error.
            error = reader.run(arrived) => Err(error),
            outcome = flow.run(stop) => outcome,
        }
    }

    fn submit(&self, messages: Vec<RawMessage>) -> BoxFuture<'static, Result<Durable, IngestError>> {
        let group = Group { publisher: Arc::clone(&self.publisher), messages, rejects: Vec::new(), received_at: self.clock.now() };
        let door = Arc::clone(&self.door);
        Box::pin(async move { door.submit(group).await })
    }
}

type Settled = Result<Vec<u16>, IngestError>;

/// The messages of one connection on their way to durability.
struct Flow<'a> {
    follower: &'a Follower,
    link: Link,
    arrivals: mpsc::Receiver<Arrival>,
    submitting: OptionFuture<BoxFuture<'static, Result<Durable, IngestError>>>,
    /// Packet identifiers of the group that is being handed over; 0 needs no acknowledgement.
    submitted: Vec<u16>,
    pending: FuturesOrdered<BoxFuture<'static, Settled>>,
    in_flight: usize,
}

impl Flow<'_> {
    async fn run(mut self, stop: &CancellationToken) -> Result<(), String> {
        let mut batch = Vec::new();
        loop {
            let room = usize::from(self.follower.config.in_flight_max).saturating_sub(self.in_flight);
            let reading = self.submitted.is_empty() && room > 0;
            tokio::select! {
                () = stop.cancelled() => {
                    drop(timeout(DRAIN, self.leave()).await);
                    return Ok(());
                }
                Some(settled) = self.pending.next() => self.settle(settled)?,
                Some(taken) = &mut self.submitting => self.taken(taken)?,
                n = self.arrivals.recv_many(&mut batch, room.min(GROUP_MESSAGES)), if reading => {
                    if n == 0 {
                        return Err("the reader ended".into());
                    }
                    self.take(&mut batch)?;
                }
            }
        }
    }

    fn take(&mut self, batch: &mut Vec<Arrival>) -> Result<(), String> {
        let counters = &self.follower.counters;
        let mut messages = Vec::with_capacity(batch.len());
        for arrival in batch.drain(..) {
            match arrival {
                Arrival::Connected => {
                    self.link.subscribe(&self.follower.config)?;
                    counters.connected.store(1, Ordering::Relaxed);
                    add(&counters.connections_total, 1);
                }
                Arrival::Subscribed => tracing::info!(url = %self.follower.config.url, "following broker"),
                Arrival::Refused(filter) => return Err(format!("the broker refuses the subscription to '{filter}'")),
                Arrival::Message { topic, payload, id } => {
                    add(&counters.bytes, payload.len());
                    self.submitted.push(id);
                    messages.push(RawMessage { topic, payload });
                }
            }
        }
        if !messages.is_empty() {
            self.in_flight += messages.len();
            add(&counters.messages, messages.len());
            self.submitting = Some(self.follower.submit(messages)).into();
        }
        Ok(())
    }

    fn taken(&mut self, taken: Result<Durable, IngestError>) -> Result<(), String> {
        self.submitting = None.into();
        let ids = std::mem::take(&mut self.submitted);
        let durable = taken.map_err(|e| e.to_string())?;
        self.pending.push_back(Box::pin(async move { durable.await.map(|_| ids) }));
        Ok(())
    }

    /// Acknowledges a durable group. When the log refused, the connection ends and the broker sends again.
    fn settle(&mut self, settled: Settled) -> Result<(), String> {
        let ids = settled.map_err(|e| e.to_string())?;
        self.in_flight -= ids.len();
        for id in ids.into_iter().filter(|id| *id != 0) {
            self.link.ack(id)?;
            add(&self.follower.counters.acks, 1);
        }
        Ok(())
    }

    /// Acknowledges what becomes durable, then leaves. The reader, polled beside this, does the writing.
    async fn leave(&mut self) -> Result<(), String> {
        if let Some(taken) = (&mut self.submitting).await {
            self.taken(taken)?;
        }
        while let Some(settled) = self.pending.next().await {
            self.settle(settled)?;
        }
        self.link.disconnect()?;
        // Until the broker closes: a socket that is closed with unread bytes may take the last acknowledgements with it.
        while self.arrivals.recv().await.is_some() {}
        Ok(())
    }
}

/// Half to all of `pause`, by SplitMix64 from the injected seed.
fn jittered(pause: Duration, state: &mut u64) -> Duration {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let part = ((z ^ (z >> 31)) >> 40) as f32 / (1_u32 << 24) as f32;
    pause.mul_f32(part.mul_add(0.5, 0.5))
}

#[cfg(test)]
mod tests;
