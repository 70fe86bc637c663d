//! Adapters between the ports of the crates: the only place where they meet.

mod access;
mod city;
mod feed;
mod latest;
mod sink;

pub use access::{Door, principal, publisher};
pub use city::Portico;
pub use feed::{TwinFeed, rebuild, saved};
pub use sink::LakeSink;
