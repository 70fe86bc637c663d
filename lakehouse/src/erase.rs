//! Removal of the old rows of single entities: files that hold some are written again without them, in one Delta commit per table.
//!
//! For streams that may be kept for less long than their contract allows. As with [`crate::retention`], old versions stay readable
//! until vacuum, hot rows wait for their flush, and ingest refuses such dates a day earlier.

use crate::{
    DataFile, Expired, LakehouseError, Removed,
    columns::adapt,
    delta::{Change, NewFile, date_text},
    flush::NEW_DATE_LEVELS,
    parquet_file::{FileWriter, Written, file_schema},
    store::Store,
    work::blocking,
};
use arrow_array::{BooleanArray, cast::AsArray};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use bytes::Bytes;
use hashbrown::{HashMap, HashSet};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schemas::{TableRef, row};
use std::sync::Arc;

const BATCH_ROWS: usize = 8_192;

/// Rows of an entity before a date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erase {
    pub entity_id: Arc<str>,
    /// The first date that stays, as days since 1970-01-01 UTC.
    pub before: i32,
}

impl Erase {
    fn predicate(&self) -> String {
        let id = self.entity_id.replace('\'', "''");
        format!("({} = '{id}' AND {} < '{}')", row::ENTITY_ID, row::DATE, date_text(self.before))
    }

    fn may_be_in(&self, file: &DataFile) -> bool {
        file.date < self.before && file.stats.entity_id.as_ref().is_none_or(|r| (&*r.min..=&*r.max).contains(&&*self.entity_id))
    }
}

/// A file written again.
struct Rewritten {
    old: DataFile,
    /// Absent when no row is left.
    new: Option<NewFile>,
}

impl Store {
    async fn erase_now(self: &Arc<Self>, table: &TableRef, orders: &[Erase]) -> Result<Option<Expired>, LakehouseError> {
        // A merge that was begun must find its inputs when it commits; appends and flushes go on.
        let _one = self.compact_lock.lock().await;
        let Some(view) = self.pin().get(table).cloned() else { return Ok(None) };
        if !view.files.iter().any(|f| orders.iter().any(|o| o.may_be_in(f))) {
            return Ok(None);
        }
        self.open_slot(&mut *self.slot(table).lock().await, table, &view.schema).await?;
        let Some(view) = self.pin().get(table).cloned() else { return Ok(None) };
        let mut removed: HashMap<Arc<str>, Removed> = HashMap::new();
        let mut rewritten = Vec::new();
        let mut done = Ok(());
        for file in view.files.iter() {
            match self.rewrite(table, file, &view.schema, orders, &mut removed).await {
                Ok(one) => rewritten.extend(one),
                Err(error) => {
                    done = Err(error);
                    break;
                }
            }
        }
        let new: Vec<NewFile> = rewritten.iter().filter_map(|r| r.new.clone()).collect();
        let committed = match done {
            Ok(()) if rewritten.is_empty() => Ok(None),
            Ok(()) => self.commit_erased(table, orders, &rewritten, &new, removed).await.map(Some),
            Err(error) => Err(error),
        };
        // Committed, or left for vacuum to collect.
        self.pending_done(&new);
        let live: HashSet<_> = self.pin().values().flat_map(|v| v.files.iter().map(|f| f.path.clone()).collect::<Vec<_>>()).collect();
        self.searched.lock().retain(|(path, _)| live.contains(path));
        committed
    }

    async fn commit_erased(
        &self,
        table: &TableRef,
        orders: &[Erase],
        rewritten: &[Rewritten],
        new: &[NewFile],
        removed: HashMap<Arc<str>, Removed>,
    ) -> Result<Expired, LakehouseError> {
        let paths: Vec<_> = new.iter().map(|n| n.file.path.clone()).collect();
        self.root.sync(&paths, NEW_DATE_LEVELS).await?;
        let mut found: Vec<Removed> = removed.into_values().collect();
        found.sort_unstable_by(|a, b| a.entity_id.cmp(&b.entity_id));
        let hit = orders.iter().filter(|o| found.iter().any(|r| r.entity_id.as_deref() == Some(&*o.entity_id)));
        let predicate = hit.map(Erase::predicate).collect::<Vec<_>>().join(" OR ");
        let old: Vec<DataFile> = rewritten.iter().map(|r| r.old.clone()).collect();
        let version = self.commit(table, Change::Remove { predicate, removed: found.clone() }, (new, &old)).await?;
        let out = Expired { table: table.clone(), version, files: old.len() as u64, removed: found };
        tracing::info!(%table, version, rows = out.rows(), files = out.files, "rows older than their stream's retention were removed");
        Ok(out)
    }

    /// The file without the rows; `None` when it holds none of them.
    async fn rewrite(
        &self,
        table: &TableRef,
        file: &DataFile,
        stored: &SchemaRef,
        orders: &[Erase],
        removed: &mut HashMap<Arc<str>, Removed>,
    ) -> Result<Option<Rewritten>, LakehouseError> {
        let key = |id: &Arc<str>| (file.path.clone(), Arc::clone(id));
        let ids: Vec<Arc<str>> = {
            let searched = self.searched.lock();
            orders
                .iter()
                .filter(|o| o.may_be_in(file) && !searched.contains(&key(&o.entity_id)))
                .map(|o| Arc::clone(&o.entity_id))
                .collect()
        };
        if ids.is_empty() {
            return Ok(None);
        }
        let bytes = self.root.read(&file.path).await?;
        let (schema, rows) = (file_schema(stored), self.config.row_group_rows);
        let (counts, written) = {
            let ids = ids.clone();
            blocking(move || without(bytes, &schema, &ids, rows)).await?
        };
        let hit: Vec<(&Arc<str>, u64)> = ids.iter().zip(counts).filter(|(_, n)| *n > 0).collect();
        if hit.is_empty() {
            self.searched.lock().extend(ids.iter().map(key));
            return Ok(None);
        }
        for (id, n) in hit {
            let none = || Removed { entity_id: Some(id.to_string()), rows: 0, from: file.date, to: file.date };
            let sum = removed.entry(Arc::clone(id)).or_insert_with(none);
            (sum.rows, sum.from, sum.to) = (sum.rows + n, sum.from.min(file.date), sum.to.max(file.date));
        }
        let new = match written {
            Some(written) => Some(self.put_file(table, file.date, written).await?),
            None => None,
        };
        Ok(Some(Rewritten { old: file.clone(), new }))
    }
}

/// How many rows each entity has in a file, and the file without them; `None` when no row is left or none goes.
fn without(
    bytes: Bytes,
    schema: &SchemaRef,
    ids: &[Arc<str>],
    row_group_rows: usize,
) -> Result<(Vec<u64>, Option<Written>), LakehouseError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
        .and_then(|b| b.with_batch_size(BATCH_ROWS).build())
        .map_err(LakehouseError::parquet("opening a file to remove rows from"))?;
    let mut counts = vec![0; ids.len()];
    let mut writer = FileWriter::new(schema, row_group_rows)?;
    let mut left = 0;
    for batch in reader {
        let batch = adapt(&batch?, schema)?;
        let entities = batch
            .column_by_name(row::ENTITY_ID)
            .and_then(|c| c.as_string_opt::<i32>())
            .ok_or_else(|| LakehouseError::Internal("rows have no entity_id".into()))?;
        let keep = BooleanArray::from_iter(entities.iter().map(|id| {
            let found = ids.iter().position(|i| Some(&**i) == id);
            found.into_iter().for_each(|i| counts[i] += 1);
            Some(found.is_none())
        }));
        left += keep.true_count();
        if keep.true_count() > 0 {
            writer.write(&filter_record_batch(&batch, &keep)?)?;
        }
    }
    let changed = counts.iter().any(|n| *n > 0);
    let written = if changed && left > 0 { Some(writer.finish()?) } else { None };
    Ok((counts, written))
}

impl crate::Lakehouse {
    /// Removes the rows of entities before their dates, from the files of one table. Files go with a later vacuum, when nothing
    /// holds them. `None` when there was nothing to remove.
    ///
    /// # Errors
    /// `Delta`, `ObjectStore`, `Io`; then nothing is removed.
    pub async fn erase(&self, table: &TableRef, orders: Vec<Erase>) -> Result<Option<Expired>, LakehouseError> {
        let (store, table) = (Arc::clone(&self.store), table.clone());
        let work = Arc::clone(&self.store);
        work.work.run(async move { store.erase_now(&table, &orders).await }).await
    }
}

#[cfg(test)]
mod tests;
