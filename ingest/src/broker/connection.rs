//! One connected client: a hand-written poll over stop, durable groups, writing, deliveries, reading and time.
//!
//! One task, no channel and no lock per message. All state is in [`Connection`], so every wake-up may do whatever became possible.

use super::{
    Shared,
    control::Will,
    ending::End,
    inbound::Draft,
    session::{Lease, Session},
    subscriptions::{Delivery, Subscriber},
    wire::{Version, kind, put_ack},
};
use crate::{Durable, Group, IngestError, Publisher, RawMessage};
use bytes::{Buf, Bytes, BytesMut};
use futures::future::BoxFuture;
use schemas::{Classified, Kind};
use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Bytes waiting to be written above which a client is not read and gets no deliveries.
const OUT_HIGH: usize = 256 << 10;
/// The read buffer starts small, because most clients are quiet, and grows while it is filled.
const READ_MIN: usize = 4 << 10;
const READ_MAX: usize = 256 << 10;
/// The timer looks at least this often, so that a stall that starts late is still seen.
const TICK_MAX: Duration = Duration::from_secs(10);

/// Who is connected and on which terms.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) publisher: Arc<Publisher>,
    pub(super) version: Version,
    pub(super) client_id: String,
    /// How long the session outlives the connection.
    pub(super) session_keep: Duration,
    /// Longest silence.
    pub(super) keep_alive: Duration,
    /// The largest packet the client takes.
    pub(super) packet_max: usize,
    pub(super) will: Option<Will>,
    pub(super) subscriber: Arc<Subscriber>,
    /// Ends this connection: a takeover, or the broker's own stop above it.
    pub(super) cancel: CancellationToken,
}

/// What is owed for one group once it is durable.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// Encoded PUBACK and PUBREC packets in the order of the PUBLISH packets (4.6).
    pub(super) acks: Vec<u8>,
    pub(super) ack_count: u64,
    /// QoS 2 identifiers that become durable.
    pub(super) exactly_once: Vec<u16>,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

pub(super) struct Pending {
    /// `None` when only refusals are acknowledged: they wait for their turn and nothing else.
    durable: Option<Durable>,
    owed: Owed,
    _memory: Option<OwnedSemaphorePermit>,
}

pub(super) type Submission = BoxFuture<'static, Result<(Durable, OwnedSemaphorePermit), IngestError>>;

pub(super) struct Connection<S> {
    pub(super) shared: Arc<Shared>,
    pub(super) client: Client,
    pub(super) session: Session,
    stop: CancellationToken,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    pub(super) stream: S,
    /// Bytes read that are not yet whole packets.
    pub(super) input: BytesMut,
    /// Whole packets not yet looked at.
    pub(super) packets: Bytes,
    read_size: usize,
    pub(super) out: BytesMut,
    unflushed: bool,
    pub(super) draft: Draft,
    pub(super) submitting: Option<(Submission, Owed)>,
    pub(super) pending: VecDeque<Pending>,
    /// Messages and bytes between reading and durability.
    in_flight: (usize, usize),
    /// The log refused a group: nothing after it is acknowledged.
    pub(super) refused: Option<Kind>,
    timer: Pin<Box<Sleep>>,
    heard: Instant,
    wrote: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(super) fn new(shared: Arc<Shared>, stream: S, client: Client, session: Session, input: BytesMut, stop: CancellationToken) -> Self {
        for (filter, options) in &session.subscriptions {
            shared.hub.subscribe(&client.subscriber, filter, *options);
        }
        let now = Instant::now();
        Self {
            cancelled: Box::pin(client.cancel.clone().cancelled_owned()),
            timer: Box::pin(tokio::time::sleep_until(now + client.keep_alive.min(TICK_MAX))),
            shared,
            client,
            session,
            stop,
            stream,
            input,
            packets: Bytes::new(),
            read_size: READ_MIN,
            out: BytesMut::new(),
            unflushed: false,
            draft: Draft::default(),
            submitting: None,
            pending: VecDeque::new(),
            in_flight: (0, 0),
            refused: None,
            heard: now,
            wrote: now,
        }
    }

    /// Serves the client until it or the broker ends the connection, then settles what is in flight.
    pub(super) async fn serve(mut self, lease: Lease) {
        let end = loop {
            if let Err(end) = self.take_packets() {
                break end;
            }
            if let Err(end) = poll_fn(|cx| self.poll_progress(cx)).await {
                break end;
            }
        };
        self.finish(end, lease).await;
    }

    /// Whether there is room for another message of this connection.
    pub(super) fn has_room(&self) -> bool {
        let config = &self.shared.config;
        self.submitting.is_none()
            && self.in_flight.0 < usize::from(config.window_messages)
            && self.in_flight.1 < config.window_bytes
            && self.out.len() < OUT_HIGH
    }

    /// Messages that still fit in the window.
    pub(super) fn room(&self) -> usize {
        usize::from(self.shared.config.window_messages).saturating_sub(self.in_flight.0)
    }

    /// Hands the draft over to the pipeline. The draft is empty afterwards.
    pub(super) fn dispatch(&mut self) {
        let Draft { messages, owed, .. } = std::mem::take(&mut self.draft);
        if messages.is_empty() && owed.ack_count == 0 {
            return;
        }
        self.in_flight.0 += owed.messages;
        self.in_flight.1 += owed.bytes;
        if messages.is_empty() {
            self.pending.push_back(Pending { durable: None, owed, _memory: None });
            return;
        }
        let submission = submit(Arc::clone(&self.shared), Arc::clone(&self.client.publisher), messages, owed.bytes);
        self.submitting = Some((submission, owed));
    }

    /// Resolves when something changed that lets [`Self::take_packets`] go on, or with the end.
    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        if self.cancelled.as_mut().poll(cx).is_ready() {
            let end = if self.stop.is_cancelled() { End::Stopping } else { End::TakenOver };
            return Poll::Ready(Err(end));
        }
        let settled = self.poll_settle(cx);
        if let Some(kind) = self.refused {
            return Poll::Ready(Err(End::Sink(kind)));
        }
        self.take_deliveries(cx);
        let was_full = self.out.len() >= OUT_HIGH;
        self.poll_write(cx)?;
        if settled.is_ready() || (was_full && self.out.len() < OUT_HIGH) {
            return Poll::Ready(Ok(()));
        }
        if self.has_room()
            && self.packets.is_empty()
            && let Poll::Ready(read) = self.poll_read(cx)
        {
            return Poll::Ready(read);
        }
        self.poll_timer(cx)
    }

    /// Takes groups over from the door and acknowledges durable ones, in order. Ready when there was any.
    pub(super) fn poll_settle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut any = Poll::Pending;
        if let Some((submission, owed)) = &mut self.submitting
            && let Poll::Ready(taken) = submission.as_mut().poll(cx)
        {
            let owed = std::mem::take(owed);
            self.submitting = None;
            match taken {
                Ok((durable, memory)) => self.pending.push_back(Pending { durable: Some(durable), owed, _memory: Some(memory) }),
                Err(error) => self.refuse(&error, &owed),
            }
            any = Poll::Ready(());
        }
        while let Some(first) = self.pending.front_mut() {
            let result = match &mut first.durable {
                Some(durable) => match durable.as_mut().poll(cx) {
                    Poll::Ready(result) => result.map(drop),
                    Poll::Pending => break,
                },
                None => Ok(()),
            };
            any = Poll::Ready(());
            if let Some(Pending { owed, .. }) = self.pending.pop_front() {
                match result {
                    Ok(()) => self.acknowledge(owed),
                    Err(error) => self.refuse(&error, &owed),
                }
            }
        }
        any
    }

    fn acknowledge(&mut self, owed: Owed) {
        self.in_flight.0 -= owed.messages;
        self.in_flight.1 -= owed.bytes;
        for id in owed.exactly_once {
            self.session.received.insert(id, true);
        }
        // In order (4.6): nothing behind a refused group is acknowledged, although it may be durable.
        if self.refused.is_none() {
            self.out.extend_from_slice(&owed.acks);
            self.shared.counters.acks.add(owed.ack_count);
        }
        if !owed.deliveries.is_empty() {
            self.shared.hub.deliver(owed.deliveries, self.client.subscriber.id);
        }
    }

    fn refuse(&mut self, error: &IngestError, owed: &Owed) {
        self.in_flight.0 -= owed.messages;
        self.in_flight.1 -= owed.bytes;
        for id in &owed.exactly_once {
            self.session.received.remove(id);
        }
        if self.refused.is_none() {
            self.shared.counters.sink_failures.one();
            tracing::warn!(source = %self.client.publisher.source, %error, "messages not acknowledged, the connection is closed");
        }
        self.refused.get_or_insert(error.kind());
    }

    fn take_deliveries(&mut self, cx: &Context<'_>) {
        if self.out.len() < OUT_HIGH && !self.session.subscriptions.is_empty() {
            for packet in self.client.subscriber.take(cx) {
                self.out.extend_from_slice(&packet);
            }
        }
    }

    /// Writes as much as the stream takes. Never blocks the rest.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        while !self.out.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.out) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    self.out.advance(n);
                    self.unflushed = true;
                    self.wrote = Instant::now();
                }
                Poll::Ready(_) => return Err(End::Gone),
                Poll::Pending => return Ok(()),
            }
        }
        if self.unflushed && Pin::new(&mut self.stream).poll_flush(cx).map_err(|_| End::Gone)?.is_ready() {
            self.unflushed = false;
        }
        Ok(())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        if self.input.capacity() - self.input.len() < READ_MIN / 2 {
            self.input.reserve(self.read_size);
        }
        let space = self.input.capacity() - self.input.len();
        let read = ready!(tokio_util::io::poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.input));
        match read {
            Ok(n) if n > 0 => {
                self.heard = Instant::now();
                if n == space {
                    self.read_size = (self.read_size * 2).min(READ_MAX);
                } else if n < self.read_size / 8 {
                    self.read_size = (self.read_size / 2).max(READ_MIN);
                }
                Poll::Ready(Ok(()))
            }
            _ => Poll::Ready(Err(End::Gone)),
        }
    }

    /// Pending until the next look is due; ends the connection when the client is silent, or does not read.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if self.out.is_empty() {
                self.wrote = now;
            }
            if !self.has_room() {
                // We do not listen, so silence says nothing about the client.
                self.heard = now;
            }
            let silent_at = self.heard + self.client.keep_alive;
            let stalled_at = self.wrote + self.shared.config.write_timeout;
            if silent_at <= now {
                return Poll::Ready(Err(End::KeepAlive));
            }
            if stalled_at <= now {
                return Poll::Ready(Err(End::Stalled));
            }
            self.timer.as_mut().reset(silent_at.min(stalled_at).min(now + TICK_MAX));
        }
        Poll::Pending
    }
}

/// Waits for memory and for room in the pipeline; the permit lives as long as the messages are on their way.
pub(super) fn submit(shared: Arc<Shared>, publisher: Arc<Publisher>, messages: Vec<RawMessage>, bytes: usize) -> Submission {
    Box::pin(async move {
        let permits = bytes.div_ceil(super::PERMIT_BYTES).min(shared.config.memory_max / super::PERMIT_BYTES).max(1) as u32;
        let memory = Arc::clone(&shared.memory).acquire_many_owned(permits).await.map_err(|_| IngestError::Stopped)?;
        let group = Group { publisher, messages, rejects: Vec::new(), received_at: shared.clock.now() };
        Ok((shared.door.submit(group).await?, memory))
    })
}

impl Owed {
    pub(super) fn ack(&mut self, qos: u8, id: u16, reason: u8) {
        put_ack(&mut self.acks, if qos == 2 { kind::PUBREC } else { kind::PUBACK }, id, reason);
        self.ack_count += 1;
    }
}
