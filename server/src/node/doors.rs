//! The doors, each a task that ends when the node stops.

use super::Parts;
use crate::{
    config::{Broker, Config},
    tls,
};
use anyhow::{Context as _, Result};
use axum::{Router, extract::ConnectInfo};
use ingest::{
    Publisher, TopicFilter,
    external::{ExternalBroker, Follower},
};
use schemas::{SourceId, Tenant};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

type Tls = Option<Arc<rustls::ServerConfig>>;

/// Longest TLS handshake, and longest wait for the head of a request.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

pub(super) fn mqtt(parts: &Arc<Parts>, listener: TcpListener, tls: Tls, stop: &CancellationToken, tasks: &TaskTracker) {
    let (ingest, stop) = (parts.ingest.clone(), stop.clone());
    tasks.spawn(async move {
        if let Err(error) = ingest.serve_mqtt(listener, tls.map(TlsAcceptor::from), stop).await {
            tracing::error!(%error, "the MQTT door closed");
        }
    });
}

pub(super) fn postgres(
    parts: &Arc<Parts>,
    config: &Config,
    listener: TcpListener,
    tls: Tls,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) {
    let (lakehouse, users, stop) = (parts.lakehouse.clone(), parts.users.clone(), stop.clone());
    let settings = lakehouse::DoorConfig {
        tls: tls.map(TlsAcceptor::from),
        connections_max: usize::try_from(config.postgres.connections_max).unwrap_or(usize::MAX),
        limits: streaming_limits(parts, config),
    };
    tasks.spawn(async move {
        if let Err(error) = lakehouse.serve_postgres(listener, Arc::new(users), settings, stop).await {
            tracing::error!(%error, "the PostgreSQL door closed");
        }
    });
}

/// Rows are streamed as they are taken, so that their number needs no limit.
fn streaming_limits(parts: &Parts, config: &Config) -> lakehouse::Limits {
    lakehouse::Limits { rows_max: usize::MAX, memory_bytes: parts.sql_memory_bytes, timeout: Duration::from_secs(config.sql.timeout_secs) }
}

pub(super) fn flight(parts: &Arc<Parts>, config: &Config, listener: TcpListener, tls: Tls, stop: &CancellationToken, tasks: &TaskTracker) {
    let (lakehouse, users, stop) = (parts.lakehouse.clone(), parts.users.clone(), stop.clone());
    // gRPC clients insist that HTTP/2 is agreed on in the handshake; the other doors offer nothing to agree on.
    let over_http2 = |tls: Arc<rustls::ServerConfig>| {
        let mut own = rustls::ServerConfig::clone(&tls);
        own.alpn_protocols = vec![b"h2".to_vec()];
        TlsAcceptor::from(Arc::new(own))
    };
    let settings = lakehouse::DoorConfig {
        tls: tls.map(over_http2),
        connections_max: usize::try_from(config.flight.connections_max).unwrap_or(usize::MAX),
        limits: streaming_limits(parts, config),
    };
    tasks.spawn(async move {
        if let Err(error) = lakehouse.serve_flight(listener, Arc::new(users), settings, stop).await {
            tracing::error!(%error, "the Flight SQL door closed");
        }
    });
}

/// Follows an external broker.
pub(super) fn follow(parts: &Arc<Parts>, broker: &Broker, stop: &CancellationToken, tasks: &TaskTracker) -> Result<()> {
    let password = match broker.password_file.as_os_str().is_empty() {
        true => String::new(),
        false => {
            std::fs::read_to_string(&broker.password_file).with_context(|| broker.password_file.display().to_string())?.trim().to_owned()
        }
    };
    let publisher = Publisher {
        source: SourceId::new(&broker.source)?,
        tenant: Tenant::new(&broker.tenant)?,
        publish: Vec::new(),
        subscribe: Vec::new(),
        simulated: false,
    };
    let filter = |t: &String| TopicFilter::parse(t).with_context(|| format!("brokers.topics: '{t}' is not an MQTT topic filter"));
    let topics = broker.topics.iter().map(filter).collect::<Result<Vec<_>>>()?;
    let external = ExternalBroker {
        user: broker.user.clone(),
        password,
        shared_group: broker.shared_group.clone(),
        tls: broker.url.starts_with("mqtts:").then(tls::client_config).transpose()?,
        seed: rand::random(),
        ..ExternalBroker::new(&broker.url, &broker.client_id, topics)
    };
    let follower = Follower::new(external, Arc::new(publisher), parts.ingest.door(), Arc::clone(&parts.clock))?;
    let stop = stop.clone();
    tasks.spawn(async move { follower.run(stop).await });
    Ok(())
}

pub(super) fn http(router: Router, listener: TcpListener, tls: Tls, stop: &CancellationToken, tasks: &TaskTracker) {
    let (stop, accepted) = (stop.clone(), tasks.clone());
    tasks.spawn(async move {
        loop {
            let connection = tokio::select! {
                () = stop.cancelled() => return,
                connection = listener.accept() => connection,
            };
            match connection {
                Ok((socket, peer)) => drop(accepted.spawn(connection_task(router.clone(), socket, peer, tls.clone(), stop.clone()))),
                // Out of file descriptors, most likely: give those in use a moment to close.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
}

async fn connection_task(router: Router, socket: TcpStream, peer: SocketAddr, tls: Tls, stop: CancellationToken) {
    socket.set_nodelay(true).ok();
    let Some(tls) = tls else { return serve(router, socket, peer, stop).await };
    match tokio::time::timeout(HANDSHAKE_MAX, TlsAcceptor::from(tls).accept(socket)).await {
        Ok(Ok(stream)) => serve(router, stream, peer, stop).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
    }
}

async fn serve<S>(router: Router, socket: S, peer: SocketAddr, stop: CancellationToken)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request.map(axum::body::Body::new))
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(hyper_util::rt::TokioTimer::new()).header_read_timeout(HANDSHAKE_MAX);
    let connection = builder.serve_connection(hyper_util::rt::TokioIo::new(socket), service);
    tokio::pin!(connection);
    tokio::select! {
        done = connection.as_mut() => return trace_end(peer, done),
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    // Event streams have no end of their own; a stop does not wait for them.
    if let Ok(done) = tokio::time::timeout(Duration::from_secs(2), connection).await {
        trace_end(peer, done);
    }
}

fn trace_end(peer: SocketAddr, done: Result<(), hyper::Error>) {
    if let Err(error) = done {
        tracing::debug!(%peer, %error, "connection ended");
    }
}
