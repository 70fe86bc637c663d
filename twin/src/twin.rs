//! An immutable state of the city, and the questions that can be put to it.

use crate::{EntityView, Freshness, Limits, TwinError, TwinHost, filter::Tenants, table::Table};
use arrow_array::RecordBatch;
use schemas::{Contracts, LogPosition, ProductId, TableRef, Timestamp};
use std::{collections::BTreeMap, sync::Arc};

/// A snapshot: cheap to clone, safe to share between threads, never changes.
#[derive(Debug, Clone)]
pub struct Twin {
    contracts: Contracts,
    tables: Arc<BTreeMap<TableRef, Arc<Table>>>,
    position: LogPosition,
}

/// How one table stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableCounts {
    pub table: TableRef,
    pub entities: usize,
    /// Entities whose newest row is younger than twice the cadence.
    pub fresh: usize,
    pub due: usize,
    pub overdue: usize,
    /// Newest `observed_at` of the table.
    pub newest: Option<Timestamp>,
    /// Whether the newest row of any entity was made up by a simulator.
    pub simulated: bool,
}

impl Twin {
    pub(crate) fn new(contracts: Contracts, tables: BTreeMap<TableRef, Arc<Table>>, position: LogPosition) -> Self {
        Self { contracts, tables: Arc::new(tables), position }
    }

    /// Nothing in it yet.
    #[must_use]
    pub fn empty(contracts: Contracts) -> Self {
        Self::new(contracts, BTreeMap::new(), 0)
    }

    /// A twin of the past: the fold of rows (stored schema) that were true then, in any order.
    /// Its position is the greatest of its rows. Errors: [`TwinError::Schema`].
    pub fn from_rows(contracts: Contracts, rows: impl IntoIterator<Item = (TableRef, RecordBatch)>) -> Result<Self, TwinError> {
        let mut host = TwinHost::new(contracts, Limits::default());
        for (table, batch) in rows {
            host.apply_rows(&table, &batch)?;
        }
        let newest = host.snapshot().all().map(|e| e.position()).max().unwrap_or(0);
        host.advance_to(newest);
        Ok(host.snapshot())
    }

    pub(crate) fn tables(&self) -> &BTreeMap<TableRef, Arc<Table>> {
        &self.tables
    }

    #[must_use]
    pub fn contracts(&self) -> &Contracts {
        &self.contracts
    }

    /// The last frame of the log that this state holds.
    #[must_use]
    pub fn position(&self) -> LogPosition {
        self.position
    }

    /// Entities of all tables.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables.values().map(|t| t.len()).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entity with this URN, in the first table (by name) that has it and that `tenants` may see.
    #[must_use]
    pub fn entity(&self, id: &str, tenants: &Tenants) -> Option<EntityView<'_>> {
        self.find(id).find(|e| tenants.sees(&e.table().tenant))
    }

    /// The entity in every table that has it: two products may speak of the same thing.
    pub fn find<'a, 'b>(&'a self, id: &'b str) -> impl Iterator<Item = EntityView<'a>> + use<'a, 'b> {
        self.tables.values().filter_map(move |t| t.find(id).map(|i| EntityView::new(t, i)))
    }

    /// Every entity, by table and then in order of arrival.
    pub fn all(&self) -> impl Iterator<Item = EntityView<'_>> {
        self.tables.values().flat_map(|t| (0..t.len() as u32).map(move |i| EntityView::new(t, i)))
    }

    /// How every table stands at `now`.
    #[must_use]
    pub fn counts(&self, now: Timestamp) -> Vec<TableCounts> {
        self.tables.values().map(|t| counts(t, now)).collect()
    }

    /// The tables of a product that a caller may see. Errors: [`TwinError::UnknownProduct`].
    pub(crate) fn tables_of(&self, product: &ProductId, tenants: &Tenants) -> Result<Vec<&Table>, TwinError> {
        if self.contracts.get(product).is_none() {
            return Err(TwinError::UnknownProduct(product.to_string()));
        }
        Ok(self.tables.values().map(|t| &**t).filter(|t| t.table.product == *product && tenants.sees(&t.table.tenant)).collect())
    }
}

/// Index of a field among the attributes; the headline when none is named. Errors: [`TwinError::UnknownField`].
pub(crate) fn attribute_of(table: &Table, field: Option<&str>) -> Result<usize, TwinError> {
    let found = match field {
        None => table.layout.headline,
        Some(name) => table.layout.attribute(name),
    };
    found.ok_or_else(|| TwinError::UnknownField {
        product: table.table.product.to_string(),
        field: field.unwrap_or(&table.contract.headline).to_owned(),
        has: table.layout.attributes.iter().map(|a| &*a.name).collect::<Vec<_>>().join(", "),
    })
}

fn counts(table: &Table, now: Timestamp) -> TableCounts {
    let mut out = TableCounts {
        table: table.table.clone(),
        entities: table.len(),
        fresh: 0,
        due: 0,
        overdue: 0,
        newest: table.states.iter().map(|s| Timestamp(s.last.observed_at)).max(),
        simulated: table.states.iter().any(|s| s.simulated),
    };
    for state in table.states.iter() {
        match Freshness::of(Timestamp(state.last.observed_at), table.contract.cadence_secs, now) {
            Freshness::Fresh => out.fresh += 1,
            Freshness::Due => out.due += 1,
            Freshness::Overdue => out.overdue += 1,
        }
    }
    out
}
