//! Many sorted files to few sorted files, in the memory of one batch per input.

use crate::{
    LakehouseError,
    columns::adapt,
    parquet_file::{FileWriter, Written},
    sort::{RowRef, SortKey},
};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use arrow_select::interleave::interleave_record_batch;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

const BATCH_ROWS: usize = 8_192;

/// Merges files that are each sorted by (h3, observed_at). `schema` is that of files; `target` the size of an output.
pub(crate) fn merge(inputs: Vec<Bytes>, schema: &SchemaRef, target: u64, row_group_rows: usize) -> Result<Vec<Written>, LakehouseError> {
    let mut sources = inputs.into_iter().map(|bytes| Source::open(bytes, schema)).collect::<Result<Vec<_>, _>>()?;
    let mut heap = BinaryHeap::new();
    let mut gather = Gather::default();
    for (index, source) in sources.iter_mut().enumerate() {
        if let Some(key) = source.next_batch(&mut gather)? {
            heap.push(Reverse((key, index)));
        }
    }
    let mut out = Vec::new();
    let mut writer = FileWriter::new(schema, row_group_rows)?;
    while let Some(Reverse((_, index))) = heap.pop() {
        let source = &mut sources[index];
        gather.rows.push((source.slot, source.at));
        source.at += 1;
        let next = match source.key()? {
            Some(key) => Some(key),
            None => source.next_batch(&mut gather)?,
        };
        if let Some(key) = next {
            heap.push(Reverse((key, index)));
        }
        if gather.rows.len() >= BATCH_ROWS {
            gather.write(&mut writer, &mut sources)?;
            if writer.size() >= target {
                let full = std::mem::replace(&mut writer, FileWriter::new(schema, row_group_rows)?);
                out.push(full.finish()?);
            }
        }
    }
    gather.write(&mut writer, &mut sources)?;
    let last = writer.finish()?;
    if last.rows > 0 {
        out.push(last);
    }
    Ok(out)
}

/// Rows chosen and not written yet, by the batches that hold them.
#[derive(Default)]
struct Gather {
    batches: Vec<RecordBatch>,
    rows: Vec<RowRef>,
}

impl Gather {
    fn write(&mut self, writer: &mut FileWriter, sources: &mut [Source]) -> Result<(), LakehouseError> {
        if !self.rows.is_empty() {
            let batches: Vec<&RecordBatch> = self.batches.iter().collect();
            writer.write(&interleave_record_batch(&batches, &self.rows)?)?;
        }
        self.rows.clear();
        // Only the batches that sources still read from stay.
        let mut kept = Vec::with_capacity(sources.len());
        for source in sources.iter_mut().filter(|s| s.batch.is_some()) {
            kept.push(self.batches[source.slot].clone());
            source.slot = kept.len() - 1;
        }
        self.batches = kept;
        Ok(())
    }
}

struct Source {
    reader: ParquetRecordBatchReader,
    schema: SchemaRef,
    batch: Option<RecordBatch>,
    /// Index of `batch` among the gathered ones.
    slot: usize,
    at: usize,
}

impl Source {
    fn open(bytes: Bytes, schema: &SchemaRef) -> Result<Self, LakehouseError> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
            .and_then(|b| b.with_batch_size(BATCH_ROWS).build())
            .map_err(LakehouseError::parquet("opening a file to merge"))?;
        Ok(Self { reader, schema: Arc::clone(schema), batch: None, slot: 0, at: 0 })
    }

    /// Key of the row at hand; `None` at the end of the batch.
    fn key(&self) -> Result<Option<(i64, i64)>, LakehouseError> {
        match &self.batch {
            Some(batch) if self.at < batch.num_rows() => Ok(Some(SortKey::of(batch)?.get(self.at))),
            _ => Ok(None),
        }
    }

    fn next_batch(&mut self, gather: &mut Gather) -> Result<Option<(i64, i64)>, LakehouseError> {
        self.batch = None;
        for batch in self.reader.by_ref() {
            let batch = adapt(&batch?, &self.schema)?;
            if batch.num_rows() > 0 {
                self.at = 0;
                self.slot = gather.batches.len();
                gather.batches.push(batch.clone());
                self.batch = Some(batch);
                return self.key();
            }
        }
        Ok(None)
    }
}
