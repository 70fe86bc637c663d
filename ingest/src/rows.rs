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
    /// No row had a value yet: most devices send a part of what their contract has.
    Empty(FieldType, usize),
    Float(Float64Builder),
    Int(Int64Builder),
    Bool(BooleanBuilder),
    Text(StringBuilder),
}

impl Column {
    /// With `n` nulls, and room for `rows`.
    fn begun(kind: FieldType, n: usize, rows: usize) -> Self {
        match kind {
            FieldType::Float => {
                let mut b = Float64Builder::with_capacity(rows);
                b.append_nulls(n);
                Self::Float(b)
            }
            FieldType::Int => {
                let mut b = Int64Builder::with_capacity(rows);
                b.append_nulls(n);
                Self::Int(b)
            }
            FieldType::Bool => {
                let mut b = BooleanBuilder::with_capacity(rows);
                b.append_nulls(n);
                Self::Bool(b)
            }
            FieldType::Text => {
                let mut b = StringBuilder::with_capacity(rows, 0);
                (0..n).for_each(|_| b.append_null());
                Self::Text(b)
            }
        }
    }

    fn push(&mut self, slot: Slot, block: &Block, rows: usize) {
        if let Self::Empty(kind, n) = self {
            if matches!(slot, Slot::Null) {
                *n += 1;
                return;
            }
            *self = Self::begun(*kind, *n, rows);
        }
        match (self, slot) {
            (Self::Empty(..), _) => {}
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
            Self::Empty(kind, n) => arrow_array::new_null_array(&kind.arrow(), *n),
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
    /// Rows there is room for from the start.
    room: usize,
}

/// Bytes of a URN and of the words beside it, at a guess.
const ID_BYTES: usize = 40;
const WORD_BYTES: usize = 12;

impl TableRows {
    /// For about `room` rows: a builder that grows copies what it has.
    #[must_use]
    pub fn new(table: Arc<Table>, room: usize) -> Self {
        let time = || TimestampMicrosecondBuilder::with_capacity(room).with_timezone("UTC");
        Self {
            entity: StringBuilder::with_capacity(room, room * ID_BYTES),
            observed_at: time(),
            received_at: time(),
            source: StringBuilder::with_capacity(room, room * WORD_BYTES),
            quality: StringBuilder::with_capacity(room, room * WORD_BYTES),
            simulated: BooleanBuilder::with_capacity(room),
            lon: Float64Builder::with_capacity(room),
            lat: Float64Builder::with_capacity(room),
            h3: Int64Builder::with_capacity(room),
            fields: table.contract.fields.iter().map(|f| Column::Empty(f.kind, 0)).collect(),
            table,
            len: 0,
            room,
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
            column.push(*slot, block, self.room);
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
