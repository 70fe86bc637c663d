//! The order of rows in files: by date, then (h3, observed_at), then log order.

use crate::LakehouseError;
use arrow_array::{
    Array, RecordBatch,
    cast::AsArray,
    types::{Date32Type, Int64Type, TimestampMicrosecondType},
};
use schemas::row;

/// A row by batch and index.
pub(crate) type RowRef = (usize, usize);

/// Where a row without a cell sorts: before all.
const NO_CELL: i64 = i64::MIN;

/// Rows grouped by date, each group sorted.
pub(crate) fn by_date(batches: &[RecordBatch]) -> Result<Vec<(i32, Vec<RowRef>)>, LakehouseError> {
    let mut keys = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for (b, batch) in batches.iter().enumerate() {
        let dates = batch
            .column_by_name(row::DATE)
            .and_then(|c| c.as_primitive_opt::<Date32Type>())
            .ok_or_else(|| LakehouseError::Internal("stored rows have no date".into()))?;
        let order = SortKey::of(batch)?;
        keys.extend((0..batch.num_rows()).map(|i| {
            let (cell, at) = order.get(i);
            (dates.value(i), cell, at, b as u32, i as u32)
        }));
    }
    keys.sort_unstable();
    let mut out: Vec<(i32, Vec<RowRef>)> = Vec::new();
    for (date, _, _, b, i) in keys {
        match out.last_mut() {
            Some((d, rows)) if *d == date => rows.push((b as usize, i as usize)),
            _ => out.push((date, vec![(b as usize, i as usize)])),
        }
    }
    Ok(out)
}

/// The sort key of the rows of a batch.
pub(crate) struct SortKey<'a> {
    cells: Option<&'a arrow_array::Int64Array>,
    at: &'a arrow_array::TimestampMicrosecondArray,
}

impl<'a> SortKey<'a> {
    pub(crate) fn of(batch: &'a RecordBatch) -> Result<Self, LakehouseError> {
        let at = batch
            .column_by_name(row::OBSERVED_AT)
            .and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>())
            .ok_or_else(|| LakehouseError::Internal("rows have no observed_at".into()))?;
        let cells = batch.column_by_name(row::H3).and_then(|c| c.as_primitive_opt::<Int64Type>());
        Ok(Self { cells, at })
    }

    pub(crate) fn get(&self, index: usize) -> (i64, i64) {
        let cell = self.cells.filter(|c| c.is_valid(index)).map_or(NO_CELL, |c| c.value(index));
        (cell, self.at.value(index))
    }
}
