//! The one mutable place of the crate.

use crate::{Change, Twin, TwinError, batch::Batch, table::Table};
use arrow_array::RecordBatch;
use schemas::{Contracts, Frame, LogPosition, TableRef, ops::OpsTable};
use std::{collections::BTreeMap, sync::Arc};

/// What a twin may grow to.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Entities per table. Rows of further entities are refused and counted in [`TwinHost::refused`].
    pub entities_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entities_max: 4_000_000 }
    }
}

/// The city now: folds frames of the log, gives out snapshots.
#[derive(Debug)]
pub struct TwinHost {
    contracts: Contracts,
    limits: Limits,
    tables: BTreeMap<TableRef, Arc<Table>>,
    position: LogPosition,
    refused: u64,
}

impl TwinHost {
    #[must_use]
    pub fn new(contracts: Contracts, limits: Limits) -> Self {
        Self { contracts, limits, tables: BTreeMap::new(), position: 0, refused: 0 }
    }

    /// Carries on from a snapshot, for example one that was just loaded.
    #[must_use]
    pub fn resume(twin: &Twin, limits: Limits) -> Self {
        Self { contracts: twin.contracts().clone(), limits, tables: twin.tables().clone(), position: twin.position(), refused: 0 }
    }

    /// Folds a frame (rows in the pending schema) and tells what changed. A frame at or before [`Self::position`] was
    /// folded already and is ignored. Tables of `ops` and tables without a contract have no entities.
    pub fn apply(&mut self, position: LogPosition, frame: &Frame) -> Vec<Change> {
        let mut changes = Vec::new();
        self.apply_frame(position, frame, Some(&mut changes));
        changes
    }

    /// The same where nobody wants to know what changed.
    pub fn apply_quietly(&mut self, position: LogPosition, frame: &Frame) {
        self.apply_frame(position, frame, None);
    }

    fn apply_frame(&mut self, position: LogPosition, frame: &Frame, mut changes: Option<&mut Vec<Change>>) {
        if position <= self.position {
            return;
        }
        for part in &frame.parts {
            if let Err(e) = self.fold(&part.table, &part.rows, Some(position), changes.as_deref_mut()) {
                self.refused += part.rows.num_rows() as u64;
                schemas::check!(schemas::invariant::Id::Tw1, false, "frame {position}: {e}");
            }
        }
        self.position = position;
    }

    /// Folds rows read back from a table (stored schema: each row says its position). Any order, any number of times.
    /// Does not move [`Self::position`]: only the caller knows up to where all tables were read; see [`Self::advance_to`].
    /// Errors: [`TwinError::Schema`].
    pub fn apply_rows(&mut self, table: &TableRef, rows: &RecordBatch) -> Result<(), TwinError> {
        self.fold(table, rows, None, None)
    }

    /// Says that everything up to `position` has been folded.
    pub fn advance_to(&mut self, position: LogPosition) {
        self.position = self.position.max(position);
    }

    /// The last frame that was folded; 0 before the first.
    #[must_use]
    pub fn position(&self) -> LogPosition {
        self.position
    }

    /// Rows that could not be folded since the start: beyond [`Limits`], or not of the schema of their contract.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The state as it is now, immutable. Costs one pointer per table; the first writes after it copy what they touch.
    #[must_use]
    pub fn snapshot(&self) -> Twin {
        Twin::new(self.contracts.clone(), self.tables.clone(), self.position)
    }

    fn fold(
        &mut self,
        table: &TableRef,
        rows: &RecordBatch,
        frame: Option<LogPosition>,
        changes: Option<&mut Vec<Change>>,
    ) -> Result<(), TwinError> {
        let Some(contract) = self.contracts.get(&table.product).filter(|_| OpsTable::of(table).is_none()) else {
            return Ok(());
        };
        if !self.tables.contains_key(table) {
            self.tables.insert(table.clone(), Arc::new(Table::new(table.clone(), Arc::clone(contract))));
        }
        let state = self.tables.get_mut(table).map(Arc::make_mut).expect("the table was inserted when it was missing");
        let layout = Arc::clone(&state.layout);
        let batch = Batch::of(table, rows, &layout, frame)?;
        self.refused += state.fold(&batch, self.limits.entities_max, changes).refused;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
