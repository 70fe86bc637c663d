//! Compaction: small files of one date to few, sorted by (h3, observed_at). Rows, and so results, stay the same (LH-4).

use crate::{
    DataFile, LakehouseError, TableView,
    delta::{Change, NewFile},
    flush::NEW_DATE_LEVELS,
    merge::merge,
    parquet_file::file_schema,
    store::Store,
    work::blocking,
};
use schemas::TableRef;
use std::{collections::BTreeMap, sync::Arc};

/// Files of one merge: each is one open reader and one batch in memory.
const MERGE_FILES_MAX: usize = 256;
/// How much larger each size class is than the one below. Merging within a class bounds how often a row is written again
/// to the number of classes.
const CLASS_FACTOR: u64 = 4;
const SMALLEST_CLASS: u64 = 64 << 10;

/// How much one call may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactBudget {
    /// Bytes of input; a merge that was begun is finished.
    pub bytes_max: u64,
    /// Merge whatever can be merged, even where waiting for more files would spare work.
    pub full: bool,
}

impl Default for CompactBudget {
    fn default() -> Self {
        Self { bytes_max: 1 << 30, full: false }
    }
}

/// What a call did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct CompactReport {
    pub merges: u64,
    pub files_before: u64,
    pub files_after: u64,
    pub rows: u64,
    pub bytes_before: u64,
    pub bytes_after: u64,
}

impl Store {
    /// See [`crate::Lakehouse::compact`].
    pub(crate) async fn compact(self: &Arc<Self>, budget: CompactBudget) -> Result<CompactReport, LakehouseError> {
        let store = Arc::clone(self);
        self.work.run(async move { store.compact_now(budget).await }).await
    }

    pub(crate) async fn compact_now(self: &Arc<Self>, budget: CompactBudget) -> Result<CompactReport, LakehouseError> {
        let _one = self.compact_lock.lock().await;
        let mut report = CompactReport::default();
        let tables: Vec<TableRef> = self.pin().keys().cloned().collect();
        for table in tables {
            // Each merge changes the list, and a new one may be due in the class above.
            while report.bytes_before < budget.bytes_max {
                let Some(view) = self.pin().get(&table).cloned() else { break };
                let today = self.clock.now().date();
                let Some(inputs) = choose(&view.files, &self.config, today, budget.full) else { break };
                if !self.compact_files(&view, &inputs, &mut report).await? {
                    break;
                }
            }
        }
        Ok(report)
    }

    /// False when merging would not make fewer files; nothing is changed then.
    async fn compact_files(
        self: &Arc<Self>,
        view: &TableView,
        inputs: &[DataFile],
        report: &mut CompactReport,
    ) -> Result<bool, LakehouseError> {
        let mut bytes = Vec::with_capacity(inputs.len());
        for file in inputs {
            bytes.push(self.root.read(&file.path).await?);
        }
        let (schema, target, rows) = (file_schema(&view.schema), self.config.compact_target_bytes, self.config.row_group_rows);
        let written = blocking(move || merge(bytes, &schema, target, rows)).await?;
        let (before, after) = (inputs.iter().map(|f| f.rows).sum::<u64>(), written.iter().map(|w| w.rows).sum::<u64>());
        if before != after {
            return Err(LakehouseError::Internal(format!("compaction of {} made {after} rows of {before}", view.table)));
        }
        if written.len() >= inputs.len() {
            return Ok(false);
        }
        let date = inputs.first().map_or(0, |f| f.date);
        let mut new: Vec<NewFile> = Vec::new();
        let mut done = Ok(());
        for file in written {
            match self.put_file(&view.table, date, file).await {
                Ok(file) => new.push(file),
                Err(e) => {
                    done = Err(e);
                    break;
                }
            }
        }
        if done.is_ok() {
            done = self.commit_compaction(&view.table, &new, inputs).await;
        }
        self.pending_done(&new);
        done?;
        report.merges += 1;
        report.files_before += inputs.len() as u64;
        report.files_after += new.len() as u64;
        report.rows += after;
        report.bytes_before += inputs.iter().map(|f| f.size).sum::<u64>();
        report.bytes_after += new.iter().map(|f| f.file.size).sum::<u64>();
        Ok(true)
    }

    async fn commit_compaction(&self, table: &TableRef, new: &[NewFile], inputs: &[DataFile]) -> Result<(), LakehouseError> {
        let paths: Vec<_> = new.iter().map(|n| n.file.path.clone()).collect();
        self.root.sync(&paths, NEW_DATE_LEVELS).await?;
        self.commit(table, Change::Compact, (new, inputs)).await.map(|_| ())
    }
}

/// The files of the next merge, all of one date; the oldest date first. `None` when nothing is due.
fn choose(files: &[DataFile], config: &crate::LakehouseConfig, today: i32, full: bool) -> Option<Vec<DataFile>> {
    let mut dates: BTreeMap<i32, Vec<&DataFile>> = BTreeMap::new();
    for file in files.iter().filter(|f| f.size < config.compact_target_bytes / 2) {
        dates.entry(file.date).or_default().push(file);
    }
    dates.into_iter().find_map(|(date, mut small)| {
        small.sort_unstable_by_key(|f| f.size);
        let count = if full { all_together(&small) } else { due(&small, config, date < today - 1) };
        let mut bytes = 0;
        let chosen: Vec<DataFile> = small
            .into_iter()
            .take(count.min(MERGE_FILES_MAX))
            .take_while(|f| {
                bytes += f.size;
                bytes <= config.compact_target_bytes * 2
            })
            .cloned()
            .collect();
        (chosen.len() >= 2).then_some(chosen)
    })
}

fn all_together(small: &[&DataFile]) -> usize {
    if small.len() >= 2 { small.len() } else { 0 }
}

/// How many of the smallest files to merge. A date that is over gets one file, once what is new is worth rewriting the rest.
fn due(small: &[&DataFile], config: &crate::LakehouseConfig, over: bool) -> usize {
    if over && small.len() >= 2 {
        let largest = small.last().map_or(0, |f| f.size);
        let rest: u64 = small.iter().map(|f| f.size).sum::<u64>() - largest;
        if rest >= largest / CLASS_FACTOR {
            return small.len();
        }
    }
    let mut class = SMALLEST_CLASS;
    loop {
        let count = small.iter().take_while(|f| f.size < class).count();
        if count > config.compact_files_min {
            return count;
        }
        if count == small.len() {
            return 0;
        }
        class = class.saturating_mul(CLASS_FACTOR);
    }
}
