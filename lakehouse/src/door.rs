//! Settings of a listener that answers SQL.

use crate::Limits;
use tokio_rustls::TlsAcceptor;

/// Of the PostgreSQL wire and of Flight SQL.
#[derive(Clone)]
pub struct DoorConfig {
    /// When present, the PostgreSQL wire takes passwords over TLS only, and Flight SQL nothing but TLS, which must then offer `h2` (ALPN).
    pub tls: Option<TlsAcceptor>,
    pub connections_max: usize,
    /// Of each statement; `SET statement_timeout` can only shorten the time.
    pub limits: Limits,
}

impl Default for DoorConfig {
    fn default() -> Self {
        Self { tls: None, connections_max: 100, limits: Limits::default() }
    }
}

impl std::fmt::Debug for DoorConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DoorConfig")
            .field("tls", &self.tls.is_some())
            .field("connections_max", &self.connections_max)
            .field("limits", &self.limits)
            .finish()
    }
}
