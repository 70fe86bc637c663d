//! Reads that need no SQL: rows of one date for deduplication, the newest instant, everything after a position.

use crate::{DataFile, LakehouseError, TableView, columns::adapt, log::codec::observed_at, store::Store, work::blocking};
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, RecordBatch,
    cast::AsArray,
    types::{Date32Type, Int64Type},
};
use arrow_schema::{Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use futures::{StreamExt, stream::BoxStream};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
use schemas::{LogPosition, TableRef, Timestamp, row};
use std::sync::Arc;

/// Rows of all tables, with the stored schema.
pub type Tail = BoxStream<'static, Result<(TableRef, RecordBatch), LakehouseError>>;

impl Store {
    /// The rows of a table and date, hot and in files: `entity_id`, `observed_at`, `quality` and the contract's fields.
    /// Empty when the table has no row.
    pub(crate) async fn stored_rows(self: &Arc<Self>, table: &TableRef, date: i32) -> Result<Vec<RecordBatch>, LakehouseError> {
        let Some(view) = self.pin().get(table).cloned() else { return Ok(Vec::new()) };
        let schema = identity_schema(&view.schema);
        let mut out = Vec::new();
        for batch in view.hot.iter() {
            let dates = batch.column_by_name(row::DATE).and_then(|c| c.as_primitive_opt::<Date32Type>());
            let Some(dates) = dates else { continue };
            let keep = BooleanArray::from_iter(dates.values().iter().map(|d| Some(*d == date)));
            if keep.true_count() > 0 {
                out.push(adapt(&filter_record_batch(batch, &keep)?, &schema)?);
            }
        }
        let store = Arc::clone(self);
        let from_files = self.work.run(async move {
            let mut out = Vec::new();
            for file in view.files.iter().filter(|f| f.date == date) {
                out.extend(store.read_file(file, &schema).await?);
            }
            Ok(out)
        });
        out.extend(from_files.await?);
        Ok(out)
    }

    /// The newest `observed_at` of a table, hot or in files; `None` when it has no row.
    #[must_use]
    pub(crate) fn newest(&self, table: &TableRef) -> Option<Timestamp> {
        let view = self.pin().get(table).cloned()?;
        let files = view.files.iter().filter_map(|f| f.stats.observed_at.map(|r| r.max)).max();
        let hot = view.hot.iter().filter_map(|b| observed_at(b).ok()?.values().iter().copied().max()).max();
        files.max(hot).map(Timestamp)
    }

    /// Every row after a position, in no order, and the position up to which it is complete. A fold that does not depend on
    /// order (TW-1) starts from a snapshot at `after`, takes these, and goes on with [`Store::subscribe`] made before.
    #[must_use]
    pub(crate) fn tail(self: &Arc<Self>, after: LogPosition) -> (LogPosition, Tail) {
        let (views, position) = self.hot.pin_at();
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let mut pieces = Vec::new();
        for view in views.values() {
            let newer = |f: &&DataFile| f.stats.position.is_none_or(|r| r.max > after);
            pieces.extend(view.files.iter().filter(newer).map(|f| (Arc::clone(view), Some(f.clone()))));
            if !view.hot.is_empty() {
                pieces.push((Arc::clone(view), None));
            }
        }
        let store = Arc::clone(self);
        let read = move |(view, file): (Arc<TableView>, Option<DataFile>)| {
            let store = Arc::clone(&store);
            async move {
                let batches = match file {
                    Some(file) => {
                        let (reader, schema) = (Arc::clone(&store), Arc::clone(&view.schema));
                        store.work.run(async move { reader.read_file(&file, &schema).await }).await
                    }
                    None => Ok(view.hot.to_vec()),
                };
                let rows = batches.and_then(|b| b.iter().map(|b| after_position(b, after)).collect::<Result<Vec<_>, _>>());
                let out: Vec<Result<_, LakehouseError>> = match rows {
                    Ok(rows) => rows.into_iter().filter(|b| b.num_rows() > 0).map(|b| Ok((view.table.clone(), b))).collect(),
                    Err(e) => vec![Err(e)],
                };
                futures::stream::iter(out)
            }
        };
        (position, futures::stream::iter(pieces).then(read).flatten().boxed())
    }

    /// The columns of `schema` from a file; its partition becomes a column again.
    async fn read_file(&self, file: &DataFile, schema: &SchemaRef) -> Result<Vec<RecordBatch>, LakehouseError> {
        let bytes = self.root.read(&file.path).await?;
        let (schema, date, path) = (Arc::clone(schema), file.date, file.path.clone());
        blocking(move || {
            let doing = || format!("reading {path}");
            let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(LakehouseError::parquet(doing()))?;
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
            let reader = builder.with_projection(mask).build().map_err(LakehouseError::parquet(doing()))?;
            reader.map(|batch| adapt(&with_date(batch?, date)?, &schema)).collect()
        })
        .await
    }
}

fn with_date(batch: RecordBatch, date: i32) -> Result<RecordBatch, LakehouseError> {
    let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(arrow_schema::Field::new(row::DATE, arrow_schema::DataType::Date32, false)));
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    columns.push(Arc::new(Date32Array::from(vec![date; batch.num_rows()])));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn identity_schema(stored: &SchemaRef) -> SchemaRef {
    let kept = |name: &str| !row::is_common(name) || [row::ENTITY_ID, row::OBSERVED_AT, row::QUALITY].contains(&name);
    Arc::new(Schema::new(stored.fields().iter().filter(|f| kept(f.name())).cloned().collect::<Vec<_>>()))
}

fn after_position(batch: &RecordBatch, after: i64) -> Result<RecordBatch, LakehouseError> {
    let positions = batch
        .column_by_name(row::POSITION)
        .and_then(|c| c.as_primitive_opt::<Int64Type>())
        .ok_or_else(|| LakehouseError::Internal("stored rows have no position".into()))?;
    let keep = BooleanArray::from_iter(positions.values().iter().map(|p| Some(*p > after)));
    if keep.true_count() == batch.num_rows() {
        return Ok(batch.clone());
    }
    Ok(filter_record_batch(batch, &keep)?)
}
