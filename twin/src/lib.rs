//! The city as it is, or as it was: every entity with its latest values, indexed in space.
//!
//! [`TwinHost`] is the one mutable place: it folds frames of the log. [`TwinHost::snapshot`] hands out an immutable
//! [`Twin`], and every question (entities in an area, aggregates by H3 cell, vector tiles, counts) is a function of one.
//! A twin of the past is a [`Twin`] too, made by [`Twin::from_rows`] through the same fold.
//!
//! The fold (TW-1): per entity, key fields and attribute the row with the greatest (`observed_at`, `position`) wins,
//! so the order in which rows arrive, and how often, does not matter.
//!
//! Invariants of absence: no input or output but the reader and writer it is given, no clock, no thread, no async.

mod aggregate;
mod area;
mod batch;
mod change;
mod chunks;
mod codec;
mod digest;
mod error;
mod filter;
mod freshness;
mod health;
mod host;
mod index;
mod key;
mod layout;
mod mercator;
mod mvt;
pub mod quality;
mod rows;
mod state;
mod store;
mod table;
#[cfg(test)]
mod testing;
mod tile;
mod twin;
mod view;

pub use aggregate::{AggregateRequest, CellAggregate};
pub use area::{BBox, Near, Polygon};
pub use change::Change;
pub use digest::{Difference, Digest};
pub use error::TwinError;
pub use filter::{Cursor, Filter, PAGE_MAX, Page, Tenants};
pub use freshness::Freshness;
pub use health::{Day, Health, Trouble};
pub use host::{Limits, TwinHost};
pub use mvt::EXTENT;
pub use tile::TileRequest;
pub use twin::{TableCounts, Twin};
pub use view::{Attribute, EntityView};
