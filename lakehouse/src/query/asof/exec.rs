//! Runs an ASOF join: the right side is gathered once, by key and time; the left side streams past it.

use super::Side;
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array, cast::AsArray, types::TimestampMicrosecondType};
use arrow_schema::SchemaRef;
use datafusion::{
    arrow::row::{RowConverter, Rows, SortField},
    common::{DataFusionError, Result, internal_err, resources_datafusion_err, tree_node::TreeNodeRecursion},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
        distribution_requirements::InputDistributionRequirements,
        execution_plan::{Boundedness, EmissionType},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, TryStreamExt};
use hashbrown::HashMap;
use std::{fmt, sync::Arc};
use tokio::sync::OnceCell;

/// Memory of one row of the right side beside its columns: time, index, and its share of the keys.
const ENTRY_BYTES: usize = 48;

type Physical = Arc<dyn PhysicalExpr>;

/// What belongs together.
#[derive(Debug, Clone)]
pub(super) struct Matching {
    pub(super) keys: Vec<(Physical, Physical)>,
    pub(super) times: (Physical, Physical),
    pub(super) side: Side,
    pub(super) inner: bool,
}

#[derive(Debug)]
pub(super) struct AsOfExec {
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    matching: Matching,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    /// Gathered by whichever partition comes first.
    gathered: Arc<OnceCell<Arc<Gathered>>>,
}

impl AsOfExec {
    pub(super) fn new(left: Arc<dyn ExecutionPlan>, right: Arc<dyn ExecutionPlan>, matching: Matching, schema: SchemaRef) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(left.output_partitioning().partition_count()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { left, right, matching, schema, properties: Arc::new(properties), gathered: Arc::default() }
    }
}

impl DisplayAs for AsOfExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Matching { keys, times: (a, b), side, .. } = &self.matching;
        write!(f, "AsOfJoinExec: {a} {} {b}, keys={}", side.symbol(), keys.len())
    }
}

impl ExecutionPlan for AsOfExec {
    fn name(&self) -> &'static str {
        "AsOfJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.left, &self.right]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::UnspecifiedDistribution, Distribution::SinglePartition])
    }

    fn apply_expressions(&self, f: &mut dyn FnMut(&Physical) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        let Matching { keys, times, .. } = &self.matching;
        let mut next = TreeNodeRecursion::Continue;
        for expr in keys.iter().flat_map(|(a, b)| [a, b]).chain([&times.0, &times.1]) {
            next = f(expr)?;
            if next == TreeNodeRecursion::Stop {
                break;
            }
        }
        Ok(next)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(right), Some(left)) = (children.pop(), children.pop()) else { return internal_err!("AsOfJoinExec has two inputs") };
        Ok(Arc::new(Self::new(left, right, self.matching.clone(), Arc::clone(&self.schema))))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let left = self.left.execute(partition, Arc::clone(&context))?;
        let (right, gathered) = (Arc::clone(&self.right), Arc::clone(&self.gathered));
        let (matching, schema) = (self.matching.clone(), Arc::clone(&self.schema));
        let out = Arc::clone(&schema);
        let start = async move {
            let own = matching.clone();
            let right = gathered.get_or_try_init(|| async move { Gathered::of(right, &own, context).await.map(Arc::new) }).await?.clone();
            let probe = Probe { right, matching, schema };
            Ok::<_, DataFusionError>(left.map(move |batch| probe.join(&batch?)))
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(out, futures::stream::once(start).try_flatten())))
    }
}

/// Times of one key, rising, with the rows they are of.
type Times = Vec<(i64, u32)>;

/// The right side.
#[derive(Debug)]
struct Gathered {
    rows: RecordBatch,
    by_key: HashMap<Box<[u8]>, Times>,
    _memory: MemoryReservation,
}

/// Keys as bytes that are equal when they are.
struct Keys(Vec<ArrayRef>, Option<Rows>);

impl Keys {
    fn of<'a>(exprs: impl Iterator<Item = &'a Physical>, batch: &RecordBatch) -> Result<Self> {
        let columns = exprs.map(|e| e.evaluate(batch)?.into_array(batch.num_rows())).collect::<Result<Vec<_>>>()?;
        if columns.is_empty() {
            return Ok(Self(columns, None));
        }
        let kinds = columns.iter().map(|k| SortField::new(k.data_type().clone())).collect();
        let rows = RowConverter::new(kinds)?.convert_columns(&columns)?;
        Ok(Self(columns, Some(rows)))
    }

    /// `None` when one is null: equal to nothing, itself included.
    fn get(&self, row: usize) -> Option<&[u8]> {
        let Some(rows) = &self.1 else { return Some(&[]) };
        self.0.iter().all(|k| k.is_valid(row)).then(|| rows.row(row).data())
    }
}

impl Gathered {
    async fn of(plan: Arc<dyn ExecutionPlan>, matching: &Matching, context: Arc<TaskContext>) -> Result<Self> {
        let memory = MemoryConsumer::new("AsOfJoin").register(context.memory_pool());
        let schema = plan.schema();
        let mut batches = Vec::new();
        let mut stream = plan.execute(0, context)?;
        while let Some(batch) = stream.try_next().await? {
            // Twice: the batches are put together below.
            memory.try_grow(2 * batch.get_array_memory_size() + ENTRY_BYTES * batch.num_rows())?;
            batches.push(batch);
        }
        let rows = arrow_select::concat::concat_batches(&schema, &batches)?;
        drop(batches);
        if u32::try_from(rows.num_rows()).is_err() {
            return Err(resources_datafusion_err!("the right side of an ASOF JOIN has more rows than can be numbered; narrow it"));
        }
        let keys = Keys::of(matching.keys.iter().map(|(_, right)| right), &rows)?;
        let times = matching.times.1.evaluate(&rows)?.into_array(rows.num_rows())?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let mut by_key: HashMap<Box<[u8]>, Times> = HashMap::new();
        for i in (0..rows.num_rows()).filter(|i| times.is_valid(*i)) {
            let Some(key) = keys.get(i) else { continue };
            match by_key.get_mut(key) {
                Some(of_key) => of_key.push((times.value(i), i as u32)),
                None => drop(by_key.insert(key.into(), vec![(times.value(i), i as u32)])),
            }
        }
        // Of rows of one instant the last stands for it, as the last written value does elsewhere.
        by_key.values_mut().for_each(|times| times.sort_unstable());
        Ok(Self { rows, by_key, _memory: memory })
    }
}

impl Side {
    /// The row that belongs to an instant.
    fn find(self, times: &[(i64, u32)], at: i64) -> Option<u32> {
        let (before, until) = (times.partition_point(|t| t.0 < at), times.partition_point(|t| t.0 <= at));
        let index = match self {
            Self::AtOrBefore => until.checked_sub(1)?,
            Self::Before => before.checked_sub(1)?,
            Self::AtOrAfter => before,
            Self::After => until,
        };
        times.get(index).map(|t| t.1)
    }
}

struct Probe {
    right: Arc<Gathered>,
    matching: Matching,
    schema: SchemaRef,
}

impl Probe {
    fn join(&self, left: &RecordBatch) -> Result<RecordBatch> {
        let keys = Keys::of(self.matching.keys.iter().map(|(left, _)| left), left)?;
        let times = self.matching.times.0.evaluate(left)?.into_array(left.num_rows())?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let find = |i: usize| -> Option<u32> {
            let of_key = self.right.by_key.get(keys.get(i)?)?;
            times.is_valid(i).then(|| self.matching.side.find(of_key, times.value(i)))?
        };
        let found: UInt32Array = (0..left.num_rows()).map(find).collect();
        let (left, found) = if self.matching.inner {
            let keep = arrow_array::BooleanArray::from_iter(found.iter().map(|f| Some(f.is_some())));
            let kept = arrow_select::filter::filter(&found, &keep)?;
            (arrow_select::filter::filter_record_batch(left, &keep)?, kept.as_primitive().clone())
        } else {
            (left.clone(), found)
        };
        let mut columns = left.columns().to_vec();
        for column in self.right.rows.columns() {
            columns.push(arrow_select::take::take(column, &found, None)?);
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_finds_its_row() {
        let times = [(10, 0), (20, 1), (20, 2), (30, 3)];
        let find = |side: Side, at| side.find(&times, at);
        assert_eq!([9, 10, 20, 25, 99].map(|at| find(Side::AtOrBefore, at)), [None, Some(0), Some(2), Some(2), Some(3)]);
        assert_eq!([10, 11, 20, 30].map(|at| find(Side::Before, at)), [None, Some(0), Some(0), Some(2)]);
        assert_eq!([5, 10, 20, 31].map(|at| find(Side::AtOrAfter, at)), [Some(0), Some(0), Some(1), None]);
        assert_eq!([5, 10, 20, 30].map(|at| find(Side::After, at)), [Some(0), Some(1), Some(3), None]);
    }
}
