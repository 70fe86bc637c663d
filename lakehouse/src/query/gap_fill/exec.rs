//! Runs a gap fill: gathers the aggregate's few rows, and writes each series anew with all its buckets.

use super::{Fill, time_bucket::Steps};
use arrow_array::{
    Array, ArrayRef, Float64Array, RecordBatch, TimestampMicrosecondArray, UInt32Array, cast::AsArray, types::TimestampMicrosecondType,
};
use arrow_schema::{Schema, SchemaRef};
use datafusion::{
    arrow::row::{RowConverter, SortField},
    common::{DataFusionError, Result, ScalarValue, internal_err, plan_err, resources_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext, memory_pool::MemoryConsumer},
    logical_expr::ColumnarValue,
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, Partitioning, PlanProperties,
        distribution_requirements::InputDistributionRequirements,
        execution_plan::{Boundedness, EmissionType},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::TryStreamExt;
use hashbrown::HashMap;
use std::{collections::BTreeMap, fmt, sync::Arc};

/// More buckets than this are a mistake in `from` and `to`.
const BUCKETS_MAX: usize = 1_000_000;
/// Memory of one row that is written, before its columns are.
const ROW_BYTES: usize = 32;
const BATCH_ROWS: usize = 8_192;

/// What to fill, and how.
#[derive(Debug, Clone)]
pub(super) struct Filling {
    pub(super) time: usize,
    pub(super) n_groups: usize,
    pub(super) fills: Vec<(usize, Fill)>,
    pub(super) steps: Steps,
    pub(super) bounds: Option<(i64, i64)>,
}

/// The value of a bound.
pub(super) fn instant(expr: &Arc<dyn PhysicalExpr>) -> Result<i64> {
    let empty = RecordBatch::new_empty(Arc::new(Schema::empty()));
    match expr.evaluate(&empty)? {
        ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(Some(at), _)) => Ok(at),
        _ => plan_err!("from and to of time_bucket_gapfill must be instants that do not depend on rows"),
    }
}

#[derive(Debug)]
pub(super) struct GapFillExec {
    input: Arc<dyn ExecutionPlan>,
    filling: Filling,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl GapFillExec {
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, filling: Filling, schema: SchemaRef) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self { input, filling, schema, properties: Arc::new(properties) }
    }
}

impl DisplayAs for GapFillExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GapFillExec: fills={:?}", self.filling.fills)
    }
}

impl ExecutionPlan for GapFillExec {
    fn name(&self) -> &'static str {
        "GapFillExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn apply_expressions(&self, _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.pop() else { return internal_err!("GapFillExec has one input") };
        Ok(Arc::new(Self::new(input, self.filling.clone(), Arc::clone(&self.schema))))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let memory = MemoryConsumer::new("GapFill").register(context.memory_pool());
        let mut input = self.input.execute(partition, context)?;
        let (from, filling) = (self.input.schema(), self.filling.clone());
        let (out, schema) = (Arc::clone(&self.schema), Arc::clone(&self.schema));
        let out_columns = schema.fields().len();
        let all = async move {
            let mut batches = Vec::new();
            while let Some(batch) = input.try_next().await? {
                memory.try_grow(2 * batch.get_array_memory_size())?;
                batches.push(batch);
            }
            let rows = arrow_select::concat::concat_batches(&from, &batches)?;
            let plan = filling.plan(&rows)?;
            memory.try_grow(plan.len() * (ROW_BYTES + 16 * out_columns))?;
            let filled = filling.write(&rows, &plan, schema)?;
            let n = filled.num_rows();
            let slices = (0..n).step_by(BATCH_ROWS).map(move |at| {
                // The memory is held until the last slice is taken.
                let _held = &memory;
                Ok(filled.slice(at, BATCH_ROWS.min(n - at)))
            });
            Ok::<_, DataFusionError>(futures::stream::iter(slices))
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(out, futures::stream::once(all).try_flatten())))
    }
}

/// One row to write: the series' first row, the bucket, and the row of the input when there is one.
#[derive(Debug, Clone, Copy)]
struct Row {
    series: u32,
    /// `None` for a row of the input without a bucket.
    at: Option<i64>,
    from: Option<u32>,
}

impl Filling {
    /// All rows to write, series after series.
    fn plan(&self, input: &RecordBatch) -> Result<Vec<Row>> {
        let times = input.column(self.time).as_primitive::<TimestampMicrosecondType>();
        let buckets = self.buckets(times)?;
        let keys: Vec<ArrayRef> = (0..self.n_groups).filter(|i| *i != self.time).map(|i| Arc::clone(input.column(i))).collect();
        let mut series: Vec<(u32, BTreeMap<Option<i64>, u32>)> = Vec::new();
        if keys.is_empty() {
            let rows = (0..input.num_rows()).map(|i| (times.is_valid(i).then(|| times.value(i)), i as u32));
            series.push((0, rows.collect()));
        } else {
            let kinds = keys.iter().map(|k| SortField::new(k.data_type().clone())).collect();
            let packed = RowConverter::new(kinds)?.convert_columns(&keys)?;
            let mut known: HashMap<&[u8], usize> = HashMap::new();
            for i in 0..input.num_rows() {
                let slot = *known.entry(packed.row(i).data()).or_insert_with(|| {
                    series.push((i as u32, BTreeMap::new()));
                    series.len() - 1
                });
                series[slot].1.insert(times.is_valid(i).then(|| times.value(i)), i as u32);
            }
        }
        let mut rows = Vec::new();
        for (first, mut of_series) in series {
            if rows.len() + buckets.len() + of_series.len() > u32::MAX as usize {
                return resources_err!("gap filling makes too many rows; narrow the time or the series");
            }
            for at in &buckets {
                of_series.entry(Some(*at)).or_insert(u32::MAX);
            }
            rows.extend(of_series.into_iter().map(|(at, from)| Row { series: first, at, from: (from != u32::MAX).then_some(from) }));
        }
        Ok(rows)
    }

    /// Every bucket that a series must have.
    fn buckets(&self, times: &TimestampMicrosecondArray) -> Result<Vec<i64>> {
        let (mut at, end) = match self.bounds {
            Some((from, to)) => (self.steps.start(from)?, to),
            None => match times.iter().flatten().min().zip(times.iter().flatten().max()) {
                Some((first, last)) => (first, last.saturating_add(1)),
                None => return Ok(Vec::new()),
            },
        };
        let mut out = Vec::new();
        while at < end {
            if out.len() >= BUCKETS_MAX {
                return resources_err!("gap filling makes more than {BUCKETS_MAX} buckets; take longer ones or a shorter time");
            }
            out.push(at);
            at = self.steps.next(at)?;
        }
        Ok(out)
    }

    fn write(&self, input: &RecordBatch, plan: &[Row], schema: SchemaRef) -> Result<RecordBatch> {
        let same: UInt32Array = plan.iter().map(|r| r.from).collect();
        // Without rows there is no first row either: the only series is the one without keys.
        let series: UInt32Array = plan.iter().map(|r| (input.num_rows() > 0).then_some(r.series)).collect();
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (i, column) in input.columns().iter().enumerate() {
            columns.push(if i == self.time {
                let times: TimestampMicrosecondArray = plan.iter().map(|r| r.at).collect();
                let zone = column.as_primitive::<TimestampMicrosecondType>().timezone().map(Arc::from);
                Arc::new(times.with_timezone_opt(zone)) as ArrayRef
            } else if i < self.n_groups {
                arrow_select::take::take(column, &series, None)?
            } else if schema.field(i).is_nullable() {
                arrow_select::take::take(column, &same, None)?
            } else {
                zeros(column, &same)?
            });
        }
        for (of, fill) in &self.fills {
            let column = input.column(*of);
            columns.push(match fill {
                Fill::Last => arrow_select::take::take(column, &carried(column, plan), None)?,
                Fill::Line => Arc::new(drawn(column.as_primitive(), plan)),
            });
        }
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}

/// What is never null is a count: 0 where there is no row.
fn zeros(column: &ArrayRef, rows: &UInt32Array) -> Result<ArrayRef> {
    let taken = arrow_select::take::take(column, rows, None)?;
    let zero = ScalarValue::new_zero(column.data_type())?.to_scalar()?;
    let missing = datafusion::arrow::compute::is_null(rows)?;
    Ok(arrow_select::zip::zip(&missing, &zero, &taken)?)
}

/// For each row the input row whose value it shows: its own, or the last of its series before it.
fn carried(column: &ArrayRef, rows: &[Row]) -> UInt32Array {
    let mut last: Option<(u32, u32)> = None;
    let next = |row: &Row| {
        if let Some(from) = row.from.filter(|f| column.is_valid(*f as usize)) {
            last = Some((row.series, from));
        }
        last.filter(|(series, _)| *series == row.series && row.at.is_some()).map(|(_, from)| from).or(row.from)
    };
    rows.iter().map(next).collect()
}

/// Values where there are some; between two of one series the straight line, in time; null outside.
fn drawn(column: &Float64Array, rows: &[Row]) -> Float64Array {
    let value = |row: &Row| row.from.map(|f| f as usize).filter(|f| column.is_valid(*f)).map(|f| column.value(f));
    let mut out: Vec<Option<f64>> = rows.iter().map(value).collect();
    let mut left: Option<usize> = None;
    for right in 0..rows.len() {
        if out[right].is_none() || rows[right].at.is_none() {
            continue;
        }
        if let Some(left) = left.filter(|l| rows[*l].series == rows[right].series)
            && let (Some(from), Some(to), Some(start), Some(end)) = (out[left], out[right], rows[left].at, rows[right].at)
        {
            for (row, slot) in rows[left + 1..right].iter().zip(&mut out[left + 1..right]) {
                let share = row.at.map(|at| (at - start) as f64 / (end - start) as f64);
                *slot = share.map(|s| from + (to - from) * s);
            }
        }
        left = Some(right);
    }
    out.into()
}
