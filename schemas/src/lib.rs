//! The vocabulary of Portico: identifiers, time, place, contracts, frames, error kinds and the named invariants.
//!
//! Floor 0. Nothing here does input or output, and nothing here depends on another crate of the workspace.

pub mod catalog;
mod comment;
pub mod contract;
pub mod error;
pub mod frame;
pub mod geo;
pub mod id;
pub mod invariant;
pub mod ledger;
pub mod odcs;
pub mod ops;
pub mod row;
pub mod time;
pub mod value;

pub use catalog::Contracts;
pub use contract::{Breach, Classification, Contract, Field, FieldType};
pub use error::{Classified, Kind, RetryHint};
pub use frame::{Frame, LogPosition, Part};
pub use geo::{Cell, Position};
pub use id::{EntityId, IdError, ProductId, SourceId, TableRef, Tenant};
pub use ledger::{Counts, LedgerDelta};
pub use time::{Clock, ManualClock, SystemClock, Timestamp};
pub use value::{Quality, Value};
