//! The live files of a Delta state, with the statistics that we use.

use crate::{DataFile, FileStats, LakehouseError, Range, root::Root};
use arrow_array::{
    Array, ArrayRef, RecordBatch,
    cast::AsArray,
    types::{Date32Type, Int64Type},
};
use arrow_schema::DataType;
use deltalake_core::table::state::DeltaTableState;
use object_store::path::Path;
use schemas::{TableRef, row};

pub(super) fn live(table: &TableRef, state: &DeltaTableState) -> Result<Vec<DataFile>, LakehouseError> {
    let batches = state.add_actions_batches(true).map_err(LakehouseError::delta(table, "listing files"))?;
    let dir = Root::table_path(table);
    let mut out = Vec::new();
    for batch in &batches {
        let columns = Columns::of(batch)?;
        for index in 0..batch.num_rows() {
            out.push(
                columns
                    .file(&dir, index)
                    .ok_or_else(|| LakehouseError::Internal(format!("table {table}: a file entry has no path, size or date")))?,
            );
        }
    }
    sort(&mut out);
    Ok(out)
}

pub(super) fn sort(files: &mut [DataFile]) {
    files.sort_unstable_by(|a, b| (a.date, &a.path).cmp(&(b.date, &b.path)));
}

/// From the path in the log, which is relative to the table.
pub(super) fn full_path(dir: &Path, relative: &str) -> Path {
    Path::from(format!("{dir}/{relative}"))
}

/// The columns of a batch of file entries as we want them.
struct Columns {
    path: ArrayRef,
    size: ArrayRef,
    modified: ArrayRef,
    date: ArrayRef,
    rows: Option<ArrayRef>,
    h3_nulls: Option<ArrayRef>,
    ranges: [Option<(ArrayRef, ArrayRef)>; 4],
    entity: Option<(ArrayRef, ArrayRef)>,
}

impl Columns {
    fn of(batch: &RecordBatch) -> Result<Self, LakehouseError> {
        let get = |name: &str, kind: &DataType| -> Result<Option<ArrayRef>, LakehouseError> {
            batch.column_by_name(name).map(|c| arrow_cast::cast(c, kind)).transpose().map_err(LakehouseError::from)
        };
        let need = |name: &str, kind: &DataType| {
            get(name, kind)?.ok_or_else(|| LakehouseError::Internal(format!("Delta's file entries have no column {name}")))
        };
        let pair = |name: &str, kind: &DataType| -> Result<Option<(ArrayRef, ArrayRef)>, LakehouseError> {
            Ok(get(&format!("min.{name}"), kind)?.zip(get(&format!("max.{name}"), kind)?))
        };
        Ok(Self {
            path: need("path", &DataType::Utf8)?,
            size: need("size_bytes", &DataType::Int64)?,
            modified: need("modification_time", &DataType::Int64)?,
            date: need(&format!("partition.{}", row::DATE), &DataType::Date32)?,
            rows: get("num_records", &DataType::Int64)?,
            h3_nulls: get(&format!("null_count.{}", row::H3), &DataType::Int64)?,
            ranges: [
                pair(row::H3, &DataType::Int64)?,
                pair(row::OBSERVED_AT, &DataType::Int64)?,
                pair(row::RECEIVED_AT, &DataType::Int64)?,
                pair(row::POSITION, &DataType::Int64)?,
            ],
            entity: pair(row::ENTITY_ID, &DataType::Utf8)?,
        })
    }

    fn file(&self, dir: &Path, index: usize) -> Option<DataFile> {
        let range = |pair: &Option<(ArrayRef, ArrayRef)>| {
            let (min, max) = pair.as_ref()?;
            Some(Range { min: int(min, index)?, max: int(max, index)? })
        };
        let [h3, observed_at, received_at, position] = &self.ranges;
        let entity_id =
            self.entity.as_ref().and_then(|(min, max)| Some(Range { min: text(min, index)?.into(), max: text(max, index)?.into() }));
        let count = |column: &Option<ArrayRef>| column.as_ref().and_then(|c| int(c, index)).and_then(|n| u64::try_from(n).ok());
        Some(DataFile {
            path: full_path(dir, text(&self.path, index)?),
            size: u64::try_from(int(&self.size, index)?).ok()?,
            rows: count(&self.rows)?,
            date: self.date.is_valid(index).then(|| self.date.as_primitive::<Date32Type>().value(index))?,
            stats: FileStats {
                h3: range(h3),
                observed_at: range(observed_at),
                received_at: range(received_at),
                position: range(position),
                entity_id,
                h3_nulls: count(&self.h3_nulls),
            },
            modified_ms: int(&self.modified, index)?,
        })
    }
}

fn int(column: &ArrayRef, index: usize) -> Option<i64> {
    column.is_valid(index).then(|| column.as_primitive::<Int64Type>().value(index))
}

fn text(column: &ArrayRef, index: usize) -> Option<&str> {
    column.is_valid(index).then(|| column.as_string::<i32>().value(index))
}
