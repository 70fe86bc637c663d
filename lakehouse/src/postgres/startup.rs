//! The first messages of a connection: the password, and what it opens.

use super::{cursors::Cursors, errors::fatal};
use crate::{
    Lakehouse, Limits, SqlAuth,
    query::{Door, Job, PgCatalog},
};
use async_trait::async_trait;
use futures::{Sink, SinkExt};
use parking_lot::Mutex;
use pgwire::{
    api::{
        ClientInfo, ConnectionGuard, ConnectionHandle, ConnectionManager, METADATA_USER, PgWireConnectionState, PidSecretKeyGenerator,
        RandomPidSecretKeyGenerator,
        auth::{
            DefaultServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
            save_startup_parameters_to_metadata,
        },
    },
    error::{PgWireError, PgWireResult},
    messages::{PgWireBackendMessage, PgWireFrontendMessage, startup::Authentication},
};
use std::{
    fmt::Debug,
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

static KEYS: LazyLock<RandomPidSecretKeyGenerator> = LazyLock::new(RandomPidSecretKeyGenerator::default);

/// What a connection carries from one statement to the next.
pub(super) struct Connection {
    door: Door,
    pg_catalog: Arc<PgCatalog>,
    handle: Arc<ConnectionHandle>,
    _guard: ConnectionGuard,
    /// `SET search_path`
    pub(super) schema: Mutex<Option<String>>,
    /// `SET statement_timeout`
    pub(super) timeout: Mutex<Option<Duration>>,
    pub(super) cursors: Cursors,
}

impl Connection {
    /// A job that the client can cancel.
    pub(super) async fn job(&self, mut limits: Limits) -> Job {
        if let Some(shorter) = *self.timeout.lock() {
            limits.timeout = limits.timeout.min(shorter);
        }
        let cancel = CancellationToken::new();
        let (asked, token) = (self.handle.start_query().await, cancel.clone());
        // Ends when the next statement begins, or with the connection.
        tokio::spawn(async move {
            if asked.await.is_ok() {
                token.cancel();
            }
        });
        Job { door: self.door.clone(), limits, cancel, schema: self.schema.lock().clone(), pg_catalog: Some(Arc::clone(&self.pg_catalog)) }
    }

    pub(super) fn door(&self) -> &Door {
        &self.door
    }
}

pub(super) struct Startup {
    pub(super) lakehouse: Lakehouse,
    pub(super) auth: Arc<dyn SqlAuth>,
    pub(super) manager: Arc<ConnectionManager>,
    pub(super) needs_tls: bool,
    pub(super) full: bool,
}

#[async_trait]
impl StartupHandler for Startup {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match message {
            PgWireFrontendMessage::Startup(startup) => {
                protocol_negotiation(client, &startup).await?;
                save_startup_parameters_to_metadata(client, &startup);
                if self.full {
                    return Err(fatal("53300", "too many connections; try again later"));
                }
                if self.needs_tls && !client.is_secure() {
                    return Err(fatal("28000", "this server takes passwords only over TLS; connect with sslmode=require"));
                }
                client.set_state(PgWireConnectionState::AuthenticationInProgress);
                client.send(PgWireBackendMessage::Authentication(Authentication::CleartextPassword)).await?;
                Ok(())
            }
            PgWireFrontendMessage::PasswordMessageFamily(message) => {
                let password = message.into_password()?;
                let user = client.metadata().get(METADATA_USER).cloned().unwrap_or_default();
                let Some(access) = self.auth.check(&user, password.password.as_bytes()).await else {
                    return Err(PgWireError::InvalidPassword(user));
                };
                self.open(client, self.lakehouse.door(access)).await
            }
            _ => Ok(()),
        }
    }
}

impl Startup {
    async fn open<C>(&self, client: &mut C, door: Door) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let (pid, secret) = KEYS.generate(client);
        client.set_pid_and_secret_key(pid, secret.clone());
        let (handle, guard) = self.manager.register(pid, secret);
        let pg_catalog = door.pg_catalog(self.lakehouse.engine.statics()).map_err(|e| fatal("XX000", &e.to_string()))?;
        let mut parameters = DefaultServerParameterProvider::default();
        parameters.server_version = concat!("16.6 (Portico ", env!("CARGO_PKG_VERSION"), ")").to_owned();
        parameters.search_path = door.default_schema(&self.lakehouse.store.pin());
        parameters.is_superuser = false;
        parameters.default_transaction_read_only = true;
        client.session_extensions().insert(Connection {
            door,
            pg_catalog,
            handle,
            _guard: guard,
            schema: Mutex::new(None),
            timeout: Mutex::new(None),
            cursors: Cursors::default(),
        });
        finish_authentication(client, &parameters).await
    }
}
