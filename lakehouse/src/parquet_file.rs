//! Sorted rows of one date to the bytes of one Parquet file, with the statistics that prune it.

use crate::{FileStats, LakehouseError, Range};
use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema, SchemaRef};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, Encoding, ZstdLevel},
    file::{
        metadata::{ParquetMetaData, SortingColumn},
        properties::{EnabledStatistics, WriterProperties},
        statistics::Statistics,
    },
    schema::types::ColumnPath,
};
use schemas::{Timestamp, row};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// zstd level: 3 is the knee of size against time on this data.
const ZSTD_LEVEL: i32 = 3;

/// A finished file, not stored yet.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) bytes: Vec<u8>,
    pub(crate) rows: u64,
    pub(crate) stats: FileStats,
    /// The statistics of all columns as Delta keeps them (PROTOCOL, per-file statistics).
    pub(crate) stats_json: String,
}

/// The columns in a file: all of the table but its partition.
pub(crate) fn file_schema(stored: &SchemaRef) -> SchemaRef {
    Arc::new(Schema::new(stored.fields().iter().filter(|f| f.name() != row::DATE).cloned().collect::<Vec<_>>()))
}

/// Writes batches with [`file_schema`], already sorted by (h3, observed_at).
pub(crate) struct FileWriter {
    writer: ArrowWriter<Vec<u8>>,
    schema: SchemaRef,
    rows: u64,
}

impl FileWriter {
    pub(crate) fn new(schema: &SchemaRef, row_group_rows: usize) -> Result<Self, LakehouseError> {
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(schema), Some(properties(schema, row_group_rows)))
            .map_err(LakehouseError::parquet("starting a file"))?;
        Ok(Self { writer, schema: Arc::clone(schema), rows: 0 })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), LakehouseError> {
        self.rows += batch.num_rows() as u64;
        self.writer.write(batch).map_err(LakehouseError::parquet("writing rows"))
    }

    /// Bytes so far, those that are not encoded yet estimated.
    pub(crate) fn size(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    pub(crate) fn finish(mut self) -> Result<Written, LakehouseError> {
        let meta = self.writer.finish().map_err(LakehouseError::parquet("finishing a file"))?;
        // `into_inner` would finish a second time, which is an error.
        let bytes = std::mem::take(self.writer.inner_mut());
        let (stats, stats_json) = statistics(&meta, &self.schema, self.rows);
        Ok(Written { bytes, rows: self.rows, stats, stats_json })
    }
}

fn properties(schema: &Schema, row_group_rows: usize) -> WriterProperties {
    let path = |name: &str| ColumnPath::from(name);
    let mut out = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default()))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(row_group_rows.max(1)))
        .set_created_by("portico".into())
        .set_column_bloom_filter_enabled(path(row::ENTITY_ID), true);
    for (index, field) in schema.fields().iter().enumerate() {
        // Times and positions climb along the sort order: deltas pack to a few bits where a dictionary would hold every value.
        if matches!(field.name().as_str(), row::OBSERVED_AT | row::RECEIVED_AT | row::POSITION) {
            out = out
                .set_column_dictionary_enabled(path(field.name()), false)
                .set_column_encoding(path(field.name()), Encoding::DELTA_BINARY_PACKED);
        }
        // What a dictionary that grew too large falls back to.
        if field.data_type() == &DataType::Float64 {
            out = out.set_column_encoding(path(field.name()), Encoding::BYTE_STREAM_SPLIT);
        }
        debug_assert!(!field.data_type().is_nested(), "column {index} is nested: leaves and columns must be one to one");
    }
    out.set_sorting_columns(sorting(schema)).build()
}

fn sorting(schema: &Schema) -> Option<Vec<SortingColumn>> {
    let column = |name: &str| schema.index_of(name).ok().and_then(|i| i32::try_from(i).ok());
    let order = [row::H3, row::OBSERVED_AT].into_iter().filter_map(column);
    Some(order.map(|column_idx| SortingColumn { column_idx, descending: false, nulls_first: true }).collect())
}

/// A bound of a column, in an order that means something.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Bound {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

struct ColumnStats {
    bounds: Option<(Bound, Bound)>,
    nulls: Option<u64>,
}

fn statistics(meta: &ParquetMetaData, schema: &Schema, rows: u64) -> (FileStats, String) {
    let (mut min, mut max, mut nulls) = (Map::new(), Map::new(), Map::new());
    let mut stats = FileStats::default();
    for (index, field) in schema.fields().iter().enumerate() {
        let column = column_stats(meta, index);
        if let Some(n) = column.nulls {
            nulls.insert(field.name().clone(), json!(n));
        }
        if let Some((low, high)) = &column.bounds {
            min.insert(field.name().clone(), bound_json(low, field.data_type()));
            max.insert(field.name().clone(), bound_json(high, field.data_type()));
        }
        let ints = match &column.bounds {
            Some((Bound::Int(min), Bound::Int(max))) => Some(Range { min: *min, max: *max }),
            _ => None,
        };
        match field.name().as_str() {
            row::H3 => (stats.h3, stats.h3_nulls) = (ints, column.nulls),
            row::OBSERVED_AT => stats.observed_at = ints,
            row::RECEIVED_AT => stats.received_at = ints,
            row::POSITION => stats.position = ints,
            row::ENTITY_ID => {
                if let Some((Bound::Text(min), Bound::Text(max))) = column.bounds {
                    stats.entity_id = Some(Range { min: min.into(), max: max.into() });
                }
            }
            _ => {}
        }
    }
    let json = json!({"numRecords": rows, "minValues": min, "maxValues": max, "nullCount": nulls});
    (stats, json.to_string())
}

/// Bounds and nulls over all row groups; no bounds when one row group has values and no bounds.
fn column_stats(meta: &ParquetMetaData, index: usize) -> ColumnStats {
    let mut out = ColumnStats { bounds: None, nulls: Some(0) };
    let mut known = true;
    for group in meta.row_groups() {
        let column = group.column(index);
        let Some(stats) = column.statistics() else { return ColumnStats { bounds: None, nulls: None } };
        out.nulls = out.nulls.zip(stats.null_count_opt()).map(|(a, b)| a + b);
        match bounds(stats) {
            Some((low, high)) => {
                out.bounds = Some(match out.bounds.take() {
                    None => (low, high),
                    Some((l, h)) => (if low < l { low } else { l }, if high > h { high } else { h }),
                });
            }
            None => known &= stats.null_count_opt() == Some(column.num_values() as u64),
        }
    }
    out.bounds = out.bounds.filter(|_| known);
    out
}

fn bounds(stats: &Statistics) -> Option<(Bound, Bound)> {
    let text = |b: &parquet::data_type::ByteArray| b.as_utf8().ok().map(|t| Bound::Text(t.to_owned()));
    match stats {
        Statistics::Boolean(s) => Some((Bound::Bool(*s.min_opt()?), Bound::Bool(*s.max_opt()?))),
        Statistics::Int32(s) => Some((Bound::Int(i64::from(*s.min_opt()?)), Bound::Int(i64::from(*s.max_opt()?)))),
        Statistics::Int64(s) => Some((Bound::Int(*s.min_opt()?), Bound::Int(*s.max_opt()?))),
        Statistics::Double(s) => Some((Bound::Float(*s.min_opt()?), Bound::Float(*s.max_opt()?))),
        Statistics::ByteArray(s) => Some((text(s.min_opt()?)?, text(s.max_opt()?)?)),
        _ => None,
    }
}

fn bound_json(bound: &Bound, kind: &DataType) -> Value {
    match bound {
        Bound::Int(v) if matches!(kind, DataType::Timestamp(..)) => Value::String(Timestamp(*v).to_rfc3339()),
        Bound::Int(v) => json!(v),
        Bound::Float(v) => json!(v),
        Bound::Bool(v) => json!(v),
        Bound::Text(v) => json!(v),
    }
}
