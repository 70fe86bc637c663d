//! Statements of the extended protocol: their parameters and columns, as the client is told before it sends values.

use super::errors::error;
use arrow_pg::datatypes::{PG_OID_ALIAS_KEY, into_pg_type, pg_type_for_alias_kind};
use arrow_schema::{DataType, SchemaRef};
use datafusion::{
    common::tree_node::{TreeNode, TreeNodeRecursion},
    logical_expr::{Expr, LogicalPlan},
    sql::sqlparser::ast::Statement,
};
use pgwire::{api::Type, error::PgWireResult};
use std::{collections::BTreeMap, sync::Arc};

/// A parsed statement. A plan is kept only to describe it: each execution plans anew, against a fresh pin.
#[derive(Debug, Clone)]
pub(super) enum Prepared {
    Setting(Arc<Statement>),
    History { name: Vec<String>, text: Arc<str> },
    Declare { name: String, hold: bool, query: Box<Prepared> },
    Fetch { name: String, count: Option<usize>, schema: SchemaRef },
    Close { name: Option<String> },
    Query { statement: Arc<Statement>, text: Arc<str>, plan: Arc<LogicalPlan>, parameters: Arc<Vec<Parameter>> },
}

/// One `$n`, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameter {
    pub(super) arrow: Option<DataType>,
    pub(super) wire: Option<Type>,
}

impl Parameter {
    /// What the client is told to send.
    pub(super) fn advertised(&self) -> PgWireResult<Type> {
        match (&self.wire, &self.arrow) {
            (Some(wire), _) => Ok(wire.clone()),
            (None, Some(arrow)) => into_pg_type(arrow),
            (None, None) => Ok(Type::UNKNOWN),
        }
    }
}

/// The parameters of a plan, by what they are compared with or cast to.
pub(super) fn parameters(plan: &LogicalPlan) -> PgWireResult<Vec<Parameter>> {
    let wrong = |e: datafusion::error::DataFusionError| error("42P18", e.message().lines().next().unwrap_or_default());
    let mut found: BTreeMap<usize, Parameter> = BTreeMap::new();
    for (id, arrow) in plan.get_parameter_types().map_err(wrong)? {
        if let Some(n) = number(&id) {
            found.entry(n).or_default().arrow = arrow;
        }
    }
    plan.apply_with_subqueries(|node| {
        for expr in node.expressions() {
            expr.apply(|e| {
                note(e, &mut found);
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(wrong)?;
    let count = found.keys().next_back().copied().unwrap_or(0);
    Ok((1..=count).map(|n| found.remove(&n).unwrap_or_default()).collect())
}

fn number(id: &str) -> Option<usize> {
    id.strip_prefix('$')?.parse().ok().filter(|n| (1..=65_535).contains(n))
}

fn note(e: &Expr, found: &mut BTreeMap<usize, Parameter>) {
    let (placeholder, cast) = match e {
        Expr::Cast(c) => match c.expr.as_ref() {
            Expr::Placeholder(p) => (p, Some(c.field.data_type().clone())),
            _ => return,
        },
        Expr::Placeholder(p) => (p, None),
        _ => return,
    };
    let Some(n) = number(&placeholder.id) else { return };
    let own = found.entry(n).or_default();
    if own.arrow.is_none() {
        own.arrow = cast;
    }
    // Object identifiers of pg_catalog are stored as Int32 and sent as `oid`.
    if let Some(field) = &placeholder.field
        && field.data_type() == &DataType::Int32
        && let Some(kind) = field.metadata().get(PG_OID_ALIAS_KEY)
    {
        own.wire = pg_type_for_alias_kind(kind);
    }
}
