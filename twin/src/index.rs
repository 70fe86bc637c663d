//! The spatial index of one table: entities in the order of their H3 cells, with bounding boxes over blocks of them.
//!
//! Because the cells under a parent are one contiguous range, the order serves aggregates by cell; because neighbours
//! in the order are mostly neighbours on the ground, boxes over blocks make it a packed R-tree with H3 as its curve.

use crate::{area::BBox, mercator, table::Table};
use schemas::Position;
use std::ops::Range;

/// Entries per block, and blocks per block of the upper level.
const BLOCK: usize = 64;

/// One entity that has a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) cell: i64,
    pub(crate) lon: f64,
    pub(crate) lat: f64,
    /// Web Mercator in 32 bits, worked out here once so that tiles need no trigonometry.
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) entity: u32,
}

/// Sorted by (cell, URN); entities without a place come after all others.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) placed: Vec<Entry>,
    /// By URN.
    pub(crate) unplaced: Vec<u32>,
    blocks: Vec<BBox>,
    upper: Vec<BBox>,
}

impl Index {
    pub(crate) fn build(table: &Table) -> Self {
        let mut placed = Vec::with_capacity(table.len());
        let mut unplaced = Vec::new();
        for (entity, state) in (0u32..).zip(table.states.iter()) {
            match state.place.position() {
                Some(position) => placed.push(entry(state.place.cell, position, entity)),
                None => unplaced.push(entity),
            }
        }
        placed.sort_unstable_by(|a, b| a.cell.cmp(&b.cell).then_with(|| table.ids.at(a.entity).cmp(table.ids.at(b.entity))));
        unplaced.sort_unstable_by(|&a, &b| table.ids.at(a).cmp(table.ids.at(b)));
        let blocks: Vec<BBox> = placed.chunks(BLOCK).map(bounds).collect();
        let upper = blocks.chunks(BLOCK).map(|c| c.iter().fold(BBox::EMPTY, |all, b| all.union(b))).collect();
        Self { placed, unplaced, blocks, upper }
    }

    /// Every entity, in order.
    pub(crate) fn order(&self) -> impl Iterator<Item = u32> {
        self.placed.iter().map(|e| e.entity).chain(self.unplaced.iter().copied())
    }

    /// Ranges of `placed`, in order, that hold every entry inside `area` and others near it.
    pub(crate) fn candidates<'a>(&'a self, area: &'a BBox) -> impl Iterator<Item = Range<usize>> + 'a {
        let upper = self.upper.iter().enumerate().filter(|(_, b)| area.meets(b));
        let blocks = upper.flat_map(|(u, _)| u * BLOCK..((u + 1) * BLOCK).min(self.blocks.len()));
        blocks.filter(|&b| area.meets(&self.blocks[b])).map(|b| b * BLOCK..((b + 1) * BLOCK).min(self.placed.len()))
    }
}

fn entry(cell: i64, position: Position, entity: u32) -> Entry {
    let [x, y] = mercator::project(position.lon, position.lat);
    // `as` saturates: longitude 180 is the last column.
    Entry { cell, lon: position.lon, lat: position.lat, x: x as u32, y: y as u32, entity }
}

fn bounds(entries: &[Entry]) -> BBox {
    let mut out = BBox::EMPTY;
    entries.iter().for_each(|e| out.add(e.lon, e.lat));
    out
}
