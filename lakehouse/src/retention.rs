//! Retention: dates older than their contract keeps go out of the tables, whole, in one Delta commit per table.
//!
//! The files stay until vacuum finds that no version within its own retention, no hold and no running query needs them.
//! What remains to be done is read from the table itself, so that a stop at any point leaves nothing half done: a commit
//! is there or it is not, and the next round goes on from what it finds. Ingest refuses such dates from one day earlier
//! on, so that a row delivered again cannot come back after its date was removed: see [`schemas::Contract::expired_before`].

use crate::{DataFile, LakehouseError, delta::Change, store::Store};
use schemas::TableRef;
use std::sync::Arc;

/// Rows that one commit removed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Removed {
    /// Whose rows; `None` when every row of the dates went.
    pub entity_id: Option<String>,
    pub rows: u64,
    /// First and last date that went, as days since 1970-01-01 UTC.
    pub from: i32,
    pub to: i32,
}

/// What was removed from one table.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Expired {
    pub table: TableRef,
    /// The version without the rows; the one before it has them.
    pub version: i64,
    /// Files that no version from this one on names.
    pub files: u64,
    pub removed: Vec<Removed>,
}

impl Expired {
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.removed.iter().map(|r| r.rows).sum()
    }
}

impl Store {
    /// See [`crate::Lakehouse::expire`].
    pub(crate) async fn expire(self: &Arc<Self>) -> Result<Vec<Expired>, LakehouseError> {
        let store = Arc::clone(self);
        self.work.run(async move { store.expire_now().await }).await
    }

    async fn expire_now(self: &Arc<Self>) -> Result<Vec<Expired>, LakehouseError> {
        // A merge that was begun must find its inputs when it commits; appends and flushes go on.
        let _one = self.compact_lock.lock().await;
        let mut out = Vec::new();
        let mut tables: Vec<TableRef> = self.pin().keys().cloned().collect();
        tables.sort_unstable();
        for table in tables {
            out.extend(self.expire_table(&table).await?);
        }
        Ok(out)
    }

    async fn expire_table(&self, table: &TableRef) -> Result<Option<Expired>, LakehouseError> {
        let Some(contract) = self.contracts.get(&table.product).filter(|_| schemas::ops::OpsTable::of(table).is_none()) else {
            return Ok(None);
        };
        let Some(before) = contract.expired_before(self.clock.now()) else { return Ok(None) };
        if self.old_files(table, before).is_empty() {
            return Ok(None);
        }
        let schema = self.pin().get(table).map(|v| Arc::clone(&v.schema)).ok_or_else(|| LakehouseError::no_table(table))?;
        self.open_slot(&mut *self.slot(table).lock().await, table, &schema).await?;
        // Looked up again: opening may have found a version that was not shown yet.
        let old = self.old_files(table, before);
        let (Some(first), Some(last)) = (old.first(), old.last()) else { return Ok(None) };
        let removed = vec![Removed { entity_id: None, rows: old.iter().map(|f| f.rows).sum(), from: first.date, to: last.date }];
        let predicate = format!("{} < '{}'", schemas::row::DATE, crate::delta::date_text(before));
        let version = self.commit(table, Change::Remove { predicate, removed: removed.clone() }, (&[], &old)).await?;
        let out = Expired { table: table.clone(), version, files: old.len() as u64, removed };
        tracing::info!(%table, version, rows = out.rows(), files = out.files, "dates older than the contract's retention were removed");
        Ok(Some(out))
    }

    /// Files of dates before `before`, the oldest first. Hot rows so old are in no file yet: the round after their flush takes them.
    fn old_files(&self, table: &TableRef, before: i32) -> Vec<DataFile> {
        self.pin().get(table).map_or_else(Vec::new, |v| v.files.iter().filter(|f| f.date < before).cloned().collect())
    }
}

impl crate::Lakehouse {
    /// Removes the dates that are older than their contract's retention. Files go with a later vacuum, when nothing holds them.
    ///
    /// # Errors
    /// `Delta`, `ObjectStore`, `Io` when a commit fails; what was committed before it stays, and the next call goes on.
    pub async fn expire(&self) -> Result<Vec<Expired>, LakehouseError> {
        self.store.expire().await
    }

    /// The removals among the last commits of a table, the newest first.
    ///
    /// # Errors
    /// `NotFound` without the table, `Delta` when its log cannot be read.
    pub async fn removals(&self, table: &TableRef, commits_max: usize) -> Result<Vec<Expired>, LakehouseError> {
        let commits = self.store.history(table, Some(commits_max)).await?;
        let removal =
            |c: crate::VersionInfo| Expired { table: table.clone(), version: c.version, files: c.files_removed, removed: c.removed };
        Ok(commits.into_iter().filter(|c| !c.removed.is_empty()).map(removal).collect())
    }
}

#[cfg(test)]
mod tests;
