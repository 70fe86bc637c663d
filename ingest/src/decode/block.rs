//! Decoded rows of one group and one table, before duplicates are told apart.

use crate::mapping::route::Table;
use schemas::{Position, Quality, Timestamp};
use std::sync::Arc;

/// The value of one field of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Slot {
    Null,
    Float(f64),
    Int(i64),
    Bool(bool),
    /// A range of [`Block::texts`].
    Text {
        start: u32,
        len: u32,
    },
}

/// An entity id with its hash, computed once.
#[derive(Debug, Clone)]
pub struct Entity {
    pub id: Arc<str>,
    pub hash: u64,
}

/// What a row has beside its fields.
#[derive(Debug, Clone)]
pub struct Row {
    /// Index of the message in its group.
    pub message: u32,
    pub late: bool,
    /// By what the message says; a sender may be a simulator as a whole.
    pub simulated: bool,
    pub quality: Quality,
    pub entity: Entity,
    pub observed_at: Timestamp,
    /// With the H3 cell of `row::H3`.
    pub place: Option<(Position, i64)>,
    pub identity: crate::identity::RowHash,
}

/// Rows of one table: row `i` has the slots `i * n .. (i + 1) * n`, where `n` is the number of fields of the contract.
#[derive(Debug)]
pub struct Block {
    pub table: Arc<Table>,
    pub rows: Vec<Row>,
    pub slots: Vec<Slot>,
    pub texts: String,
}

impl Block {
    #[must_use]
    pub fn new(table: Arc<Table>) -> Self {
        Self { table, rows: Vec::new(), slots: Vec::new(), texts: String::new() }
    }

    #[must_use]
    pub fn slots_of(&self, row: usize) -> &[Slot] {
        let n = self.table.contract.fields.len();
        &self.slots[row * n..(row + 1) * n]
    }

    /// The text of a `Slot::Text`.
    #[must_use]
    pub fn text(&self, start: u32, len: u32) -> &str {
        &self.texts[start as usize..(start + len) as usize]
    }
}
