//! Column builders: rows of one table on their way into a frame.

use crate::{
    IngestError, Publisher,
    decode::block::{Block, Slot},
    mapping::route::Table,
};
use arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use schemas::{FieldType, Part, Timestamp};
use std::sync::Arc;

/// One column of a contract's field.
#[derive(Debug)]
enum Column {
    Float(Float64Builder),
    Int(Int64Builder),
    Bool(BooleanBuilder),
    Text(StringBuilder),
}

impl Column {
    fn new(kind: FieldType) -> Self {
        match kind {
            FieldType::Float => Self::Float(Float64Builder::new()),
            FieldType::Int => Self::Int(Int64Builder::new()),
            FieldType::Bool => Self::Bool(BooleanBuilder::new()),
            FieldType::Text => Self::Text(StringBuilder::new()),
        }
    }

    fn push(&mut self, slot: Slot, block: &Block) {
        match (self, slot) {
            (Self::Float(b), Slot::Float(v)) => b.append_value(v),
            (Self::Int(b), Slot::Int(v)) => b.append_value(v),
            (Self::Bool(b), Slot::Bool(v)) => b.append_value(v),
            (Self::Text(b), Slot::Text { start, len }) => b.append_value(block.text(start, len)),
            // Decoding gives a slot the kind of its field; what is left is Null.
            (Self::Float(b), _) => b.append_null(),
            (Self::Int(b), _) => b.append_null(),
            (Self::Bool(b), _) => b.append_null(),
            (Self::Text(b), _) => b.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Float(b) => Arc::new(b.finish()),
            Self::Int(b) => Arc::new(b.finish()),
            Self::Bool(b) => Arc::new(b.finish()),
            Self::Text(b) => Arc::new(b.finish()),
        }
    }
}

/// Rows in the columns of `row::pending_schema`.
#[derive(Debug)]
pub struct TableRows {
    table: Arc<Table>,
    entity: StringBuilder,
    observed_at: TimestampMicrosecondBuilder,
    received_at: TimestampMicrosecondBuilder,
    source: StringBuilder,
    quality: StringBuilder,
    simulated: BooleanBuilder,
    lon: Float64Builder,
    lat: Float64Builder,
    h3: Int64Builder,
    fields: Vec<Column>,
    len: usize,
}

impl TableRows {
    #[must_use]
    pub fn new(table: Arc<Table>) -> Self {
        Self {
            entity: StringBuilder::new(),
            observed_at: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            received_at: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            source: StringBuilder::new(),
            quality: StringBuilder::new(),
            simulated: BooleanBuilder::new(),
            lon: Float64Builder::new(),
            lat: Float64Builder::new(),
            h3: Int64Builder::new(),
            fields: table.contract.fields.iter().map(|f| Column::new(f.kind)).collect(),
            table,
            len: 0,
        }
    }

    /// Copies row `i` of a block.
    pub fn push(&mut self, block: &Block, i: usize, publisher: &Publisher, received_at: Timestamp) {
        let row = &block.rows[i];
        self.entity.append_value(&*row.entity.id);
        self.observed_at.append_value(row.observed_at.0);
        self.received_at.append_value(received_at.0);
        self.source.append_value(publisher.source.as_str());
        self.quality.append_value(row.quality.name());
        self.simulated.append_value(publisher.simulated || row.simulated);
        match row.place {
            Some((position, cell)) => {
                self.lon.append_value(position.lon);
                self.lat.append_value(position.lat);
                self.h3.append_value(cell);
            }
            None => {
                self.lon.append_null();
                self.lat.append_null();
                self.h3.append_null();
            }
        }
        for (column, slot) in self.fields.iter_mut().zip(block.slots_of(i)) {
            column.push(*slot, block);
        }
        self.len += 1;
    }

    /// The rows as a part of a frame; `None` when there are none.
    pub fn finish(mut self) -> Result<Option<Part>, IngestError> {
        if self.len == 0 {
            return Ok(None);
        }
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.entity.finish()),
            Arc::new(self.observed_at.finish()),
            Arc::new(self.received_at.finish()),
            Arc::new(self.source.finish()),
            Arc::new(self.quality.finish()),
            Arc::new(self.simulated.finish()),
            Arc::new(self.lon.finish()),
            Arc::new(self.lat.finish()),
            Arc::new(self.h3.finish()),
        ];
        columns.extend(self.fields.iter_mut().map(Column::finish));
        let rows = RecordBatch::try_new(Arc::clone(&self.table.schema), columns)
            .map_err(|e| IngestError::Internal(format!("rows of {} do not fit their schema: {e}", self.table.name)))?;
        Ok(Some(Part { table: self.table.name.clone(), rows }))
    }
}
