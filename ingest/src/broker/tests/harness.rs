//! A broker without network, with a door and a clock that the test moves.
//!
//! Time is paused: waiting for nothing takes no real time, and a timeout of the broker passes at once.

use crate::broker::{Broker, BrokerConfig, handshake::serve_stream, wire};
use crate::{Access, Door, Durable, Group, IngestError, Publisher, SinkError, TopicFilter};
use futures::future::BoxFuture;
use schemas::{Kind, LogPosition, ManualClock, SourceId, Tenant};
use std::{collections::VecDeque, net::Ipv4Addr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

pub(crate) const V4: wire::Version = wire::Version::V4;
pub(crate) const V5: wire::Version = wire::Version::V5;

pub(crate) type Answer = oneshot::Sender<Result<LogPosition, IngestError>>;

/// Hands every group to the test, which decides when and how it is durable.
pub(crate) struct TestDoor(mpsc::UnboundedSender<(Group, Answer)>);

impl TestDoor {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<(Group, Answer)>) {
        let (to_test, groups) = mpsc::unbounded_channel();
        (Self(to_test), groups)
    }
}

impl Door for TestDoor {
    fn submit(&self, group: Group) -> BoxFuture<'_, Result<Durable, IngestError>> {
        let (answer, durable) = oneshot::channel();
        let sent = self.0.send((group, answer)).map_err(|_| IngestError::Stopped);
        let durable: Durable = Box::pin(async { durable.await.unwrap_or(Err(IngestError::Stopped)) });
        Box::pin(async { sent.map(|()| durable) })
    }
}

/// Lets in anybody whose password is the user's name; the user `nobody` may neither publish nor subscribe.
pub(crate) struct TestAccess;

impl Access for TestAccess {
    fn authenticate(&self, user: &str, password: &[u8]) -> BoxFuture<'_, Option<Arc<Publisher>>> {
        let known = !user.is_empty() && user.as_bytes() == password;
        let rights = if user == "nobody" { vec![] } else { vec![TopicFilter::parse("city/#").unwrap()] };
        let publisher = known.then(|| Arc::new(publisher(user, rights)));
        Box::pin(async { publisher })
    }
}

pub(crate) fn publisher(user: &str, rights: Vec<TopicFilter>) -> Publisher {
    Publisher {
        source: SourceId::new(&format!("mqtt/{user}")).unwrap(),
        tenant: Tenant::new("bologna").unwrap(),
        publish: rights.clone(),
        subscribe: rights,
        simulated: false,
    }
}

pub(crate) struct Bench {
    pub(crate) broker: Broker,
    pub(crate) groups: mpsc::UnboundedReceiver<(Group, Answer)>,
    pub(crate) stop: CancellationToken,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut BrokerConfig)) -> Self {
        let mut config = BrokerConfig::default();
        change(&mut config);
        let (door, groups) = TestDoor::new();
        let broker = Broker::new(config, Arc::new(door), Arc::new(TestAccess), Arc::new(ManualClock::default()));
        Self { broker, groups, stop: CancellationToken::new() }
    }

    /// A stream to the broker, before CONNECT.
    pub(crate) fn dial(&self) -> Peer {
        let (near, far) = tokio::io::duplex(1 << 20);
        let shared = Arc::clone(&self.broker.0);
        let deadline = Instant::now() + shared.config.connect_timeout;
        tokio::spawn(serve_stream(shared, far, Ipv4Addr::LOCALHOST.into(), deadline, self.stop.clone()));
        Peer { stream: near, read: Vec::new(), version: V4 }
    }

    /// Connected as user `u` with keep alive 60 s; the flag is the session present flag.
    pub(crate) async fn connect(&self, version: wire::Version, client: &str, clean: bool) -> (Peer, bool) {
        let mut peer = self.dial();
        peer.version = version;
        peer.send(&connect(version, client, clean)).await;
        let ack = peer.packet().await;
        assert_eq!((ack[0], ack[3]), (0x20, 0), "CONNACK with success: {ack:?}");
        (peer, ack[2] == 1)
    }

    pub(crate) async fn group(&mut self) -> (Group, Answer) {
        timeout(Duration::from_secs(1), self.groups.recv()).await.expect("a group in time").expect("the broker lives")
    }

    /// The next group, made durable.
    pub(crate) async fn store(&mut self) -> Group {
        let (group, answer) = self.group().await;
        answer.send(Ok(1)).unwrap();
        group
    }

    /// That nothing was handed over, however long one waits.
    pub(crate) async fn no_group(&mut self) {
        assert!(timeout(Duration::from_secs(1), self.groups.recv()).await.is_err(), "no group expected");
    }
}

pub(crate) fn disk_full() -> IngestError {
    IngestError::Sink(SinkError::new(Kind::Limit, "disk full"))
}

/// The client's end of a connection.
pub(crate) struct Peer {
    pub(crate) stream: DuplexStream,
    read: Vec<u8>,
    version: wire::Version,
}

impl Peer {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn publish(&mut self, topic: &str, payload: &[u8], qos: u8, id: u16) {
        self.send(&publish(self.version, topic, payload, qos, id)).await;
    }

    /// The next whole packet.
    pub(crate) async fn packet(&mut self) -> Vec<u8> {
        self.try_packet().await.expect("a packet, not the end")
    }

    /// `None` at the end of the stream.
    pub(crate) async fn try_packet(&mut self) -> Option<Vec<u8>> {
        loop {
            if self.read.len() >= 2 {
                let len_len = self.read[1..].iter().position(|b| b & 0x80 == 0).map(|i| i + 1);
                if let Some(n) = len_len {
                    let len = self.read[1..=n].iter().rev().fold(0, |sum, b| (sum << 7) | usize::from(b & 0x7f));
                    if self.read.len() > n + len {
                        return Some(self.read.drain(..=n + len).collect());
                    }
                }
            }
            let read = timeout(Duration::from_secs(30), self.stream.read_buf(&mut self.read)).await;
            if read.expect("something from the broker in time").unwrap_or(0) == 0 {
                assert!(self.read.is_empty(), "cut off packet {:?}", self.read);
                return None;
            }
        }
    }

    pub(crate) async fn packets(&mut self, n: usize) -> Vec<Vec<u8>> {
        let mut out = VecDeque::new();
        for _ in 0..n {
            out.push_back(self.packet().await);
        }
        out.into()
    }

    /// That nothing comes, however long one waits (below the keep alive).
    pub(crate) async fn quiet(&mut self) {
        assert!(self.read.is_empty(), "nothing expected, got {:?}", self.read);
        let mut byte = [0];
        let read = timeout(Duration::from_secs(1), self.stream.read(&mut byte)).await;
        assert!(read.is_err(), "nothing expected, got {read:?} {byte:?}");
    }

    /// That the broker closed; with the reason of its DISCONNECT in MQTT 5.0.
    pub(crate) async fn closed(&mut self) -> Option<u8> {
        let mut reason = None;
        while let Some(packet) = self.try_packet().await {
            assert_eq!(packet[0], 0xe0, "only DISCONNECT may come before the end: {packet:?}");
            reason = Some(packet[2]);
        }
        reason
    }
}

pub(crate) fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mut len = body.len();
    loop {
        let more = len >= 0x80;
        out.push((len & 0x7f) as u8 | if more { 0x80 } else { 0 });
        len >>= 7;
        if !more {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}

pub(crate) fn text(s: impl AsRef<[u8]>) -> Vec<u8> {
    let s = s.as_ref();
    [&(s.len() as u16).to_be_bytes()[..], s].concat()
}

/// CONNECT of user `u`, keep alive 60 s; MQTT 5.0 without clean start keeps its session for an hour.
pub(crate) fn connect(version: wire::Version, client: &str, clean: bool) -> Vec<u8> {
    connect_as(version, client, clean, "u", None)
}

/// The same as any user, with a will (topic, payload).
pub(crate) fn connect_as(version: wire::Version, client: &str, clean: bool, user: &str, will: Option<(&str, &str)>) -> Vec<u8> {
    let level = if version == V5 { 5 } else { 4 };
    let flags = 0xc0 | if clean { 2 } else { 0 } | if will.is_some() { 0x0c } else { 0 };
    let properties: &[u8] = match (version, clean) {
        (wire::Version::V4, _) => &[],
        (_, true) => &[0],
        (_, false) => &[5, 0x11, 0, 0, 14, 16],
    };
    let mut body = [&text("MQTT")[..], &[level, flags, 0, 60], properties, &text(client)].concat();
    if let Some((topic, payload)) = will {
        if version == V5 {
            body.push(0);
        }
        body.extend([text(topic), text(payload)].concat());
    }
    body.extend([text(user), text(user)].concat());
    frame(0x10, &body)
}

pub(crate) fn publish(version: wire::Version, topic: &str, payload: &[u8], qos: u8, id: u16) -> Vec<u8> {
    publish_with(version, (qos << 1, id), topic.as_bytes(), &[], payload)
}

/// PUBLISH with any flags and properties (of MQTT 5.0).
pub(crate) fn publish_with(version: wire::Version, (flags, id): (u8, u16), topic: &[u8], properties: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut body = text(topic);
    if flags & 6 != 0 {
        body.extend(id.to_be_bytes());
    }
    if version == V5 {
        body.push(properties.len() as u8);
        body.extend(properties);
    }
    body.extend(payload);
    frame(0x30 | flags, &body)
}

pub(crate) fn subscribe(version: wire::Version, id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if version == V5 {
        body.push(0);
    }
    for (filter, options) in filters {
        body.extend(text(filter));
        body.push(*options);
    }
    frame(0x82, &body)
}

pub(crate) fn ack(first: u8, id: u16) -> Vec<u8> {
    frame(first, &id.to_be_bytes())
}

pub(crate) fn payloads(group: &Group) -> Vec<String> {
    group.messages.iter().map(|m| String::from_utf8_lossy(&m.payload).into_owned()).collect()
}

/// The path of a real peer. Where it is not installed the test is skipped, but never in CI.
pub(crate) fn peer_program(name: &str) -> Option<String> {
    let found = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/opt/homebrew/bin", "/opt/homebrew/sbin"]
        .iter()
        .map(|dir| format!("{dir}/{name}"))
        .find(|path| std::path::Path::new(path).exists());
    let ci = std::env::var("CI").is_ok_and(|v| v == "true");
    assert!(found.is_some() || !ci, "{name} is not installed; `cargo xtask test` installs mosquitto and mosquitto-clients");
    if found.is_none() {
        eprintln!("skipped: {name} is not installed");
    }
    found
}
