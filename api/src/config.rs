//! Settings and limits of the HTTP door. The server fills them from its configuration file.

pub use crate::foreign::Webhook;
use std::time::Duration;

/// Everything about the door that an operator can set.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// True behind TLS: session cookies become `Secure` and browsers are told to stay on HTTPS.
    pub tls: bool,
    /// Origins that other sites' scripts may read from; empty means no cross-origin access at all.
    pub cors_origins: Vec<String>,
    /// Hosts of base map tiles that the pages may load, for example `https://tiles.example.it`.
    pub tile_hosts: Vec<String>,
    pub metrics: MetricsAccess,
    /// Header in which a trusted reverse proxy writes the client's address (its last element is used); `None` takes the connection's.
    pub client_ip_header: Option<String>,
    /// Signed senders of JSON; each has an address below `/api/ingest/webhook/`.
    pub webhooks: Vec<Webhook>,
    pub limits: ApiLimits,
}

/// Who may read `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsAccess {
    /// Only an administrator.
    Admin,
    /// An administrator, or a connection from this machine that no proxy forwarded.
    Loopback,
}

/// Limits, each with its unit in the name.
#[derive(Debug, Clone)]
pub struct ApiLimits {
    /// Body of an ingest request as sent, and after decompression.
    pub ingest_bytes_max: usize,
    pub ingest_inflated_bytes_max: usize,
    /// Body of any other request.
    pub body_bytes_max: usize,
    /// Time from request to the head of the answer.
    pub request_timeout: Duration,
    pub sql_timeout: Duration,
    /// Rows of a JSON answer; more are cut and the answer says so.
    pub sql_json_rows_max: usize,
    /// Rows of a CSV, Arrow or Parquet answer; more is an error.
    pub sql_export_rows_max: usize,
    /// Requests served side by side, per door.
    pub sql_concurrency_max: usize,
    pub ingest_concurrency_max: usize,
    /// Twin reads of any kind: entities, tiles, cells, history.
    pub read_concurrency_max: usize,
    /// Reads of the past side by side; each builds a twin of its own.
    pub past_concurrency_max: usize,
    /// Wait for a place at a door before "try again".
    pub queue_timeout: Duration,
    pub events_per_client_max: usize,
    pub events_total_max: usize,
    /// An event stream is closed after this long; browsers reconnect by themselves.
    pub events_lifetime: Duration,
    /// Failed sign-ins of one address in a minute.
    pub sign_in_failures_per_minute_max: u32,
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self {
            ingest_bytes_max: 16 << 20,
            ingest_inflated_bytes_max: 64 << 20,
            body_bytes_max: 1 << 20,
            request_timeout: Duration::from_secs(30),
            sql_timeout: Duration::from_secs(60),
            sql_json_rows_max: 10_000,
            sql_export_rows_max: 10_000_000,
            sql_concurrency_max: 16,
            ingest_concurrency_max: 64,
            read_concurrency_max: 32,
            past_concurrency_max: 4,
            queue_timeout: Duration::from_secs(5),
            events_per_client_max: 8,
            events_total_max: 2_000,
            events_lifetime: Duration::from_secs(3_600),
            sign_in_failures_per_minute_max: 20,
        }
    }
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            tls: false,
            cors_origins: Vec::new(),
            tile_hosts: Vec::new(),
            metrics: MetricsAccess::Loopback,
            client_ip_header: None,
            webhooks: Vec::new(),
            limits: ApiLimits::default(),
        }
    }
}
