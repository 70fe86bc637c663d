//! Hot rows: what is in the log and in no file yet, as the batches that queries read.

use crate::{DataFile, LakehouseError, TableView, Views, log::codec::Pending};
use arrow_array::{RecordBatch, cast::AsArray, types::Int64Type};
use arrow_schema::SchemaRef;
use hashbrown::HashMap;
use object_store::ObjectStore;
use parking_lot::{Mutex, RwLock};
use schemas::{LogPosition, TableRef, row};
use std::sync::{
    Arc, Weak,
    atomic::{AtomicUsize, Ordering},
};

/// This many batches of one size class are merged into one.
const MERGE_FAN_IN: usize = 16;
/// Batches from this size on are left alone.
const MERGED_ROWS: usize = 8_192;

/// Rows of consecutive frames. `first` and `last` are their positions.
#[derive(Debug, Clone)]
struct HotBatch {
    rows: RecordBatch,
    first: LogPosition,
    last: LogPosition,
    bytes: usize,
}

impl HotBatch {
    /// Size class: a merge of [`MERGE_FAN_IN`] batches of one class makes one of the next.
    fn class(&self) -> u32 {
        let rows = self.rows.num_rows().clamp(1, MERGED_ROWS);
        if rows == MERGED_ROWS { u32::MAX } else { rows.ilog2() / MERGE_FAN_IN.ilog2() }
    }
}

/// The parts of a [`TableView`] that change, with what the views do not need to know.
#[derive(Debug)]
struct Table {
    schema: SchemaRef,
    version: i64,
    files: Arc<Vec<DataFile>>,
    batches: Vec<HotBatch>,
}

#[derive(Debug, Default)]
struct Inner {
    tables: HashMap<TableRef, Table>,
    /// The last frame that is visible.
    published: LogPosition,
    /// File lists that some view may still use, so that vacuum spares their files (LH-4).
    past_files: Vec<(TableRef, Weak<Vec<DataFile>>)>,
}

/// All tables, swapped atomically: a reader sees all of a frame or none, in every table (LH-1).
#[derive(Debug)]
pub(crate) struct Hot {
    inner: Mutex<Inner>,
    views: RwLock<Arc<Views>>,
    object_store: Arc<dyn ObjectStore>,
    bytes: AtomicUsize,
    freed: tokio::sync::Notify,
}

impl Hot {
    pub(crate) fn new(object_store: Arc<dyn ObjectStore>) -> Self {
        Self {
            inner: Mutex::default(),
            views: RwLock::default(),
            object_store,
            bytes: AtomicUsize::new(0),
            freed: tokio::sync::Notify::new(),
        }
    }

    pub(crate) fn views(&self) -> Arc<Views> {
        Arc::clone(&self.views.read())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn published(&self) -> LogPosition {
        self.inner.lock().published
    }

    /// The views and the last position that they show, as one.
    pub(crate) fn pin_at(&self) -> (Arc<Views>, LogPosition) {
        let inner = self.inner.lock();
        (self.views(), inner.published)
    }

    /// Waits until a flush has freed memory, or until `bytes` is below `max`.
    pub(crate) async fn below(&self, max: usize) {
        loop {
            let freed = self.freed.notified();
            if self.bytes() < max {
                return;
            }
            freed.await;
        }
    }

    /// Makes a table visible, empty or with the files of a Delta version.
    pub(crate) fn declare(&self, table: &TableRef, schema: SchemaRef, version: i64, files: Vec<DataFile>) {
        let mut inner = self.inner.lock();
        inner.tables.entry(table.clone()).or_insert_with(|| Table { schema, version, files: Arc::new(files), batches: Vec::new() });
        self.show(&inner, std::iter::once(table));
    }

    /// The same for a table that is stored: what was declared before gives way.
    pub(crate) fn load(&self, table: &TableRef, schema: SchemaRef, version: i64, files: Vec<DataFile>) {
        self.inner.lock().tables.remove(table);
        self.declare(table, schema, version, files);
    }

    /// Shows the rows of consecutive frames at once.
    pub(crate) fn publish<'a>(&self, frames: impl IntoIterator<Item = (LogPosition, &'a [Pending])>) -> Result<(), LakehouseError> {
        let mut inner = self.inner.lock();
        let mut touched = hashbrown::HashSet::new();
        let mut added = 0;
        for (position, parts) in frames {
            for part in parts.iter().filter(|p| p.rows.num_rows() > 0) {
                let batch = HotBatch { rows: part.stamp(position)?, first: position, last: position, bytes: part.bytes };
                added += part.bytes;
                let table = inner.tables.entry(part.table.clone()).or_insert_with(|| Table {
                    schema: Arc::clone(&part.stored),
                    version: -1,
                    files: Arc::default(),
                    batches: Vec::new(),
                });
                table.batches.push(batch);
                touched.insert(part.table.clone());
            }
            inner.published = position;
        }
        self.bytes.fetch_add(added, Ordering::Relaxed);
        self.show(&inner, touched.iter());
        Ok(())
    }

    /// Sets where the log stood when nothing has been published yet.
    pub(crate) fn start_at(&self, published: LogPosition) {
        let mut inner = self.inner.lock();
        inner.published = inner.published.max(published);
    }

    /// Merges small neighbouring batches, so that a query reads few. Each row is copied a handful of times at most.
    pub(crate) fn merge(&self) -> Result<(), LakehouseError> {
        let mut inner = self.inner.lock();
        let mut touched = Vec::new();
        for (name, table) in &mut inner.tables {
            let mut merged = false;
            while let Some(run) = tail_run(&table.batches) {
                let start = table.batches.len() - run;
                let rows = arrow_select::concat::concat_batches(&table.schema, table.batches[start..].iter().map(|b| &b.rows))?;
                let (first, last) = (table.batches[start].first, table.batches[start + run - 1].last);
                let bytes = table.batches[start..].iter().map(|b| b.bytes).sum();
                table.batches.truncate(start);
                table.batches.push(HotBatch { rows, first, last, bytes });
                merged = true;
            }
            if merged {
                touched.push(name.clone());
            }
        }
        if !touched.is_empty() {
            self.show(&inner, touched.iter());
        }
        Ok(())
    }

    /// One swap: the files of a new version come in, and the hot rows up to `flushed` go out (LH-1).
    pub(crate) fn replace_files(&self, table: &TableRef, version: i64, files: Vec<DataFile>, flushed: LogPosition) {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let Some(state) = inner.tables.get_mut(table) else { return };
        inner.past_files.retain(|(_, files)| files.strong_count() > 0);
        inner.past_files.push((table.clone(), Arc::downgrade(&state.files)));
        state.version = version;
        state.files = Arc::new(files);
        let before: usize = state.batches.iter().map(|b| b.bytes).sum();
        state.batches = state.batches.drain(..).filter_map(|b| after(b, flushed)).collect();
        let gone = before - state.batches.iter().map(|b| b.bytes).sum::<usize>();
        self.bytes.fetch_sub(gone, Ordering::Relaxed);
        self.show(inner, std::iter::once(table));
        self.freed.notify_waiters();
    }

    /// Every frame up to here is in files, in every table.
    pub(crate) fn flushed(&self) -> LogPosition {
        let inner = self.inner.lock();
        inner.tables.values().filter_map(|t| t.batches.first()).map(|b| b.first - 1).min().unwrap_or(inner.published)
    }

    /// Keeps the files of a view that was made outside (an old version) as long as somebody holds it.
    pub(crate) fn remember(&self, table: &TableRef, files: &Arc<Vec<DataFile>>) {
        self.inner.lock().past_files.push((table.clone(), Arc::downgrade(files)));
    }

    /// File lists of the table that are in use, the current one included.
    pub(crate) fn files_in_use(&self, table: &TableRef) -> Vec<Arc<Vec<DataFile>>> {
        let inner = self.inner.lock();
        let past = inner.past_files.iter().filter(|(t, _)| t == table).filter_map(|(_, files)| files.upgrade());
        past.chain(inner.tables.get(table).map(|t| Arc::clone(&t.files))).collect()
    }

    fn show<'a>(&self, inner: &Inner, tables: impl Iterator<Item = &'a TableRef>) {
        let mut views = Views::clone(&self.views.read());
        for name in tables {
            let Some(table) = inner.tables.get(name) else { continue };
            let view = TableView {
                table: name.clone(),
                schema: Arc::clone(&table.schema),
                version: table.version,
                files: Arc::clone(&table.files),
                hot: Arc::new(table.batches.iter().map(|b| b.rows.clone()).collect()),
                object_store: Arc::clone(&self.object_store),
            };
            views.insert(name.clone(), Arc::new(view));
        }
        *self.views.write() = Arc::new(views);
    }
}

/// How many batches at the end are of one class, when they are enough to merge.
fn tail_run(batches: &[HotBatch]) -> Option<usize> {
    let class = batches.last()?.class();
    if class == u32::MAX {
        return None;
    }
    let run = batches.iter().rev().take_while(|b| b.class() <= class).count();
    (run >= MERGE_FAN_IN).then_some(run)
}

/// What of a batch lies after `flushed`.
fn after(batch: HotBatch, flushed: LogPosition) -> Option<HotBatch> {
    if batch.last <= flushed {
        return None;
    }
    if batch.first > flushed {
        return Some(batch);
    }
    let positions = batch.rows.column_by_name(row::POSITION)?.as_primitive::<Int64Type>();
    let cut = positions.values().partition_point(|p| *p as u64 <= flushed);
    let left = batch.rows.num_rows() - cut;
    let bytes = batch.bytes * left / batch.rows.num_rows().max(1);
    Some(HotBatch { rows: batch.rows.slice(cut, left), first: flushed + 1, last: batch.last, bytes })
}

/// The hot rows of a view up to `position`.
pub(crate) fn rows_until(view: &TableView, position: LogPosition) -> Vec<RecordBatch> {
    let until = |batch: &RecordBatch| {
        let positions = batch.column_by_name(row::POSITION)?.as_primitive::<Int64Type>();
        let cut = positions.values().partition_point(|p| *p as u64 <= position);
        (cut > 0).then(|| batch.slice(0, cut))
    };
    view.hot.iter().filter_map(until).collect()
}
