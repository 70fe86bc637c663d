//! A made-up city: a seeded, pure iterator of messages from sensors at real places.
//!
//! Floor 1. The value of a sensor at an instant is a function of the seed, the sensor and the instant and of nothing else,
//! so any stretch of time can be made again to the same bytes, the past (`Sim::backfill`) as cheaply as the present (`Sim::live`).
//! Nothing here does input or output. Whoever publishes the messages does it as a publisher marked as simulated.

mod calendar;
mod chance;
mod climate;
mod fault;
mod load;
mod models;
mod places;
mod profile;
mod scenario;
mod sim;

pub use fault::FaultKind;
pub use load::LoadGenerator;
pub use scenario::{Scenario, ScenarioError};
pub use sim::{Message, Sim};
