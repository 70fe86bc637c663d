//! `a ASOF JOIN b MATCH_CONDITION (a.t >= b.t) ON a.k = b.k`: with each row of `a` the one row of `b` that was last by then.
//!
//! The engine has no such join. The text becomes a left join whose condition calls [`MATCH`] ([`rewrite`]), so that the optimizer
//! moves filters and projections as it knows to; the last of its rules ([`AsOfRule`]) makes it a node of its own, which
//! [`exec`] runs. As in Snowflake, whose syntax this is, every row of `a` stays, with nulls where `b` has no row.

mod exec;

use super::extension::{Extended, PhysicalParts};
use datafusion::{
    common::{DFSchemaRef, Result, plan_err, tree_node::Transformed},
    logical_expr::{
        ColumnarValue, Expr, Extension, Join, JoinType, LogicalPlan, ScalarUDF, UserDefinedLogicalNodeCore, Volatility, create_udf, lit,
        utils::{conjunction, split_conjunction, split_conjunction_owned},
    },
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
    physical_plan::ExecutionPlan,
    scalar::ScalarValue,
    sql::sqlparser::ast::{
        self, BinaryOperator, JoinConstraint, JoinOperator, Query, SetExpr, Statement, TableFactor, TableWithJoins, VisitMut, VisitorMut,
    },
};
use schemas::row;
use std::{cmp::Ordering, fmt, ops::ControlFlow, sync::Arc};

/// Stands for the match condition in the condition of a join.
const MATCH: &str = "asof_match";

const USAGE: &str = "write a ASOF JOIN b MATCH_CONDITION (a.observed_at >= b.observed_at) ON a.key = b.key";

/// Which row of the right side belongs to an instant of the left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub(super) enum Side {
    /// The last at or before it.
    AtOrBefore,
    Before,
    /// The first at or after it.
    AtOrAfter,
    After,
}

impl Side {
    fn of(operator: &BinaryOperator) -> Option<Self> {
        Some(match operator {
            BinaryOperator::GtEq => Self::AtOrBefore,
            BinaryOperator::Gt => Self::Before,
            BinaryOperator::LtEq => Self::AtOrAfter,
            BinaryOperator::Lt => Self::After,
            _ => return None,
        })
    }

    const ALL: [(Self, &str); 4] = [(Self::AtOrBefore, ">="), (Self::Before, ">"), (Self::AtOrAfter, "<="), (Self::After, "<")];

    fn symbol(self) -> &'static str {
        Self::ALL.iter().find(|(side, _)| *side == self).map_or("", |(_, symbol)| symbol)
    }

    fn named(symbol: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, s)| *s == symbol).map(|(side, _)| *side)
    }

    /// The same condition with its sides exchanged.
    const fn mirrored(self) -> Self {
        match self {
            Self::AtOrBefore => Self::AtOrAfter,
            Self::Before => Self::After,
            Self::AtOrAfter => Self::AtOrBefore,
            Self::After => Self::Before,
        }
    }
}

/// Only a name for the optimizer: a plan that still calls it did not become a join.
pub(super) fn function() -> ScalarUDF {
    let takes = vec![row::timestamp_type(), row::timestamp_type(), arrow_schema::DataType::Utf8];
    let body = |_: &[ColumnarValue]| plan_err!("MATCH_CONDITION must compare a time of each table; {USAGE}");
    create_udf(MATCH, takes, arrow_schema::DataType::Boolean, Volatility::Immutable, Arc::new(body))
}

/// Turns ASOF joins into left joins with [`MATCH`] in their condition. Others are left for the planner to refuse.
pub(super) fn rewrite(statement: &mut Statement) {
    let _ = VisitMut::visit(statement, &mut AsOfJoins);
}

struct AsOfJoins;

impl VisitorMut for AsOfJoins {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        in_body(&mut query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            in_joins(table_with_joins);
        }
        ControlFlow::Continue(())
    }
}

fn in_body(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => select.from.iter_mut().for_each(in_joins),
        SetExpr::SetOperation { left, right, .. } => {
            in_body(left);
            in_body(right);
        }
        _ => {}
    }
}

fn in_joins(tables: &mut TableWithJoins) {
    for join in &mut tables.joins {
        if let JoinOperator::AsOf { match_condition, constraint } = &join.join_operator
            && let Some(condition) = condition(match_condition, constraint)
        {
            join.join_operator = JoinOperator::Left(JoinConstraint::On(condition));
        }
    }
}

fn condition(matching: &ast::Expr, constraint: &JoinConstraint) -> Option<ast::Expr> {
    let ast::Expr::BinaryOp { left, op, right } = matching else { return None };
    let symbol = ast::Expr::Value(ast::Value::SingleQuotedString(Side::of(op)?.symbol().to_owned()).with_empty_span());
    let marker = super::catalogue_sql::call(MATCH, vec![(**left).clone(), (**right).clone(), symbol]);
    match constraint {
        JoinConstraint::On(keys) => {
            Some(ast::Expr::BinaryOp { left: Box::new(keys.clone()), op: BinaryOperator::And, right: Box::new(marker) })
        }
        JoinConstraint::None => Some(marker),
        JoinConstraint::Using(_) | JoinConstraint::Natural => None,
    }
}

/// Makes joins whose condition calls [`MATCH`] into [`AsOf`] nodes. Runs after all rules that know joins.
#[derive(Debug)]
pub(super) struct AsOfRule;

impl OptimizerRule for AsOfRule {
    fn name(&self) -> &'static str {
        "asof_join"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Join(join) if join.filter.as_ref().is_some_and(has_match) => {
                Ok(Transformed::yes(LogicalPlan::Extension(Extension { node: Arc::new(AsOf::of(join)?) })))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

fn has_match(filter: &Expr) -> bool {
    split_conjunction(filter).into_iter().any(|e| as_match(e).is_some())
}

fn as_match(expr: &Expr) -> Option<(&Expr, &Expr, Side)> {
    let Expr::ScalarFunction(f) = expr else { return None };
    match f.args.as_slice() {
        [left, right, Expr::Literal(ScalarValue::Utf8(Some(symbol)), _)] if f.name() == MATCH => Some((left, right, Side::named(symbol)?)),
        _ => None,
    }
}

/// The join as a node of a logical plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct AsOf {
    left: LogicalPlan,
    right: LogicalPlan,
    /// Equal on both sides.
    on: Vec<(Expr, Expr)>,
    times: (Expr, Expr),
    side: Side,
    /// Rows of the left side without a match are left out.
    inner: bool,
    schema: DFSchemaRef,
}

impl PartialOrd for AsOf {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (&self.left, &self.right, self.side).partial_cmp(&(&other.left, &other.right, other.side)).filter(|o| o.is_ne() || self == other)
    }
}

impl AsOf {
    fn of(join: Join) -> Result<Self> {
        let Join { left, right, mut on, filter, join_type, schema, .. } = join;
        let inner = match join_type {
            JoinType::Inner => true,
            JoinType::Left => false,
            other => return plan_err!("ASOF JOIN cannot run as a {other} join; {USAGE}"),
        };
        let mut times = None;
        let mut rest = Vec::new();
        for part in filter.map(split_conjunction_owned).unwrap_or_default() {
            match as_match(&part) {
                Some((a, b, side)) if times.is_none() => {
                    times = match (is_of(a, &left) && is_of(b, &right), is_of(a, &right) && is_of(b, &left)) {
                        (true, _) => Some((a.clone(), b.clone(), side)),
                        (_, true) => Some((b.clone(), a.clone(), side.mirrored())),
                        _ => None,
                    };
                }
                _ => rest.push(part),
            }
        }
        let Some((a, b, side)) = times else { return plan_err!("MATCH_CONDITION must compare a time of each table; {USAGE}") };
        for part in rest {
            match equality(&part, &left, &right) {
                Some(pair) => on.push(pair),
                None => return plan_err!("the ON of an ASOF JOIN takes equalities only, not {part}; put it into WHERE or a subquery"),
            }
        }
        Ok(Self { left: Arc::unwrap_or_clone(left), right: Arc::unwrap_or_clone(right), on, times: (a, b), side, inner, schema })
    }
}

/// Whether all columns of an expression are of one side.
fn is_of(expr: &Expr, plan: &LogicalPlan) -> bool {
    expr.column_refs().iter().all(|c| plan.schema().has_column(c))
}

fn equality(part: &Expr, left: &LogicalPlan, right: &LogicalPlan) -> Option<(Expr, Expr)> {
    let Expr::BinaryExpr(b) = part else { return None };
    if b.op != datafusion::logical_expr::Operator::Eq {
        return None;
    }
    if is_of(&b.left, left) && is_of(&b.right, right) {
        return Some(((*b.left).clone(), (*b.right).clone()));
    }
    (is_of(&b.right, left) && is_of(&b.left, right)).then(|| ((*b.right).clone(), (*b.left).clone()))
}

impl UserDefinedLogicalNodeCore for AsOf {
    fn name(&self) -> &'static str {
        "AsOfJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let keys = self.on.iter().flat_map(|(a, b)| [a.clone(), b.clone()]);
        keys.chain([self.times.0.clone(), self.times.1.clone()]).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = conjunction(self.on.iter().map(|(a, b)| a.clone().eq(b.clone()))).unwrap_or_else(|| lit(true));
        write!(f, "AsOfJoin: {} {} {}, on {keys}", self.times.0, self.side.symbol(), self.times.1)
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Some(right), Some(left)) = (inputs.pop(), inputs.pop()) else { return plan_err!("AsOfJoin has two inputs") };
        let (Some(b), Some(a)) = (exprs.pop(), exprs.pop()) else { return plan_err!("AsOfJoin has two times") };
        let on = exprs.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        Ok(Self { left, right, on, times: (a, b), side: self.side, inner: self.inner, schema: Arc::clone(&self.schema) })
    }
}

impl Extended for AsOf {
    fn physical(&self, parts: &PhysicalParts<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let left = |e: &Expr| parts.expr(e, self.left.schema());
        let right = |e: &Expr| parts.expr(e, self.right.schema());
        let keys = self.on.iter().map(|(a, b)| Ok((left(a)?, right(b)?))).collect::<Result<Vec<_>>>()?;
        let times = (left(&self.times.0)?, right(&self.times.1)?);
        let [left, right] = parts.inputs else { return plan_err!("AsOfJoin has two inputs") };
        let matching = exec::Matching { keys, times, side: self.side, inner: self.inner };
        Ok(Arc::new(exec::AsOfExec::new(Arc::clone(left), Arc::clone(right), matching, Arc::clone(self.schema.inner()))))
    }
}
