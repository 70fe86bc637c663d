//! The crate as one thing: the pipeline with its doors.

use crate::{
    Access, Door, IngestConfig, IngestError, Publisher, Sink,
    broker::{Broker, BrokerStats},
    external::{ExternalBroker, Follower},
    foreign::{self, Foreign},
    http::{self, Receipt},
    mapping::Mappings,
    pipeline::Pipeline,
    stats::Stats,
};
use bytes::Bytes;
use schemas::{Clock, Contracts};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A running ingest. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ingest {
    pipeline: Pipeline,
    broker: Broker,
    clock: Arc<dyn Clock>,
}

impl Ingest {
    /// Compiles the mappings and starts the pipeline. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When a mapping does not fit its contract, or a setting is not readable.
    pub fn start(
        config: IngestConfig,
        contracts: Contracts,
        mappings: Mappings,
        sink: Arc<dyn Sink>,
        access: Arc<dyn Access>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, IngestError> {
        let broker = config.broker.clone();
        let pipeline = Pipeline::start(config, contracts, mappings, sink)?;
        let broker = Broker::new(broker, Arc::new(pipeline.clone()), access, Arc::clone(&clock));
        Ok(Self { pipeline, broker, clock })
    }

    /// The embedded broker on one listener, until `stop`. May be called for several listeners (plain and TLS).
    pub async fn serve_mqtt(
        &self,
        listener: tokio::net::TcpListener,
        tls: Option<tokio_rustls::TlsAcceptor>,
        stop: CancellationToken,
    ) -> Result<(), IngestError> {
        self.broker.serve(listener, tls, stop).await
    }

    /// A follower of an external broker, whose messages count as sent by `publisher`; its `run` does the work.
    ///
    /// # Errors
    /// When a setting of the follower cannot work.
    pub fn follower(&self, config: ExternalBroker, publisher: Arc<Publisher>) -> Result<Follower, IngestError> {
        Follower::new(config, publisher, self.door(), Arc::clone(&self.clock))
    }

    /// One HTTP body (already decompressed, with a limit). Returns when every line is durable.
    pub async fn accept_http(
        &self,
        publisher: &Arc<Publisher>,
        product: Option<&str>,
        content_type: &str,
        body: Bytes,
    ) -> Result<Receipt, IngestError> {
        http::accept(&self.pipeline, publisher, http::Request { product, content_type, body }, self.clock.now()).await
    }

    /// One HTTP body in the protocol of another system (decompressed, with a limit). Returns when all of it is durable.
    pub async fn accept_foreign(&self, publisher: &Arc<Publisher>, foreign: Foreign, body: Bytes) -> Result<Receipt, IngestError> {
        foreign::accept(&self.pipeline, publisher, foreign, body, self.clock.now()).await
    }

    /// One event that a server posts in its own form, as a message on `topic`. Returns when it is durable.
    pub async fn accept_event(&self, publisher: &Arc<Publisher>, topic: &str, body: Bytes) -> Result<Receipt, IngestError> {
        http::event(&self.pipeline, publisher, topic, body, self.clock.now()).await
    }

    /// Says something to the subscribers of the embedded broker, on a topic below [`crate::topic::COMMANDS`], where no client may publish.
    pub fn announce(&self, topic: &str, payload: Bytes) {
        self.broker.announce(topic, payload);
    }

    /// The door for other sources of messages: file import, replay, followed brokers.
    #[must_use]
    pub fn door(&self) -> Arc<dyn Door> {
        Arc::new(self.pipeline.clone())
    }

    /// The pipeline itself, for callers that want outcomes per message.
    #[must_use]
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    #[must_use]
    pub fn stats(&self) -> Stats {
        self.pipeline.stats()
    }

    #[must_use]
    pub fn broker_stats(&self) -> BrokerStats {
        self.broker.stats()
    }

    /// Takes nothing new and returns when all that was taken is durable or refused. Stop the doors first.
    pub async fn close(&self) {
        self.pipeline.close().await;
    }
}
