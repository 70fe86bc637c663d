//! Backup while running: tables at one version each, then the log, so that what the tables lack is in the log.

use crate::{LakehouseError, log::recover::sync_dir, root::Root, store::Store, work::blocking};
use futures::TryStreamExt;
use object_store::path::Path;
use schemas::{LogPosition, TableRef};
use std::{path::PathBuf, sync::Arc};

/// What a backup holds; also written beside it as `backup.json`.
#[derive(Debug, Clone, serde::Serialize)]
pub struct BackupReport {
    /// Every frame up to here is in it.
    pub position: LogPosition,
    pub tables: Vec<(TableRef, i64)>,
    pub files: u64,
    pub bytes: u64,
}

impl Store {
    /// See [`crate::Lakehouse::backup`].
    pub(crate) async fn backup(self: &Arc<Self>, dest: PathBuf) -> Result<BackupReport, LakehouseError> {
        let store = Arc::clone(self);
        self.work.run(async move { store.backup_now(dest).await }).await
    }

    async fn backup_now(self: &Arc<Self>, dest: PathBuf) -> Result<BackupReport, LakehouseError> {
        let occupied = dest.read_dir().is_ok_and(|mut d| d.next().is_some());
        if occupied {
            return Err(LakehouseError::Config { name: "backup destination", rule: format!("{} is not empty", dest.display()) });
        }
        self.flush_now().await?;
        // From here no segment goes away: what the copied tables lack is in the copied log.
        let _keep = self.log.shared.keep_all.lock().await;
        let mut report = BackupReport { position: self.position(), tables: Vec::new(), files: 0, bytes: 0 };
        let mut tables: Vec<TableRef> = self.pin().keys().cloned().collect();
        tables.sort_unstable();
        for table in tables {
            self.backup_table(&table, &dest, &mut report).await?;
        }
        let (from, to) = (self.config.data_dir.clone(), dest.clone());
        let summary = serde_json::to_vec_pretty(&report).map_err(|e| LakehouseError::Internal(format!("backup report: {e}")))?;
        blocking(move || {
            for part in ["log", "state"] {
                copy_dir(&from.join(part), &to.join(part)).map_err(LakehouseError::io(format!("copying {part}")))?;
            }
            std::fs::create_dir_all(to.join("tables")).map_err(LakehouseError::io("copying tables"))?;
            std::fs::write(to.join("backup.json"), summary).map_err(LakehouseError::io("writing backup.json"))?;
            sync_dir(&to).map_err(LakehouseError::io("syncing the backup"))
        })
        .await?;
        Ok(report)
    }

    async fn backup_table(&self, table: &TableRef, dest: &std::path::Path, report: &mut BackupReport) -> Result<(), LakehouseError> {
        let slot = self.slot(table);
        // Under the lock no commit and no vacuum comes between the log entries and the files that they name.
        let slot = slot.lock().await;
        let Some(log) = slot.as_ref() else { return Ok(()) };
        let log_dir = Path::from(format!("{}/_delta_log", Root::table_path(table)));
        let entries: Vec<_> =
            self.root.store.list(Some(&log_dir)).try_collect().await.map_err(LakehouseError::store(format!("listing {log_dir}")))?;
        let paths = entries.into_iter().map(|e| e.location).chain(log.files().iter().map(|f| f.path.clone()));
        for path in paths {
            report.bytes += self.copy_out(&path, dest).await?;
            report.files += 1;
        }
        report.tables.push((table.clone(), log.version()));
        Ok(())
    }

    /// A link where that is possible (files never change once written), else a copy.
    async fn copy_out(&self, path: &Path, dest: &std::path::Path) -> Result<u64, LakehouseError> {
        let to = dest.join("tables").join(path.as_ref());
        let source = self.root.dir.as_ref().map(|d| d.join(path.as_ref()));
        let bytes = if source.is_none() { Some(self.root.read(path).await?) } else { None };
        let doing = format!("copying {path}");
        blocking(move || {
            let copy = || -> std::io::Result<u64> {
                if let Some(parent) = to.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                if let Some(bytes) = bytes {
                    std::fs::write(&to, &bytes)?;
                } else if let Some(source) = source
                    && std::fs::hard_link(&source, &to).is_err()
                {
                    std::fs::copy(&source, &to)?;
                }
                std::fs::File::open(&to)?.sync_all()?;
                Ok(to.metadata()?.len())
            };
            copy().map_err(LakehouseError::io(doing))
        })
        .await
    }
}

/// Files that change (the segment being written) are copied, never linked; a torn last record is cut at restore.
fn copy_dir(from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let target = to.join(entry.file_name());
            std::fs::copy(entry.path(), &target)?;
            std::fs::File::open(&target)?.sync_all()?;
        }
    }
    sync_dir(to)
}
