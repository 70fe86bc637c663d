//! Adapters between the ports of the crates: the only place where they meet.

mod access;
mod city;
mod devices;
mod feed;
mod latest;
mod signals;
mod sink;

pub use access::{Door, principal};
pub use city::Portico;
pub use devices::Devices;
pub use feed::{TwinFeed, rebuild};
pub use sink::LakeSink;
