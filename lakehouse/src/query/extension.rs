//! Plans of our own nodes beside the engine's.

use super::{asof::AsOf, gap_fill::GapFill};
use async_trait::async_trait;
use datafusion::{
    catalog::Session,
    common::{DFSchema, Result},
    execution::context::QueryPlanner,
    logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNode, physical_planning_context::PhysicalPlanningContext},
    physical_expr::PhysicalExpr,
    physical_plan::ExecutionPlan,
    physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner},
};
use std::sync::Arc;

/// What a node needs to become a part of a physical plan.
pub(super) struct PhysicalParts<'a> {
    pub(super) inputs: &'a [Arc<dyn ExecutionPlan>],
    session: &'a dyn Session,
}

impl PhysicalParts<'_> {
    pub(super) fn expr(&self, expr: &Expr, input: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        self.session.create_physical_expr(expr.clone(), input)
    }
}

/// A node of ours.
pub(super) trait Extended {
    fn physical(&self, parts: &PhysicalParts<'_>) -> Result<Arc<dyn ExecutionPlan>>;
}

/// The engine's planner with our nodes.
#[derive(Debug)]
pub(super) struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(OurNodes)]).create_physical_plan(plan, session).await
    }
}

struct OurNodes;

#[async_trait]
impl ExtensionPlanner for OurNodes {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let parts = PhysicalParts { inputs, session };
        let any = node.as_any();
        if let Some(node) = any.downcast_ref::<AsOf>() {
            return node.physical(&parts).map(Some);
        }
        any.downcast_ref::<GapFill>().map(|node| node.physical(&parts)).transpose()
    }
}
