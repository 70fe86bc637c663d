//! The embedded MQTT broker: versions 3.1.1 and 5.0 on one port, TCP or TLS.
//!
//! It exists because of one requirement (ADR 0002): a PUBLISH is acknowledged only when it is durable, and one connection keeps
//! thousands of them in flight. Packets are grouped as they arrive, a group is handed to the [`Door`], reading goes on, and when the
//! group's future resolves all its acknowledgements leave in one write. Back-pressure is TCP: a connection whose window is full is not read.

mod connection;
mod control;
mod ending;
#[cfg(fuzzing)]
pub mod fuzz;
mod guard;
mod handshake;
mod inbound;
mod retained;
mod session;
mod stats;
mod subscriptions;
mod wire;

pub use stats::BrokerStats;

use crate::{Access, Door, IngestError};
use guard::LoginGuard;
use retained::Retained;
use schemas::Clock;
use session::Sessions;
use stats::Counters;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use subscriptions::{Delivery, Hub};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Limits of the broker. Sizes in bytes.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    pub connections_max: usize,
    /// TCP accept to CONNACK, TLS handshake and password check included.
    pub connect_timeout: Duration,
    /// The largest packet of a client, header included.
    pub packet_max: usize,
    /// Messages that one connection may have unacknowledged before it is no longer read; the Receive Maximum of MQTT 5.0.
    pub window_messages: u16,
    /// The same in bytes.
    pub window_bytes: usize,
    /// Bytes that all connections together may have on their way to the log.
    pub memory_max: usize,
    /// The longest silence of a client, also of one that asks for less or no keep alive.
    pub keep_alive_max: Duration,
    /// How long a client may leave our bytes unread.
    pub write_timeout: Duration,
    /// How long the end of a connection waits for messages that are not durable yet.
    pub drain_timeout: Duration,
    /// The longest life of a session without connection, and how many of them there may be.
    pub session_expiry_max: Duration,
    pub sessions_max: usize,
    pub subscriptions_per_client_max: usize,
    /// Bytes queued for one subscriber; what does not fit is lost to it.
    pub subscriber_queue_bytes: usize,
    pub retained_count_max: usize,
    pub retained_bytes_max: usize,
    /// Failed logins of one address per window, after which it is not let in until the window ends.
    pub login_failures_max: u32,
    pub login_window: Duration,
    /// Password checks at the same time; they cost CPU by design.
    pub logins_parallel: usize,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Self {
            connections_max: 10_000,
            connect_timeout: Duration::from_secs(10),
            packet_max: 256 << 10,
            window_messages: 16_384,
            window_bytes: 8 * MIB,
            memory_max: 256 * MIB,
            keep_alive_max: Duration::from_secs(3_600),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
            session_expiry_max: Duration::from_secs(86_400),
            sessions_max: 10_000,
            subscriptions_per_client_max: 64,
            subscriber_queue_bytes: MIB,
            retained_count_max: 10_000,
            retained_bytes_max: 16 * MIB,
            login_failures_max: 20,
            login_window: Duration::from_secs(60),
            logins_parallel: 2,
        }
    }
}

/// The broker. Cheap to clone; all clones and listeners share sessions, subscriptions and counters.
#[derive(Clone)]
pub struct Broker(Arc<Shared>);

struct Shared {
    config: BrokerConfig,
    door: Arc<dyn Door>,
    access: Arc<dyn Access>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    sessions: Arc<Sessions>,
    hub: Hub,
    guard: LoginGuard,
    seats: Arc<Semaphore>,
    /// Permits of [`PERMIT_BYTES`] each.
    memory: Arc<Semaphore>,
    logins: Semaphore,
    /// Numbers connections, and the client identifiers that the broker assigns.
    next_id: AtomicU64,
}

/// Grain of the memory budget.
const PERMIT_BYTES: usize = 256;

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("config", &self.0.config).field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Broker {
    #[must_use]
    pub fn new(config: BrokerConfig, door: Arc<dyn Door>, access: Arc<dyn Access>, clock: Arc<dyn Clock>) -> Self {
        let counters = Arc::<Counters>::default();
        let permits = |bytes: usize| (bytes / PERMIT_BYTES).clamp(1, u32::MAX as usize >> 1);
        Self(Arc::new(Shared {
            sessions: Arc::new(Sessions::new(config.sessions_max, Arc::clone(&counters))),
            hub: Hub::new(Retained::new(config.retained_count_max, config.retained_bytes_max), Arc::clone(&counters)),
            guard: LoginGuard::new(config.login_failures_max, config.login_window),
            seats: Arc::new(Semaphore::new(config.connections_max)),
            memory: Arc::new(Semaphore::new(permits(config.memory_max))),
            logins: Semaphore::new(config.logins_parallel.max(1)),
            next_id: AtomicU64::new(1),
            config,
            door,
            access,
            clock,
            counters,
        }))
    }

    #[must_use]
    pub fn stats(&self) -> BrokerStats {
        self.0.counters.snapshot()
    }

    /// Hands a message of the platform itself to whoever subscribed to its topic: QoS 0, not stored, not retained.
    pub fn announce(&self, topic: &str, payload: bytes::Bytes) {
        let delivery =
            Delivery { topic: bytes::Bytes::copy_from_slice(topic.as_bytes()), payload, properties: bytes::Bytes::new(), retain: false };
        self.0.hub.deliver(vec![delivery], 0);
    }

    /// Serves one listener until `stop`, then ends its connections: what they sent is made durable and acknowledged
    /// as far as the drain timeout allows.
    ///
    /// # Errors
    /// When the listener itself fails; a failing connection only ends itself.
    pub async fn serve(&self, listener: TcpListener, tls: Option<TlsAcceptor>, stop: CancellationToken) -> Result<(), IngestError> {
        let tasks = TaskTracker::new();
        let result = loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break Ok(()),
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => self.admit(socket, peer, tls.clone(), &stop, &tasks),
                // Out of descriptors, or a peer that left while it waited: the next accept may succeed, but not at once.
                Err(e) if is_transient(&e) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(e) => break Err(IngestError::Unavailable { what: "the MQTT listener".into(), message: e.to_string() }),
            }
        };
        tasks.close();
        tasks.wait().await;
        result
    }

    fn admit(&self, socket: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>, stop: &CancellationToken, tasks: &TaskTracker) {
        let seat = Arc::clone(&self.0.seats).try_acquire_owned().ok().filter(|_| self.0.guard.allows(peer.ip()));
        let Some(seat) = seat else {
            self.0.counters.refused_connections.one();
            tracing::debug!(%peer, "connection refused: too many connections, or too many failed logins from this address");
            return;
        };
        let (shared, stop) = (Arc::clone(&self.0), stop.clone());
        tasks.spawn(async move {
            handshake::serve_socket(shared, socket, peer, tls, stop).await;
            drop(seat);
        });
    }
}

impl Shared {
    fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}

fn is_transient(e: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    matches!(e.kind(), ConnectionAborted | ConnectionReset | Interrupted | WouldBlock) || matches!(e.raw_os_error(), Some(EMFILE | ENFILE))
}

#[cfg(test)]
pub(crate) mod tests;
