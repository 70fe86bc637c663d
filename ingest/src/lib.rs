//! Doors for messages, and the pipeline behind them: route, decode, validate, tell duplicates, build rows and ledger, hand over.
//!
//! Floor 1. A message is answered (MQTT acknowledgement, HTTP status) only after its [`Sink`] says that its frame is durable (ING-1).

pub mod broker;
pub mod camera;
mod capped;
pub mod chirpstack;
pub mod codec;
pub mod config;
pub mod datex;
pub mod decode;
pub mod dedup;
pub mod error;
pub mod external;
pub mod file;
pub mod foreign;
pub mod format;
pub mod handle;
pub mod http;
pub mod identity;
pub mod lines;
pub mod lorawan;
pub mod mapping;
pub mod message;
pub mod pipeline;
pub mod quarantine;
pub mod replay;
pub mod rows;
pub mod sink;
pub mod stats;
pub mod suggest;
pub mod sumo;
#[cfg(test)]
mod testing;
pub mod topic;
pub mod validate;
pub mod xml;

pub use config::IngestConfig;
pub use error::{IngestError, SinkError};
pub use handle::Ingest;
pub use mapping::Mappings;
pub use message::{Access, Door, Durable, Group, Publisher, RawMessage, Rejected};
pub use sink::Sink;
pub use topic::TopicFilter;
