//! The PostgreSQL wire (protocol 3): psql, psycopg, SQLAlchemy and DBeaver read the same tables as every other door.
//!
//! Each connection is bound to what its user may see; each statement takes a fresh pin, so that a long connection sees
//! fresh rows. Built on pgwire and on the encoders and catalogue of datafusion-postgres; the handlers are our own because
//! theirs bind one session, without limits, to a whole server.

mod cursors;
mod errors;
mod prepared;
mod reflection;
mod service;
mod settings;
mod startup;

use crate::{DoorConfig, Lakehouse, LakehouseError, SqlAuth};
use pgwire::{
    api::{
        ConnectionManager, PgWireServerHandlers,
        auth::StartupHandler,
        cancel::{CancelHandler, DefaultCancelHandler},
        query::{ExtendedQueryHandler, SimpleQueryHandler},
    },
    tokio::process_socket,
};
use service::Service;
use startup::Startup;
use std::sync::Arc;
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// Connections beyond the limit that are told so at once; the rest are dropped without a word.
const REFUSED_AT_ONCE: usize = 16;

impl Lakehouse {
    /// Serves until `stop`; then every connection is closed.
    ///
    /// # Errors
    /// Only when the listener breaks; what happens on a connection ends that connection.
    pub async fn serve_postgres(
        &self,
        listener: TcpListener,
        auth: Arc<dyn SqlAuth>,
        config: DoorConfig,
        stop: CancellationToken,
    ) -> Result<(), LakehouseError> {
        let permits = Arc::new(Semaphore::new(config.connections_max));
        let refusals = Arc::new(Semaphore::new(REFUSED_AT_ONCE));
        let manager = Arc::new(ConnectionManager::new());
        let mut connections = JoinSet::new();
        loop {
            let socket = tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = listener.accept() => match accepted {
                    Ok((socket, _)) => socket,
                    // One client that went away, or no file handle for now: the listener itself is well.
                    Err(e) => {
                        tracing::warn!(error = %e, "postgres: accept failed");
                        tokio::task::yield_now().await;
                        continue;
                    }
                },
            };
            let (permit, full) = match Arc::clone(&permits).try_acquire_owned() {
                Ok(permit) => (permit, false),
                Err(_) => match Arc::clone(&refusals).try_acquire_owned() {
                    Ok(permit) => (permit, true),
                    Err(_) => continue,
                },
            };
            let handlers = Handlers {
                service: Arc::new(Service::new(self.clone(), config.limits)),
                startup: Arc::new(Startup {
                    lakehouse: self.clone(),
                    auth: Arc::clone(&auth),
                    manager: Arc::clone(&manager),
                    needs_tls: config.tls.is_some(),
                    full,
                }),
                manager: Arc::clone(&manager),
            };
            let tls = config.tls.clone();
            connections.spawn(async move {
                let _permit = permit;
                if let Err(e) = process_socket(socket, tls, handlers).await {
                    tracing::debug!(error = %e, "postgres: connection ended");
                }
            });
        }
        connections.shutdown().await;
        Ok(())
    }
}

struct Handlers {
    service: Arc<Service>,
    startup: Arc<Startup>,
    manager: Arc<ConnectionManager>,
}

impl PgWireServerHandlers for Handlers {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::clone(&self.service)
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::clone(&self.service)
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        Arc::clone(&self.startup)
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        Arc::new(DefaultCancelHandler::new(Arc::clone(&self.manager)))
    }
}

#[cfg(test)]
mod tests;
