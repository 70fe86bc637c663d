//! Harness: the real program as a process, a small MQTT client that counts acknowledgements, and the peers' commands.

pub mod http;
pub mod mqtt;
pub mod peers;
pub mod portico;

pub use portico::Portico;
