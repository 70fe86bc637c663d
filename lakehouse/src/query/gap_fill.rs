//! `time_bucket_gapfill(interval, time, zone [, from, to])` in GROUP BY: a row for every bucket of every series, whether it has data or not.
//!
//! What is missing is null, a count is 0; `locf(aggregate)` carries the last value forward and `interpolate(aggregate)` draws a straight
//! line between its neighbours. The buckets reach from `from` to before `to`, or else from the first to the last of the result, and are
//! those of [`super::functions::time_bucket`]: local days of 23 and 25 hours. The analyzer's rule puts a [`GapFill`] node above the
//! aggregate, before anything else moves; [`exec`] fills.

mod exec;

use super::{
    extension::{Extended, PhysicalParts},
    functions::time_bucket,
};
use arrow_schema::{DataType, Field};
use datafusion::{
    common::{
        Column, DFSchema, DFSchemaRef, Result,
        config::ConfigOptions,
        plan_err,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        Aggregate, ColumnarValue, Expr, Extension, Filter, LogicalPlan, Projection, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
        Signature, TypeSignature, UserDefinedLogicalNodeCore, Volatility, expr::ScalarFunction,
    },
    optimizer::AnalyzerRule,
    physical_plan::ExecutionPlan,
    scalar::ScalarValue,
};
use schemas::row;
use std::{cmp::Ordering, fmt, sync::Arc};

const BUCKET: &str = "time_bucket_gapfill";
const LOCF: &str = "locf";
const INTERPOLATE: &str = "interpolate";

/// What stands where a bucket has no row, in a column beside the aggregate's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
enum Fill {
    Last,
    Line,
}

/// Names for the analyzer: a plan that still calls one did not become a [`GapFill`].
pub(super) fn functions() -> Vec<ScalarUDF> {
    let value = |name| Marker::new(name, Signature::any(1, Volatility::Immutable), None);
    let time = row::timestamp_type();
    let short = TypeSignature::Exact(vec![DataType::Utf8, time.clone(), DataType::Utf8]);
    let long = TypeSignature::Exact(vec![DataType::Utf8, time.clone(), DataType::Utf8, time.clone(), time.clone()]);
    let bucket = Marker::new(BUCKET, Signature::one_of(vec![short, long], Volatility::Immutable), Some(time));
    [bucket, value(LOCF), value(INTERPOLATE)].map(ScalarUDF::from).into()
}

/// A function that plans know and nobody runs.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Marker {
    name: &'static str,
    signature: Signature,
    /// That of its argument when absent.
    returns: Option<DataType>,
}

impl Marker {
    const fn new(name: &'static str, signature: Signature, returns: Option<DataType>) -> Self {
        Self { name, signature, returns }
    }
}

impl ScalarUDFImpl for Marker {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone().or_else(|| args.first().cloned()).unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        plan_err!(
            "{} fills gaps of a grouped SELECT: GROUP BY time_bucket_gapfill('1 hour', observed_at, 'Europe/Rome'), and give locf and interpolate one aggregate each",
            self.name
        )
    }
}

/// Finds aggregates by [`BUCKET`] and what is done with their results.
#[derive(Debug)]
pub(super) struct GapFillRule;

impl AnalyzerRule for GapFillRule {
    fn name(&self) -> &'static str {
        "gap_fill"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::Aggregate(aggregate) => over_aggregate(aggregate),
            node @ LogicalPlan::Projection(_) => under_projection(node),
            other => Ok(Transformed::no(other)),
        })
        .map(|t| t.data)
    }
}

fn call<'a>(expr: &'a Expr, name: &str) -> Option<&'a ScalarFunction> {
    match expr {
        Expr::ScalarFunction(f) if f.name() == name => Some(f),
        Expr::Alias(a) => call(&a.expr, name),
        _ => None,
    }
}

fn over_aggregate(aggregate: Aggregate) -> Result<Transformed<LogicalPlan>> {
    let found: Vec<usize> = (0..aggregate.group_expr.len()).filter(|i| call(&aggregate.group_expr[*i], BUCKET).is_some()).collect();
    let [time] = found[..] else {
        return match found.len() {
            0 => Ok(Transformed::no(LogicalPlan::Aggregate(aggregate))),
            _ => plan_err!("a SELECT has one {BUCKET}"),
        };
    };
    let Some(f) = call(&aggregate.group_expr[time], BUCKET).cloned() else { return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate))) };
    let text = |e: &Expr| match e {
        Expr::Literal(ScalarValue::Utf8(Some(t)) | ScalarValue::Utf8View(Some(t)) | ScalarValue::LargeUtf8(Some(t)), _) => Ok(t.clone()),
        _ => plan_err!("interval and time zone of {BUCKET} must be text constants"),
    };
    let steps = Steps { interval: text(&f.args[0])?, zone: text(&f.args[2])? };
    time_bucket::Steps::new(&steps.interval, &steps.zone)?;
    let bounds = f.args.get(3).cloned().zip(f.args.get(4).cloned());
    let schema = Arc::clone(&aggregate.schema);
    let mut groups = aggregate.group_expr.clone();
    // The column keeps the name by which the SELECT above knows it.
    let name = schema.field(time).name().clone();
    let bucket = Arc::new(time_bucket::function());
    groups[time] = Expr::ScalarFunction(ScalarFunction::new_udf(bucket, f.args[..3].to_vec())).alias(name);
    let n_groups = groups.len();
    let input = LogicalPlan::Aggregate(Aggregate::try_new(Arc::clone(&aggregate.input), groups, aggregate.aggr_expr.clone())?);
    let schema = Arc::clone(input.schema());
    let node = GapFill { input, time, n_groups, steps, bounds, fills: Vec::new(), schema };
    Ok(Transformed::yes(LogicalPlan::Extension(Extension { node: Arc::new(node) })))
}

/// `locf(aggregate)` and `interpolate(aggregate)` of a SELECT become columns that the node below adds.
fn under_projection(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Projection(projection) = &node else { return Ok(Transformed::no(node)) };
    let Some(fill) = below(&projection.input) else { return Ok(Transformed::no(node)) };
    let mut fill = fill.clone();
    let mut changed = false;
    let mut exprs = Vec::with_capacity(projection.expr.len());
    for expr in projection.expr.clone() {
        let name = expr.schema_name().to_string();
        let named = !matches!(expr, Expr::Alias(_));
        let out = expr.transform_up(|e| {
            let Expr::ScalarFunction(f) = &e else { return Ok(Transformed::no(e)) };
            let how = match f.name() {
                LOCF => Fill::Last,
                INTERPOLATE => Fill::Line,
                _ => return Ok(Transformed::no(e)),
            };
            fill.column(&f.args[0], how).map(|c| Transformed::yes(Expr::Column(c)))
        })?;
        changed |= out.transformed;
        exprs.push(if out.transformed && named { out.data.alias(name) } else { out.data });
    }
    if !changed {
        return Ok(Transformed::no(node));
    }
    let input = replace_below(&projection.input, &fill)?;
    let projection = Projection::try_new(exprs, Arc::new(input))?;
    Ok(Transformed::yes(LogicalPlan::Projection(projection)))
}

/// The gap fill under a SELECT, with a HAVING between at most.
fn below(plan: &LogicalPlan) -> Option<&GapFill> {
    match plan {
        LogicalPlan::Filter(f) => below(&f.input),
        LogicalPlan::Extension(e) => e.node.as_any().downcast_ref::<GapFill>(),
        _ => None,
    }
}

fn replace_below(plan: &LogicalPlan, fill: &GapFill) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Filter(f) => Filter::try_new(f.predicate.clone(), Arc::new(replace_below(&f.input, fill)?)).map(LogicalPlan::Filter),
        _ => Ok(LogicalPlan::Extension(Extension { node: Arc::new(fill.clone()) })),
    }
}

/// Length and zone of the buckets, as they were written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
struct Steps {
    interval: String,
    zone: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct GapFill {
    input: LogicalPlan,
    /// Column of the bucket.
    time: usize,
    /// The first columns are those of GROUP BY; all but the bucket tell series apart.
    n_groups: usize,
    steps: Steps,
    bounds: Option<(Expr, Expr)>,
    /// Columns that are added, with those that they are made of.
    fills: Vec<(usize, Fill)>,
    /// The input's columns, then those.
    schema: DFSchemaRef,
}

impl PartialOrd for GapFill {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (&self.input, self.time, &self.fills).partial_cmp(&(&other.input, other.time, &other.fills)).filter(|o| o.is_ne() || self == other)
    }
}

impl GapFill {
    /// The column that fills an aggregate so, added when it is not there yet.
    fn column(&mut self, argument: &Expr, how: Fill) -> Result<Column> {
        let Expr::Column(column) = argument else { return plan_err!("locf and interpolate take one aggregate, not {argument}") };
        let index = self.schema.index_of_column(column)?;
        let kind = self.schema.field(index).data_type();
        if index < self.n_groups {
            return plan_err!("locf and interpolate take an aggregate, and {} is grouped by", column.name);
        }
        if how == Fill::Line && kind != &DataType::Float64 {
            return plan_err!("interpolate takes a double precision aggregate, and {} is {kind}; cast inside of it", column.name);
        }
        let name = format!("{}({})", if how == Fill::Line { INTERPOLATE } else { LOCF }, column.name);
        if !self.fills.contains(&(index, how)) {
            let mut fields: Vec<_> = self.schema.iter().map(|(q, f)| (q.cloned(), Arc::clone(f))).collect();
            fields.push((None, Arc::new(Field::new(&name, kind.clone(), true))));
            self.schema = Arc::new(DFSchema::new_with_metadata(fields, self.schema.metadata().clone())?);
            self.fills.push((index, how));
        }
        Ok(Column::new_unqualified(name))
    }
}

impl UserDefinedLogicalNodeCore for GapFill {
    fn name(&self) -> &'static str {
        "GapFill"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.bounds.iter().flat_map(|(from, to)| [from.clone(), to.clone()]).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GapFill: {} in {}", self.steps.interval, self.steps.zone)
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Some(input) = inputs.pop() else { return plan_err!("GapFill has one input") };
        let bounds = exprs.pop().zip(exprs.pop()).map(|(to, from)| (from, to));
        Ok(Self { input, bounds, ..self.clone() })
    }
}

impl Extended for GapFill {
    fn physical(&self, parts: &PhysicalParts<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let none = DFSchema::empty();
        let bounds = match &self.bounds {
            Some((from, to)) => Some((exec::instant(&parts.expr(from, &none)?)?, exec::instant(&parts.expr(to, &none)?)?)),
            None => None,
        };
        let [input] = parts.inputs else { return plan_err!("GapFill has one input") };
        let filling = exec::Filling {
            time: self.time,
            n_groups: self.n_groups,
            fills: self.fills.clone(),
            steps: time_bucket::Steps::new(&self.steps.interval, &self.steps.zone)?,
            bounds,
        };
        Ok(Arc::new(exec::GapFillExec::new(Arc::clone(input), filling, Arc::clone(self.schema.inner()))))
    }
}
