//! The four formats, each written piece by piece: what is made is handed on and not kept.

use super::Format;
use crate::error::ApiError;
use arrow_array::{Array, Int64Array, RecordBatch, UInt64Array, cast::AsArray as _};
use arrow_ipc::writer::StreamWriter;
use arrow_json::{
    Encoder as JsonValue, EncoderFactory, EncoderOptions, StructMode, WriterBuilder,
    writer::{JsonArray, NullableEncoder},
};
use arrow_schema::{ArrowError, DataType, FieldRef, Schema, SchemaRef};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use schemas::TableRef;
use std::{io::Write as _, sync::Arc};

/// Rows of one Parquet row group; what is held back in memory until it is full.
const PARQUET_GROUP_ROWS: usize = 128 << 10;

/// Writes one answer.
pub(super) enum Encoder {
    Json { head: Vec<u8>, rows: Box<arrow_json::Writer<Vec<u8>, JsonArray>> },
    Csv { schema: SchemaRef, started: bool },
    Arrow(Box<StreamWriter<Vec<u8>>>),
    Parquet(Box<ArrowWriter<Vec<u8>>>),
}

fn arrow_failed(e: ArrowError) -> ApiError {
    ApiError::internal(format!("cannot write the answer: {e}"))
}

fn parquet_failed(e: parquet::errors::ParquetError) -> ApiError {
    ApiError::internal(format!("cannot write the answer as Parquet: {e}"))
}

impl Encoder {
    pub(super) fn new(format: Format, schema: &SchemaRef, versions: &[(TableRef, i64)]) -> Result<Self, ApiError> {
        Ok(match format {
            Format::Json => Self::Json {
                head: json_head(schema, versions)?,
                rows: Box::new(
                    WriterBuilder::new()
                        .with_struct_mode(StructMode::ListOnly)
                        .with_explicit_nulls(true)
                        .with_encoder_factory(Arc::new(WideIntegers))
                        .build(Vec::new()),
                ),
            },
            Format::Csv => Self::Csv { schema: Arc::clone(schema), started: false },
            Format::Arrow => Self::Arrow(Box::new(StreamWriter::try_new(Vec::new(), schema).map_err(arrow_failed)?)),
            Format::Parquet => {
                let level = ZstdLevel::try_new(1).map_err(parquet_failed)?;
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(level))
                    .set_max_row_group_row_count(Some(PARQUET_GROUP_ROWS))
                    .build();
                Self::Parquet(Box::new(ArrowWriter::try_new(Vec::new(), Arc::clone(schema), Some(properties)).map_err(parquet_failed)?))
            }
        })
    }

    /// What to send for this batch; may be empty when the format holds rows back.
    pub(super) fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ApiError> {
        match self {
            Self::Json { head, rows } => {
                rows.write(batch).map_err(arrow_failed)?;
                let mut out = std::mem::take(head);
                out.append(rows.get_mut());
                Ok(out)
            }
            Self::Csv { started, .. } => {
                let header = !std::mem::replace(started, true);
                csv(batch, header)
            }
            Self::Arrow(writer) => {
                writer.write(batch).map_err(arrow_failed)?;
                Ok(std::mem::take(writer.get_mut()))
            }
            Self::Parquet(writer) => {
                writer.write(batch).map_err(parquet_failed)?;
                writer.sync().map_err(|e| parquet_failed(e.into()))?;
                Ok(std::mem::take(writer.inner_mut()))
            }
        }
    }

    /// What to send at the end of `rows` rows.
    pub(super) fn finish(&mut self, rows: usize, truncated: bool) -> Result<Vec<u8>, ApiError> {
        match self {
            Self::Json { head, rows: writer } => {
                writer.finish().map_err(arrow_failed)?;
                let mut out = std::mem::take(head);
                out.append(writer.get_mut());
                out.extend_from_slice(format!(",\"row_count\":{rows},\"truncated\":{truncated}}}").as_bytes());
                Ok(out)
            }
            Self::Csv { started: true, .. } => Ok(Vec::new()),
            Self::Csv { schema, started: false } => csv(&RecordBatch::new_empty(Arc::clone(schema)), true),
            Self::Arrow(writer) => {
                writer.finish().map_err(arrow_failed)?;
                Ok(std::mem::take(writer.get_mut()))
            }
            Self::Parquet(writer) => {
                writer.finish().map_err(parquet_failed)?;
                writer.sync().map_err(|e| parquet_failed(e.into()))?;
                Ok(std::mem::take(writer.inner_mut()))
            }
        }
    }
}

/// RFC 4180: header, CRLF, quotes only where needed.
fn csv(batch: &RecordBatch, header: bool) -> Result<Vec<u8>, ApiError> {
    let mut out = Vec::new();
    let mut writer =
        arrow_csv::WriterBuilder::new().with_header(header).with_line_terminator(arrow_csv::writer::Terminator::CRLF).build(&mut out);
    writer.write(batch).map_err(arrow_failed)?;
    drop(writer);
    Ok(out)
}

/// Everything before the array of rows.
fn json_head(schema: &Schema, versions: &[(TableRef, i64)]) -> Result<Vec<u8>, ApiError> {
    let fail = |e: serde_json::Error| ApiError::internal(format!("cannot write the answer: {e}"));
    let columns: Vec<serde_json::Value> = schema
        .fields()
        .iter()
        .map(|f| {
            let mut column = serde_json::json!({"name": f.name(), "type": type_name(f.data_type())});
            if let Some(unit) = f.metadata().get("unit") {
                column["unit"] = unit.as_str().into();
            }
            column
        })
        .collect();
    let versions: serde_json::Map<String, serde_json::Value> = versions.iter().map(|(t, v)| (t.to_string(), (*v).into())).collect();
    let mut out = b"{\"columns\":".to_vec();
    serde_json::to_writer(&mut out, &columns).map_err(fail)?;
    out.extend_from_slice(b",\"versions\":");
    serde_json::to_writer(&mut out, &versions).map_err(fail)?;
    out.extend_from_slice(b",\"rows\":");
    Ok(out)
}

/// The SQL name of a type.
fn type_name(kind: &DataType) -> String {
    match kind {
        DataType::Boolean => "boolean".into(),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint".into(),
        DataType::Int32 | DataType::UInt16 => "integer".into(),
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => "bigint".into(),
        DataType::Float16 | DataType::Float32 => "real".into(),
        DataType::Float64 => "double".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "binary".into(),
        DataType::Date32 | DataType::Date64 => "date".into(),
        DataType::Timestamp(_, _) => "timestamp".into(),
        DataType::Dictionary(_, value) => type_name(value),
        other => other.to_string().to_ascii_lowercase(),
    }
}

/// The greatest whole number up to which every JSON reader is exact.
const EXACT_MAX: u64 = 1 << 53;

/// Writes 64-bit integers that a JSON reader would round as texts.
#[derive(Debug)]
struct WideIntegers;

impl EncoderFactory for WideIntegers {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let wide = match array.data_type() {
            DataType::Int64 => Wide::Signed(array.as_primitive()),
            DataType::UInt64 => Wide::Unsigned(array.as_primitive()),
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(Box::new(wide), array.nulls().cloned())))
    }
}

/// A column of 64-bit integers.
enum Wide<'a> {
    Signed(&'a Int64Array),
    Unsigned(&'a UInt64Array),
}

impl JsonValue for Wide<'_> {
    fn encode(&mut self, i: usize, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail.
        let _ = match self {
            Self::Signed(a) if a.value(i).unsigned_abs() <= EXACT_MAX => write!(out, "{}", a.value(i)),
            Self::Signed(a) => write!(out, "\"{}\"", a.value(i)),
            Self::Unsigned(a) if a.value(i) <= EXACT_MAX => write!(out, "{}", a.value(i)),
            Self::Unsigned(a) => write!(out, "\"{}\"", a.value(i)),
        };
    }
}
