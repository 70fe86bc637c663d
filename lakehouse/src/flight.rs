//! Arrow Flight SQL: ADBC, JDBC and pyarrow read the same tables as every other door, as Arrow all the way.
//!
//! The server keeps nothing between calls: a ticket and the handle of a prepared statement carry the statement and its
//! values, so that there is nothing to expire, to bound or to share between connections. Each statement takes a fresh pin,
//! and stops when its stream is dropped, which is what HTTP/2 does when the client cancels or leaves.

mod catalogue;
mod credentials;
mod errors;
mod info;
mod prepared;
mod service;

use crate::{DoorConfig, Lakehouse, LakehouseError, SqlAuth};
use arrow_flight::flight_service_server::FlightServiceServer;
use hyper::{body::Incoming, server::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use service::Service;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tonic::codegen::Service as _;

/// Longest TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// A connection that asked nothing for so long after it was opened is closed: it takes a place and may be nobody's.
const FIRST_CALL_MAX: Duration = Duration::from_secs(60);
/// A peer that does not answer a ping within this time has gone.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Calls at once of one connection.
const CALLS_MAX: u32 = 64;
/// Names, tokens and the like of one call.
const HEADER_BYTES_MAX: u32 = 32 << 10;
/// A message from a client: a statement, or one row of parameters.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

impl Lakehouse {
    /// Serves until `stop`; then every connection is closed.
    ///
    /// # Errors
    /// `Internal` when the description of the server cannot be built; what happens on a connection ends that connection.
    pub async fn serve_flight(
        &self,
        listener: TcpListener,
        auth: Arc<dyn SqlAuth>,
        config: DoorConfig,
        stop: CancellationToken,
    ) -> Result<(), LakehouseError> {
        let service = Service::new(self.clone(), auth, config.limits)?;
        let server = FlightServiceServer::new(service).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let permits = Arc::new(Semaphore::new(config.connections_max));
        let mut connections = JoinSet::new();
        loop {
            let socket = tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = listener.accept() => match accepted {
                    Ok((socket, _)) => socket,
                    // One client that went away, or no file handle for now: the listener itself is well.
                    Err(e) => {
                        tracing::warn!(error = %e, "flight: accept failed");
                        tokio::task::yield_now().await;
                        continue;
                    }
                },
            };
            let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                tracing::debug!("flight: too many connections");
                continue;
            };
            let (server, tls) = (server.clone(), config.tls.clone());
            connections.spawn(async move {
                let _permit = permit;
                connection(socket, tls, server).await;
            });
        }
        connections.shutdown().await;
        Ok(())
    }
}

async fn connection(socket: TcpStream, tls: Option<TlsAcceptor>, server: FlightServiceServer<Service>) {
    socket.set_nodelay(true).ok();
    let Some(tls) = tls else { return calls(socket, server).await };
    match tokio::time::timeout(HANDSHAKE_MAX, tls.accept(socket)).await {
        Ok(Ok(stream)) => calls(stream, server).await,
        Ok(Err(error)) => tracing::debug!(%error, "flight: TLS handshake failed"),
        Err(_) => tracing::debug!("flight: TLS handshake took too long"),
    }
}

/// The calls of one connection, until the client leaves.
async fn calls<S>(socket: S, server: FlightServiceServer<Service>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let called = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&called);
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        seen.store(true, Ordering::Relaxed);
        server.clone().call(request)
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(PING_EVERY))
        .keep_alive_timeout(PING_EVERY)
        .max_concurrent_streams(CALLS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX);
    let serving = builder.serve_connection(TokioIo::new(socket), service);
    let silent = async {
        tokio::time::sleep(FIRST_CALL_MAX).await;
        if called.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        done = serving => {
            if let Err(error) = done {
                tracing::debug!(%error, "flight: connection ended");
            }
        }
        () = silent => tracing::debug!("flight: a connection that asked nothing was closed"),
    }
}

#[cfg(test)]
mod tests;
