//! Tables about the running of Portico itself, in the catalogue schema `ops`. They are written through the same log.

use crate::{ProductId, TableRef, Tenant, row};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;

/// The schema of the catalogue that holds these tables.
pub const TENANT: &str = "ops";

/// The tables of `ops`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpsTable {
    /// Messages that no row could be made of, with the reason; replayable.
    Quarantine,
    /// What became of every message (ING-2).
    Ledger,
    /// Who did what: sign-ins, queries, changes of settings and users.
    Audit,
    /// What became of quarantined messages that were put through the pipeline again.
    Replayed,
    /// What was removed from the tables and why; each row carries the hash of the one before it.
    Deletions,
}

impl OpsTable {
    pub const ALL: [Self; 5] = [Self::Quarantine, Self::Ledger, Self::Audit, Self::Replayed, Self::Deletions];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quarantine => "quarantine",
            Self::Ledger => "ledger",
            Self::Audit => "audit",
            Self::Replayed => "replayed",
            Self::Deletions => "deletions",
        }
    }

    /// What a catalogue says of the table.
    #[must_use]
    pub const fn comment(self) -> &'static str {
        match self {
            Self::Quarantine => "Messages that no row could be made of, with the reason; replayable",
            Self::Ledger => "What became of every message, by source and hour",
            Self::Audit => "Who did what: sign-ins, queries, changes of settings and users",
            Self::Replayed => "What became of quarantined messages that were put through again",
            Self::Deletions => "What was removed from the tables, when and why; each row holds the hash of the one before it",
        }
    }

    /// `ops.<name>`.
    #[must_use]
    pub fn table(self) -> TableRef {
        // Both texts are constants that satisfy the rule of names; the test below proves it.
        let tenant = Tenant::new(TENANT).unwrap_or_else(|_| unreachable!("'{TENANT}' is a name"));
        let product = ProductId::new(self.name()).unwrap_or_else(|_| unreachable!("'{}' is a name", self.name()));
        TableRef::new(tenant, product)
    }

    #[must_use]
    pub fn of(table: &TableRef) -> Option<Self> {
        Self::ALL.into_iter().find(|t| table.tenant.as_str() == TENANT && table.product.as_str() == t.name())
    }

    /// The columns before `position` and `date`. `observed_at` is the time of the event, and decides the partition.
    #[must_use]
    pub fn pending_schema(self) -> SchemaRef {
        let text = |name: &str, null| Field::new(name, DataType::Utf8, null);
        let count = |name: &str| Field::new(name, DataType::Int64, false);
        let at = Field::new(row::OBSERVED_AT, row::timestamp_type(), false);
        let fields = match self {
            Self::Quarantine => vec![
                at,
                text("tenant", false),
                text("source", false),
                text("topic", false),
                text("product", true),
                text("reason", false),
                text("field", true),
                text("message", false),
                Field::new("payload", DataType::Binary, false),
            ],
            Self::Ledger => vec![
                at,
                text("tenant", false),
                text("source", false),
                text("product", true),
                count("received"),
                count("stored"),
                count("duplicate"),
                count("late"),
                count("quarantined"),
                count("dropped"),
            ],
            Self::Audit => vec![
                at,
                text("tenant", false),
                text("actor", false),
                text("action", false),
                text("object", false),
                text("outcome", false),
                text("detail", true),
            ],
            Self::Replayed => vec![
                at,
                text("tenant", false),
                text("source", false),
                text("topic", false),
                // With topic and digest, which row of `ops.quarantine` it was.
                count("quarantine_position"),
                count("digest"),
                text("outcome", false),
            ],
            Self::Deletions => vec![
                at,
                text("tenant", false),
                text("product", false),
                // Absent when every row of the days went.
                text("entity_id", true),
                text("first_day", false),
                text("last_day", false),
                count("rows_removed"),
                count("files_removed"),
                count("version_before"),
                count("version_after"),
                text("reason", false),
                count("seq"),
                text("previous_hash", false),
                text("hash", false),
            ],
        };
        Arc::new(Schema::new(fields))
    }

    #[must_use]
    pub fn stored_schema(self) -> SchemaRef {
        row::stamped(&self.pending_schema())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ops_table_is_found_by_its_name() {
        for t in OpsTable::ALL {
            assert_eq!(OpsTable::of(&t.table()), Some(t));
        }
    }
}
