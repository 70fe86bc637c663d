//! Hot rows to files: one Delta commit per table, with the log position as its application transaction.

use crate::{
    DataFile, LakehouseError,
    delta::{Change, NewFile, date_text},
    hot,
    parquet_file::{FileWriter, Written, file_schema},
    root::Root,
    sort::{self, RowRef},
    store::Store,
    work::blocking,
};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, cast::AsArray, types::Int64Type};
use arrow_select::interleave::interleave_record_batch;
use hashbrown::HashMap;
use object_store::{ObjectStore, PutMode, path::Path};
use schemas::{LogPosition, TableRef, ops::OpsTable, row};
use std::sync::{Arc, atomic::Ordering};

/// Rows gathered at once: bounds the memory of a flush beside the hot rows.
const GATHER_ROWS: usize = 65_536;

/// Directories that a file may have made: its date's, and the table's that names the date.
pub(crate) const NEW_DATE_LEVELS: usize = 2;

impl Store {
    /// Puts every frame that is visible now into files. Returns the position up to which all tables are in files.
    pub(crate) async fn flush_now(self: &Arc<Self>) -> Result<LogPosition, LakehouseError> {
        let _one = self.flush_lock.lock().await;
        let (views, position) = self.hot.pin_at();
        let mut failed = None;
        for view in views.values().filter(|v| !v.hot.is_empty()) {
            if let Err(error) = self.flush_table(&view.table, position).await {
                tracing::error!(table = %view.table, %error, "a flush failed; the rows stay hot and in the log");
                failed = Some(error);
            }
        }
        let flushed = self.hot.flushed();
        self.log.shared.trim(flushed).await?;
        failed.map_or(Ok(flushed), Err)
    }

    async fn flush_table(self: &Arc<Self>, table: &TableRef, position: LogPosition) -> Result<(), LakehouseError> {
        let view = self.pin().get(table).cloned().ok_or_else(|| LakehouseError::no_table(table))?;
        self.open_slot(&mut *self.slot(table).lock().await, table, &view.schema).await?;
        // Pinned again: opening may have found that some of these rows are in files already.
        let view = self.pin().get(table).cloned().ok_or_else(|| LakehouseError::no_table(table))?;
        let mut rows = hot::rows_until(&view, position);
        if rows.is_empty() {
            return Ok(());
        }
        if OpsTable::of(table) == Some(OpsTable::Ledger) {
            rows = vec![sum_ledger(&rows)?];
        }
        let rows = Arc::new(rows);
        let sorted = {
            let rows = Arc::clone(&rows);
            blocking(move || sort::by_date(&rows)).await?
        };
        let mut new = Vec::with_capacity(sorted.len());
        let mut done = Ok(());
        for (date, order) in sorted {
            let (rows, row_group_rows) = (Arc::clone(&rows), self.config.row_group_rows);
            let written = blocking(move || write_sorted(&rows, &order, row_group_rows)).await;
            let stored = match written {
                Ok(written) => self.put_file(table, date, written).await,
                Err(e) => Err(e),
            };
            match stored {
                Ok(file) => new.push(file),
                Err(e) => {
                    done = Err(e);
                    break;
                }
            }
        }
        if done.is_ok() {
            done = self.commit_flush(table, position, &new).await;
        }
        // Committed, or left for vacuum to collect.
        self.pending_done(&new);
        done
    }

    async fn commit_flush(&self, table: &TableRef, position: LogPosition, new: &[NewFile]) -> Result<(), LakehouseError> {
        let paths: Vec<Path> = new.iter().map(|n| n.file.path.clone()).collect();
        self.root.sync(&paths, NEW_DATE_LEVELS).await?;
        self.commit(table, Change::Flush(position), (new, &[])).await.map(|_| ())
    }

    /// Stores a finished file under a name that no other has; it is pending until committed.
    pub(crate) async fn put_file(&self, table: &TableRef, date: i32, written: Written) -> Result<NewFile, LakehouseError> {
        let now = self.clock.now().micros();
        let directory = format!("{}/{}={}", Root::table_path(table), row::DATE, date_text(date));
        let serial = self.file_serial.fetch_add(1, Ordering::Relaxed);
        let path = Path::from(format!("{directory}/part-{now:016x}-{serial:08x}-{:016x}.parquet", self.instance));
        self.pending.lock().insert(path.clone());
        let size = written.bytes.len() as u64;
        // A name that exists is an error, never an overwritten file.
        let put = self.root.store.put_opts(&path, written.bytes.into(), PutMode::Create.into()).await;
        if let Err(e) = put {
            self.pending.lock().remove(&path);
            return Err(LakehouseError::store(format!("writing {path}"))(e));
        }
        let file = DataFile { path, size, rows: written.rows, date, stats: written.stats, modified_ms: now / 1_000 };
        Ok(NewFile { file, stats_json: written.stats_json })
    }

    pub(crate) fn pending_done(&self, files: &[NewFile]) {
        let mut pending = self.pending.lock();
        files.iter().for_each(|f| {
            pending.remove(&f.file.path);
        });
    }
}

fn write_sorted(rows: &[RecordBatch], order: &[RowRef], row_group_rows: usize) -> Result<Written, LakehouseError> {
    let stored = rows.first().map(RecordBatch::schema).ok_or_else(|| LakehouseError::Internal("a file without rows".into()))?;
    let schema = file_schema(&stored);
    let keep: Vec<usize> = (0..stored.fields().len()).filter(|i| stored.field(*i).name() != row::DATE).collect();
    let projected = rows.iter().map(|b| b.project(&keep)).collect::<Result<Vec<_>, _>>()?;
    let sources: Vec<&RecordBatch> = projected.iter().collect();
    let mut writer = FileWriter::new(&schema, row_group_rows)?;
    for chunk in order.chunks(GATHER_ROWS) {
        writer.write(&interleave_record_batch(&sources, chunk)?)?;
    }
    writer.finish()
}

/// One row per line of the ledger: its sums and its last position. Readers sum anyway, so that nothing changes for them.
fn sum_ledger(rows: &[RecordBatch]) -> Result<RecordBatch, LakehouseError> {
    const COUNTS: [&str; 6] = ["received", "stored", "duplicate", "late", "quarantined", "dropped"];
    type Line<'a> = (i64, &'a str, &'a str, Option<&'a str>);
    let missing = |name: &str| LakehouseError::Internal(format!("ops.ledger has no column {name}"));
    let mut index: HashMap<Line<'_>, usize> = HashMap::new();
    let mut lines: Vec<(Line<'_>, [i64; 6], i64)> = Vec::new();
    for batch in rows {
        let column = |name: &'static str| batch.column_by_name(name).ok_or_else(|| missing(name));
        let at = sort::SortKey::of(batch)?;
        let tenant = column("tenant")?.as_string::<i32>();
        let source = column("source")?.as_string::<i32>();
        let product = column("product")?.as_string::<i32>();
        let position = column(row::POSITION)?.as_primitive::<Int64Type>();
        let counts = COUNTS.map(|c| column(c).map(|c| c.as_primitive::<Int64Type>()));
        let counts = counts.into_iter().collect::<Result<Vec<_>, _>>()?;
        for i in 0..batch.num_rows() {
            let product = arrow_array::Array::is_valid(product, i).then(|| product.value(i));
            let line = (at.get(i).1, tenant.value(i), source.value(i), product);
            let slot = *index.entry(line).or_insert_with(|| {
                lines.push((line, [0; 6], 0));
                lines.len() - 1
            });
            let (_, sums, last) = &mut lines[slot];
            sums.iter_mut().zip(&counts).for_each(|(sum, c)| *sum += c.value(i));
            *last = (*last).max(position.value(i));
        }
    }
    let text = |f: fn(&Line<'_>) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values(lines.iter().map(|(l, ..)| f(l)))) };
    let product: StringArray = lines.iter().map(|(l, ..)| l.3).collect();
    let at = TimestampMicrosecondArray::from_iter_values(lines.iter().map(|(l, ..)| l.0)).with_timezone("UTC");
    let dates = lines.iter().map(|(l, ..)| schemas::Timestamp(l.0).date());
    let mut columns: Vec<ArrayRef> = vec![Arc::new(at), text(|l| l.1.into()), text(|l| l.2.into()), Arc::new(product)];
    columns.extend((0..6).map(|c| Arc::new(Int64Array::from_iter_values(lines.iter().map(|(_, sums, _)| sums[c]))) as ArrayRef));
    columns.push(Arc::new(Int64Array::from_iter_values(lines.iter().map(|(.., last)| *last))));
    columns.push(Arc::new(arrow_array::Date32Array::from_iter_values(dates)));
    Ok(RecordBatch::try_new(OpsTable::Ledger.stored_schema(), columns)?)
}
