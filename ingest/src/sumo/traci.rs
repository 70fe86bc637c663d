//! TraCI, SUMO's control protocol: one connection, big-endian messages of commands, an answer for each.
//!
//! Source: SUMO user documentation, "TraCI/Protocol" (API version 21 and 22). What the simulator sends is read with bounds: bytes of a
//! message, depth and number of values; any other bytes are an error and never a panic.

mod client;
pub mod value;

pub use client::{Client, Observed, Version};
pub use value::Value;

/// Kinds of object that are asked here. The number is the command that gets a variable; others are at fixed distances from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    InductionLoop,
    TrafficLight,
    Simulation,
}

impl Domain {
    const fn get(self) -> u8 {
        match self {
            Self::InductionLoop => 0xa0,
            Self::TrafficLight => 0xa2,
            Self::Simulation => 0xab,
        }
    }

    const fn answer(self) -> u8 {
        self.get() + 0x10
    }

    const fn set(self) -> u8 {
        self.get() + 0x20
    }

    const fn subscribe(self) -> u8 {
        self.get() + 0x30
    }

    const fn observed(code: u8) -> Option<Self> {
        match code {
            0xe0 => Some(Self::InductionLoop),
            0xe2 => Some(Self::TrafficLight),
            0xeb => Some(Self::Simulation),
            _ => None,
        }
    }
}

/// Variables, by the names of the protocol.
pub mod var {
    pub const ID_LIST: u8 = 0x00;
    pub const LAST_INTERVAL_OCCUPANCY: u8 = 0x27;
    pub const LAST_INTERVAL_SPEED: u8 = 0x28;
    pub const LAST_INTERVAL_NUMBER: u8 = 0x29;
    pub const TL_STATE: u8 = 0x20;
    /// Set: jump to a phase.
    pub const TL_PHASE_INDEX: u8 = 0x22;
    /// Set: use a program.
    pub const TL_PROGRAM: u8 = 0x23;
    /// Set: remaining seconds of the present phase. Get: its whole duration.
    pub const TL_PHASE_DURATION: u8 = 0x24;
    pub const TL_CURRENT_PHASE: u8 = 0x28;
    pub const TL_CURRENT_PROGRAM: u8 = 0x29;
    pub const TL_PROGRAMS: u8 = 0x2b;
    pub const TIME: u8 = 0x66;
    /// Vehicles that are running or wait to be inserted.
    pub const MIN_EXPECTED_VEHICLES: u8 = 0x7d;
    pub const DELTA_T: u8 = 0x7b;
}
