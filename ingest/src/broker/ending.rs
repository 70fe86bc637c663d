//! The end of a connection: what is in flight is settled, the client is told why, the session goes back, the will is published.

use super::{
    Shared,
    connection::{Connection, submit},
    control::{self, DisconnectReasonCode, Will},
    session::Lease,
    stats::Counters,
    subscriptions::Delivery,
    wire::Fault,
};
use crate::{Publisher, RawMessage};
use schemas::Kind;
use std::{future::poll_fn, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// DISCONNECT; `true` asks for the will all the same.
    Client(bool),
    /// The stream closed or failed without DISCONNECT.
    Gone,
    /// It does not read what we write.
    Stalled,
    KeepAlive,
    TakenOver,
    Stopping,
    Fault(Fault),
    /// The log did not take a group.
    Sink(Kind),
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// Settles what is in flight, says goodbye, gives the session back and publishes the will.
    pub(super) async fn finish(mut self, end: End, lease: Lease) {
        self.count(&end);
        tracing::debug!(client = %self.client.client_id, source = %self.client.publisher.source, ?end, "connection ends");
        let drain = self.shared.config.drain_timeout;
        let settled = timeout(drain, async {
            while self.submitting.is_some() || !self.pending.is_empty() {
                poll_fn(|cx| self.poll_settle(cx)).await;
            }
        });
        drop(settled.await);
        // Not known to be durable: sent again, they are new messages.
        self.session.received.retain(|_, durable| *durable);
        let told = self.refused.map_or_else(|| end.clone(), End::Sink);
        if let Some((code, words)) = told.goodbye() {
            control::goodbye(&mut self.out, self.client.version, code, &words, self.client.packet_max);
        }
        if !matches!(end, End::Gone | End::Stalled) {
            let write = async {
                self.stream.write_all(&self.out).await?;
                self.stream.shutdown().await
            };
            drop(timeout(drain, write).await);
        }
        self.leave(&end, lease).await;
    }

    fn count(&self, end: &End) {
        let counters: &Counters = &self.shared.counters;
        match end {
            End::KeepAlive => counters.keep_alive_timeouts.one(),
            End::Fault(_) | End::Stalled => counters.faults.one(),
            // Refusals of the log are counted where they happen.
            End::Sink(_) | End::Client(_) | End::Gone | End::TakenOver | End::Stopping => {}
        }
    }

    async fn leave(self, end: &End, lease: Lease) {
        let Self { shared, client, session, stream, .. } = self;
        drop(stream);
        for (filter, _) in &session.subscriptions {
            shared.hub.unsubscribe(client.subscriber.id, filter);
        }
        lease.release(session, client.session_keep);
        // A server that stops may keep wills to itself (5.0, 3.1.2.5): its clients will be back.
        let wanted = !matches!(end, End::Client(false) | End::Stopping);
        if let Some(will) = client.will.filter(|_| wanted) {
            publish_will(&shared, &client.publisher, will).await;
        }
    }
}

/// The will goes the way of every message: durable first, then to subscribers.
async fn publish_will(shared: &Arc<Shared>, publisher: &Arc<Publisher>, will: Will) {
    let message = RawMessage { topic: will.topic.clone(), payload: will.payload.clone() };
    shared.counters.messages.one();
    shared.counters.bytes.add(will.payload.len() as u64);
    let bytes = will.topic.len() + will.payload.len();
    let durable = async {
        let (durable, _memory) = submit(Arc::clone(shared), Arc::clone(publisher), vec![message], bytes).await?;
        durable.await
    };
    match timeout(shared.config.drain_timeout, durable).await {
        Ok(Ok(_)) => {
            let Will { topic, payload, properties, retain } = will;
            shared.hub.deliver(vec![Delivery { topic, payload, properties, retain }], 0);
        }
        Ok(Err(error)) => tracing::warn!(source = %publisher.source, %error, "a will was not stored"),
        Err(_) => tracing::warn!(source = %publisher.source, "a will was not durable in time, nobody was told"),
    }
}

impl End {
    /// What a client of MQTT 5.0 is told; `None` when it left by itself.
    fn goodbye(&self) -> Option<(DisconnectReasonCode, String)> {
        use DisconnectReasonCode as Code;
        let (code, words) = match self {
            Self::Client(_) | Self::Gone | Self::Stalled => return None,
            Self::KeepAlive => (Code::KeepAliveTimeout, "nothing was heard for 1.5 times the keep alive".to_owned()),
            Self::TakenOver => (Code::SessionTakenOver, "another connection came with this client identifier".to_owned()),
            Self::Stopping => (Code::ServerShuttingDown, "the server stops; connect again later".to_owned()),
            Self::Fault(fault) => (fault.code(), fault.to_string()),
            Self::Sink(Kind::Limit) => (Code::QuotaExceeded, "the log is full; messages not acknowledged must be sent again".to_owned()),
            Self::Sink(_) => (Code::UnspecifiedError, "the log does not answer; messages not acknowledged must be sent again".to_owned()),
        };
        Some((code, words))
    }
}
