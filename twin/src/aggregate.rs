//! Figures by H3 cell.

use crate::{EntityView, Twin, TwinError, area::BBox, filter::Tenants, index::Index, table::Table, twin::attribute_of};
use h3o::Resolution;
use schemas::{Cell, ProductId, geo::ROW_RESOLUTION};
use std::collections::BTreeMap;

/// One field of one product, by cell.
#[derive(Debug, Clone)]
pub struct AggregateRequest {
    pub tenants: Tenants,
    pub product: ProductId,
    /// The headline when absent.
    pub field: Option<String>,
    pub resolution: Resolution,
    /// Cells with an entity in here; each is aggregated whole, so its figure does not depend on where the map is.
    pub bbox: Option<BBox>,
}

/// The entities of one cell that have a figure. Flags count as 1 and 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CellAggregate {
    pub cell: Cell,
    pub n: u64,
    pub mean: f64,
    pub min: f64,
    pub max: f64,
}

/// Running figures of one cell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sum {
    n: u64,
    sum: f64,
    min: f64,
    max: f64,
}

/// By cell, in H3 order.
pub(crate) type Sums = BTreeMap<Cell, Sum>;

impl Twin {
    /// Errors: unknown product or field, a resolution finer than that of rows (12).
    pub fn h3_aggregates(&self, request: &AggregateRequest) -> Result<Vec<CellAggregate>, TwinError> {
        if request.resolution > ROW_RESOLUTION {
            let value = request.resolution.to_string();
            return Err(TwinError::Request { what: "resolution", value, rule: "at most 12, the resolution of rows" });
        }
        let mut sums = Sums::new();
        for table in self.tables_of(&request.product, &request.tenants)? {
            let attribute = attribute_of(table, request.field.as_deref())?;
            gather(table, attribute, request.resolution, request.bbox.as_ref(), &mut sums);
        }
        Ok(sums.into_iter().map(|(cell, s)| s.aggregate(cell)).collect())
    }
}

/// Adds up every cell of `resolution` that has an entity in `area`, over all entities of the cell.
pub(crate) fn gather(table: &Table, attribute: usize, resolution: Resolution, area: Option<&BBox>, sums: &mut Sums) {
    let index = table.index();
    let ranges: Box<dyn Iterator<Item = std::ops::Range<usize>>> = match area {
        Some(area) => Box::new(index.candidates(area)),
        None => Box::new(std::iter::once(0..index.placed.len())),
    };
    let mut done = 0;
    for range in ranges {
        let mut i = range.start.max(done);
        while i < range.end {
            let entry = &index.placed[i];
            i += 1;
            if area.is_some_and(|a| !a.contains(entry.lon, entry.lat)) {
                continue;
            }
            let Some(cell) = Cell(entry.cell).parent(resolution) else { continue };
            i = add_cell(table, index, attribute, (i - 1, cell), sums);
            done = i;
        }
    }
}

/// Adds all entries of the cell that entry `at` lies in; gives the index after the last.
fn add_cell(table: &Table, index: &Index, attribute: usize, (at, cell): (usize, Cell), sums: &mut Sums) -> usize {
    let Some((first, last)) = cell.row_range() else { return at + 1 };
    let before = index.placed[..at].iter().rev().take_while(|e| e.cell >= first.0).count();
    let after = index.placed[at..].iter().take_while(|e| e.cell <= last.0).count();
    for entry in &index.placed[at - before..at + after] {
        let Some(v) = EntityView::new(table, entry.entity).number(attribute) else { continue };
        sums.entry(cell).and_modify(|s| s.add(v)).or_insert(Sum { n: 1, sum: v, min: v, max: v });
    }
    at + after
}

impl Sum {
    fn add(&mut self, v: f64) {
        *self = Self { n: self.n + 1, sum: self.sum + v, min: self.min.min(v), max: self.max.max(v) };
    }

    pub(crate) fn aggregate(self, cell: Cell) -> CellAggregate {
        CellAggregate { cell, n: self.n, mean: self.sum / self.n as f64, min: self.min, max: self.max }
    }
}

#[cfg(test)]
mod tests;
