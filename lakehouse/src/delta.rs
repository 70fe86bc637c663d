//! One table as a Delta log: created on its first flush, one commit per flush and per compaction.

mod files;
mod schema;

use crate::{DataFile, LakehouseConfig, LakehouseError, Removed, VersionInfo, root::Root};
use arrow_schema::SchemaRef;
use deltalake_core::{
    DeltaTable,
    kernel::{
        Action, Add, Remove, Transaction,
        transaction::{CommitBuilder, CommitProperties, TableReference},
    },
    logstore::{LogStoreRef, StorageConfig, default_logstore},
    protocol::{DeltaOperation, SaveMode},
    table::state::DeltaTableState,
};
use futures::TryStreamExt;
use object_store::{ObjectStore, path::Path, prefix::PrefixStore};
use schemas::{LogPosition, TableRef, Timestamp, row, time::DAY_US};
use serde::Deserialize as _;
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// The application whose transaction version is the log position up to which a table holds every frame (LH-2).
const APP_ID: &str = "portico-log";
/// In the commit itself, so that a stop between it and its attestation loses nothing.
const REMOVED: &str = "removed";

/// Directories that a first commit may have made: the log's, the table's, the tenant's, and the root that names the tenant.
const NEW_TABLE_LEVELS: usize = 4;

/// A stored file that no version names yet.
#[derive(Debug, Clone)]
pub(crate) struct NewFile {
    pub(crate) file: DataFile,
    pub(crate) stats_json: String,
}

/// What a commit does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Brings every frame up to the position.
    Flush(LogPosition),
    /// The same rows in other files.
    Compact,
    /// Rows that the predicate names go.
    Remove { predicate: String, removed: Vec<Removed> },
}

/// One table's log and newest state.
pub(crate) struct DeltaLog {
    table: TableRef,
    log_store: LogStoreRef,
    state: DeltaTableState,
    files: Vec<DataFile>,
}

impl DeltaLog {
    /// The table as stored, or `None` when it has no commit.
    pub(crate) async fn open(root: &Root, table: &TableRef) -> Result<Option<Self>, LakehouseError> {
        let log_store = log_store(root, table)?;
        let exists = log_store.is_delta_table_location().await.map_err(LakehouseError::delta(table, "looking for the log"))?;
        if !exists {
            return Ok(None);
        }
        Self::load(table, log_store, None).await.map(Some)
    }

    async fn load(table: &TableRef, log_store: LogStoreRef, version: Option<u64>) -> Result<Self, LakehouseError> {
        let state = DeltaTableState::try_new(log_store.as_ref(), version).await.map_err(LakehouseError::delta(table, "loading"))?;
        let files = files::live(table, &state)?;
        Ok(Self { table: table.clone(), log_store, state, files })
    }

    /// Commits version 0: protocol 1/2, so that every Delta reader opens it.
    pub(crate) async fn create(
        root: &Root,
        table: &TableRef,
        stored: &SchemaRef,
        config: &LakehouseConfig,
    ) -> Result<Self, LakehouseError> {
        root.make_table_dir(table).await?;
        let log_store = log_store(root, table)?;
        let (actions, operation) = schema::creation(table, &log_store, stored, config)?;
        let commit = CommitBuilder::default().with_actions(actions).build(None, Arc::clone(&log_store), operation);
        let done = commit.await.map_err(LakehouseError::delta(table, "creating"))?;
        let out = Self { table: table.clone(), log_store, state: done.snapshot(), files: Vec::new() };
        root.sync(&[out.commit_path(0)], NEW_TABLE_LEVELS).await?;
        Ok(out)
    }

    pub(crate) fn version(&self) -> i64 {
        version_i64(self.state.version())
    }

    pub(crate) fn files(&self) -> &[DataFile] {
        &self.files
    }

    /// The columns by the table's own metadata.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.state.snapshot().arrow_schema()
    }

    /// The position up to which every frame is in the files; 0 when none is.
    pub(crate) async fn flushed(&self) -> Result<LogPosition, LakehouseError> {
        let version = self
            .state
            .transaction_version(self.log_store.as_ref(), APP_ID)
            .await
            .map_err(LakehouseError::delta(&self.table, "reading the transaction"))?;
        Ok(version.and_then(|v| u64::try_from(v).ok()).unwrap_or(0))
    }

    /// Adds and removes files in one version, adding columns that `stored` has and the table lacks.
    pub(crate) async fn commit(
        &mut self,
        root: &Root,
        change: &Change,
        (adds, removes): (&[NewFile], &[DataFile]),
        stored: &SchemaRef,
        now_ms: i64,
    ) -> Result<i64, LakehouseError> {
        let data_change = *change != Change::Compact;
        let mut actions = Vec::with_capacity(adds.len() + removes.len() + 1);
        if let Some(metadata) = schema::widened(&self.table, TableReference::metadata(&self.state), &self.schema(), stored)? {
            actions.push(Action::Metadata(metadata));
        }
        actions.extend(removes.iter().map(|f| Action::Remove(self.remove_action(f, data_change, now_ms))));
        actions.extend(adds.iter().map(|a| Action::Add(self.add_action(a, data_change))));
        let rows: u64 = adds.iter().map(|a| a.file.rows).sum();
        let mut info = vec![("rowsAdded", json!(rows)), ("filesAdded", json!(adds.len())), ("filesRemoved", json!(removes.len()))];
        if let Change::Remove { removed, .. } = change {
            info.push((REMOVED, json!(removed)));
        }
        let mut properties = CommitProperties::default()
            .with_metadata(info.into_iter().map(|(k, v)| (k.to_owned(), v)))
            // Old log entries are cleaned by vacuum alone, which knows what is held.
            .with_cleanup_expired_logs(Some(false));
        if let Change::Flush(position) = change {
            properties = properties.with_application_transaction(Transaction::new(APP_ID, *position as i64));
        }
        let builder = CommitBuilder::from(properties).with_actions(actions);
        let done = builder
            .build(Some(&self.state), Arc::clone(&self.log_store), operation(change))
            .await
            .map_err(LakehouseError::delta(&self.table, "committing"))?;
        let (version, checkpointed) = (done.version(), done.metrics.new_checkpoint_created);
        self.state = done.snapshot();
        root.sync(&[self.commit_path(version)], 1).await?;
        if checkpointed {
            self.sync_checkpoint(root).await?;
        }
        let gone: HashSet<&Path> = removes.iter().map(|r| &r.path).collect();
        self.files.retain(|f| !gone.contains(&f.path));
        self.files.extend(adds.iter().map(|a| a.file.clone()));
        files::sort(&mut self.files);
        Ok(version_i64(version))
    }

    /// The files of an old version.
    pub(crate) async fn at_version(&self, version: i64) -> Result<Self, LakehouseError> {
        let wanted = u64::try_from(version).ok().filter(|v| *v <= self.state.version()).ok_or_else(|| LakehouseError::NotFound {
            what: "version",
            name: format!("{} of {}", version, self.table),
            hint: format!("; the newest is {}", self.version()),
        })?;
        Self::load(&self.table, Arc::clone(&self.log_store), Some(wanted)).await
    }

    /// Commits, newest first, at most so many and as far back as the log is kept.
    pub(crate) async fn history(&self, commits_max: Option<usize>) -> Result<Vec<VersionInfo>, LakehouseError> {
        let mut table = DeltaTable::new(Arc::clone(&self.log_store));
        table.state = Some(self.state.clone());
        let commits: Vec<_> =
            table.history(commits_max).try_collect().await.map_err(LakehouseError::delta(&self.table, "reading history"))?;
        let newest = self.version();
        let number = |v: Option<&Value>| v.and_then(Value::as_u64).unwrap_or(0);
        let info = |(back, commit): (usize, deltalake_core::kernel::CommitInfo)| VersionInfo {
            version: newest - back as i64,
            timestamp_ms: commit.timestamp.unwrap_or(0),
            operation: commit.operation.unwrap_or_default(),
            rows_added: number(commit.info.get("rowsAdded")),
            files_added: number(commit.info.get("filesAdded")),
            files_removed: number(commit.info.get("filesRemoved")),
            removed: commit.info.get(REMOVED).and_then(|v| Vec::deserialize(v).ok()).unwrap_or_default(),
        };
        Ok(commits.into_iter().enumerate().map(info).collect())
    }

    /// Files that some version since `since_ms` still named, though the newest does not.
    pub(crate) async fn removed_since(&self, since_ms: i64) -> Result<Vec<Path>, LakehouseError> {
        let dir = Root::table_path(&self.table);
        let stones: Vec<_> = self
            .state
            .all_tombstones(self.log_store.as_ref())
            .try_collect()
            .await
            .map_err(LakehouseError::delta(&self.table, "reading tombstones"))?;
        let recent = stones.into_iter().filter(|s| s.deletion_timestamp().is_none_or(|t| t >= since_ms));
        Ok(recent.map(|s| files::full_path(&dir, &s.path())).collect())
    }

    /// Deletes log entries older than `until_ms` that a checkpoint covers and no version from `keep` on needs.
    pub(crate) async fn clean_log(&self, keep: i64, until_ms: i64) -> Result<usize, LakehouseError> {
        let keep = u64::try_from(keep).unwrap_or(0);
        deltalake_core::checkpoints::cleanup_expired_logs_for(keep, self.log_store.as_ref(), until_ms, None)
            .await
            .map_err(LakehouseError::delta(&self.table, "cleaning the log"))
    }

    /// Writes a checkpoint of the newest version.
    pub(crate) async fn checkpoint(&self, root: &Root) -> Result<(), LakehouseError> {
        let mut table = DeltaTable::new(Arc::clone(&self.log_store));
        table.state = Some(self.state.clone());
        deltalake_core::checkpoints::create_checkpoint(&table, None).await.map_err(LakehouseError::delta(&self.table, "checkpointing"))?;
        self.sync_checkpoint(root).await
    }

    /// The newest checkpoint and the hint that points at it must survive together with the commits that follow.
    async fn sync_checkpoint(&self, root: &Root) -> Result<(), LakehouseError> {
        let dir = Path::from_iter(Root::table_path(&self.table).parts().chain(["_delta_log".into()]));
        let prefix = format!("{:020}.checkpoint", self.state.version());
        let entries: Vec<_> = root.store.list(Some(&dir)).try_collect().await.map_err(LakehouseError::store(format!("listing {dir}")))?;
        let own = |p: &Path| p.filename().is_some_and(|f| f.starts_with(&prefix) || f == "_last_checkpoint");
        let paths: Vec<Path> = entries.into_iter().map(|e| e.location).filter(own).collect();
        root.sync(&paths, 1).await
    }

    fn commit_path(&self, version: u64) -> Path {
        let dir = Root::table_path(&self.table);
        Path::from_iter(dir.parts().chain(["_delta_log".into(), format!("{version:020}.json").into()]))
    }

    fn relative(&self, path: &Path) -> String {
        let dir = Root::table_path(&self.table);
        path.prefix_match(&dir).map_or_else(|| path.to_string(), |parts| Path::from_iter(parts).to_string())
    }

    fn add_action(&self, new: &NewFile, data_change: bool) -> Add {
        Add {
            path: self.relative(&new.file.path),
            partition_values: partition(new.file.date),
            size: new.file.size as i64,
            modification_time: new.file.modified_ms,
            data_change,
            stats: Some(new.stats_json.clone()),
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        }
    }

    fn remove_action(&self, file: &DataFile, data_change: bool, now_ms: i64) -> Remove {
        Remove {
            path: self.relative(&file.path),
            data_change,
            deletion_timestamp: Some(now_ms),
            extended_file_metadata: Some(true),
            partition_values: Some(partition(file.date)),
            size: Some(file.size as i64),
            ..Remove::default()
        }
    }
}

fn operation(change: &Change) -> DeltaOperation {
    match change {
        Change::Flush(_) => DeltaOperation::Write { mode: SaveMode::Append, partition_by: Some(vec![row::DATE.into()]), predicate: None },
        Change::Remove { predicate, .. } => DeltaOperation::Delete { predicate: Some(predicate.clone()) },
        Change::Compact => DeltaOperation::Optimize { predicate: None, target_size: 0 },
    }
}

fn log_store(root: &Root, table: &TableRef) -> Result<LogStoreRef, LakehouseError> {
    let prefixed = PrefixStore::new(Arc::clone(&root.store), Root::table_path(table));
    let (location, lookup) = root.table_location(table)?;
    Ok(default_logstore(Arc::new(prefixed), lookup, &location, &StorageConfig::default()))
}

fn version_i64(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

fn partition(date: i32) -> HashMap<String, Option<String>> {
    HashMap::from([(row::DATE.to_owned(), Some(date_text(date)))])
}

/// `2024-03-03`, the partition value and the directory.
pub(crate) fn date_text(date: i32) -> String {
    Timestamp(i64::from(date) * DAY_US).to_date_text()
}
