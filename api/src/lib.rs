//! The HTTP surface of Portico: twin, tiles, events, SQL, ingest, operations and the pages.
//!
//! [`router`] builds it over a [`City`], the port that `server` implements. Floor 3: this crate knows `schemas` and `twin`,
//! and never names the query engine. Who may do what is decided in [`access`], errors become problem documents
//! (RFC 9457) in one place, and every door has a limit ([`ApiLimits`]).

pub mod access;
mod body;
pub mod city;
pub mod config;
mod devices;
mod doors;
pub mod error;
mod foreign;
mod identity;
mod ingest;
mod layers;
mod ops;
mod pages;
mod params;
mod past;
mod problem;
mod register;
mod router;
mod scope;
mod session;
mod signals;
mod sql;
#[cfg(test)]
mod testing;
mod view;

pub use access::{Principal, Role, Tenants};
pub use city::{
    AcceptRequest, Accepted, AuditEvent, ChangeBatch, City, CommandRequest, Commanded, Credentials, ForeignRequest, IngestReceipt,
    IngestRequest, LedgerRow, NewContract, PastRequest, Protocol, Reject, ReplayRequest, Replayed, Series, SeriesRequest, Session,
    SqlRequest, SqlStream, Status, Suggested, Suggestions, TableStatus, WaitingRequest, Wanted,
};
pub use config::{ApiConfig, ApiLimits, MetricsAccess, Webhook};
pub use error::{ApiError, Failure};
pub use router::router;
