//! SUMO, the traffic simulator: what its scenarios, its detectors and its TraCI interface say, as the city's own loops and signals would.
//!
//! `traci` speaks the control protocol; `scenario` reads the files of a scenario; `intervals` reads what induction loops (E1) write, from
//! a file or from a socket; `messages` turns both into messages on the topics of the city, every one marked as simulated;
//! `control` decides when a signal may take a commanded phase.

pub mod control;
pub mod effect;
mod import;
pub mod intervals;
pub mod messages;
pub mod plan;
mod redirect;
pub mod scenario;
pub mod traci;
mod utm;

pub use import::{ImportReport, import};

#[cfg(test)]
mod tests;
