//! Vacuum: deletes files that no version within the retention, no hold and no running query needs.

use crate::{LakehouseError, root::Root, state::Hold, store::Store};
use futures::{StreamExt, TryStreamExt};
use hashbrown::HashSet;
use object_store::{ObjectStoreExt, path::Path};
use schemas::TableRef;
use std::{sync::Arc, time::Duration};

/// What a call deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct VacuumReport {
    pub files_deleted: u64,
    pub bytes_deleted: u64,
    pub log_entries_deleted: u64,
}

impl Store {
    /// See [`crate::Lakehouse::vacuum`].
    pub(crate) async fn vacuum(self: &Arc<Self>, retain: Duration) -> Result<VacuumReport, LakehouseError> {
        let store = Arc::clone(self);
        self.work.run(async move { store.vacuum_now(retain).await }).await
    }

    pub(crate) async fn vacuum_now(self: &Arc<Self>, retain: Duration) -> Result<VacuumReport, LakehouseError> {
        let retain_ms = i64::try_from(retain.as_millis()).unwrap_or(i64::MAX);
        let since_ms = (self.clock.now().micros() / 1_000).saturating_sub(retain_ms);
        let mut report = VacuumReport::default();
        let tables: Vec<TableRef> = self.pin().keys().cloned().collect();
        for table in tables {
            self.vacuum_table(&table, since_ms, &mut report).await?;
        }
        Ok(report)
    }

    async fn vacuum_table(&self, table: &TableRef, since_ms: i64, report: &mut VacuumReport) -> Result<(), LakehouseError> {
        let slot = self.slot(table);
        // No commit comes between the look at what is needed and the deletion.
        let slot = slot.lock().await;
        let Some(log) = slot.as_ref() else { return Ok(()) };
        let mut needed: HashSet<Path> = self.pending.lock().clone();
        needed.extend(log.removed_since(since_ms).await?);
        let held = self.holds.versions(table);
        for version in &held {
            needed.extend(log.at_version(*version).await?.files().iter().map(|f| f.path.clone()));
        }
        // The lists in use come last: a view that is pinned meanwhile shows the current files.
        for files in self.hot.files_in_use(table) {
            needed.extend(files.iter().map(|f| f.path.clone()));
        }
        needed.extend(log.files().iter().map(|f| f.path.clone()));
        let dir = Root::table_path(table);
        let objects: Vec<_> =
            self.root.store.list(Some(&dir)).try_collect().await.map_err(LakehouseError::store(format!("listing {dir}")))?;
        let gone = objects.into_iter().filter(|o| {
            let own = o.location.prefix_match(&dir).and_then(|mut parts| parts.next().map(|p| p.as_ref().starts_with('_')));
            own == Some(false) && !needed.contains(&o.location)
        });
        let deleted: Vec<u64> = futures::stream::iter(gone)
            .map(|object| async move {
                self.root.store.delete(&object.location).await.map_err(LakehouseError::store(format!("deleting {}", object.location)))?;
                Ok::<_, LakehouseError>(object.size)
            })
            .buffer_unordered(16)
            .try_collect()
            .await?;
        report.files_deleted += deleted.len() as u64;
        report.bytes_deleted += deleted.iter().sum::<u64>();
        let keep = held.into_iter().min().unwrap_or(i64::MAX).min(log.version());
        report.log_entries_deleted += log.clean_log(keep, since_ms).await? as u64;
        Ok(())
    }

    /// Keeps the files of a version until `owner` releases it.
    pub(crate) async fn hold(self: &Arc<Self>, table: &TableRef, version: i64, owner: &str) -> Result<(), LakehouseError> {
        // Proves that the version exists and can still be read.
        self.view_at(table, version).await?;
        let hold = Hold { table: table.clone(), version, owner: owner.to_owned() };
        self.holds.change(|list| {
            if !list.contains(&hold) {
                list.push(hold);
            }
        })
    }

    /// Gives up all that `owner` holds.
    pub(crate) fn release(&self, owner: &str) -> Result<(), LakehouseError> {
        self.holds.change(|list| list.retain(|h| h.owner != owner))
    }

    #[must_use]
    pub(crate) fn holds(&self) -> Vec<Hold> {
        self.holds.list()
    }
}
