//! Leaves out the files that cannot hold a row of the answer (LH-3), by the statistics of the table log.

use crate::{DataFile, FileStats, view::Range};
use arrow_array::{ArrayRef, BooleanArray, Date32Array, Int64Array, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow_schema::SchemaRef;
use datafusion::{
    common::{Column, pruning::PruningStatistics},
    physical_expr::PhysicalExpr,
    physical_optimizer::pruning::PruningPredicateBuilder,
    scalar::ScalarValue,
};
use schemas::row;
use std::{collections::HashSet, sync::Arc};

/// The files that may hold rows for which `predicate` is true. `schema` is the stored schema.
pub(super) fn prune(files: &[DataFile], predicate: Option<Arc<dyn PhysicalExpr>>, schema: &SchemaRef) -> Vec<DataFile> {
    let kept = predicate
        .and_then(|p| PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema)).build(p))
        .and_then(|p| p.prune(&Files(files)).ok());
    match kept {
        Some(kept) => files.iter().zip(kept).filter_map(|(f, keep)| keep.then(|| f.clone())).collect(),
        None => files.to_vec(),
    }
}

struct Files<'a>(&'a [DataFile]);

impl Files<'_> {
    fn bound(&self, column: &Column, side: Side) -> Option<ArrayRef> {
        let ints = |pick: fn(&FileStats) -> Option<Range<i64>>| self.0.iter().map(move |f| pick(&f.stats).map(|r| side.of(&r)));
        let times = |pick| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from_iter(ints(pick)).with_timezone("UTC")) };
        Some(match column.name.as_str() {
            row::DATE => Arc::new(Date32Array::from_iter_values(self.0.iter().map(|f| f.date))),
            row::H3 => Arc::new(Int64Array::from_iter(ints(|s| s.h3))),
            row::POSITION => Arc::new(Int64Array::from_iter(ints(|s| s.position))),
            row::OBSERVED_AT => times(|s| s.observed_at),
            row::RECEIVED_AT => times(|s| s.received_at),
            row::ENTITY_ID => {
                Arc::new(StringArray::from_iter(self.0.iter().map(|f| f.stats.entity_id.as_ref().map(|r| side.of(r).to_string()))))
            }
            _ => return None,
        })
    }
}

#[derive(Clone, Copy)]
enum Side {
    Min,
    Max,
}

impl Side {
    fn of<T: Clone>(self, range: &Range<T>) -> T {
        match self {
            Self::Min => range.min.clone(),
            Self::Max => range.max.clone(),
        }
    }
}

impl PruningStatistics for Files<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, Side::Min)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, Side::Max)
    }

    fn num_containers(&self) -> usize {
        self.0.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        match column.name.as_str() {
            row::H3 => Some(Arc::new(UInt64Array::from_iter(self.0.iter().map(|f| f.stats.h3_nulls)))),
            row::DATE | row::POSITION | row::OBSERVED_AT | row::RECEIVED_AT | row::ENTITY_ID => {
                Some(Arc::new(UInt64Array::from_iter_values(self.0.iter().map(|_| 0))))
            }
            _ => None,
        }
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from_iter_values(self.0.iter().map(|f| f.rows))))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
