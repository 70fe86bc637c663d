//! The engine: threads of its own for plans, the functions that SQL knows, and the caches that statements share.

use super::{asof::AsOfRule, extension::Planner, functions, gap_fill::GapFillRule, session::CATALOG};
use crate::LakehouseError;
use datafusion::{
    common::config::ConfigNonZeroUsize,
    error::DataFusionError,
    execution::{
        SessionState, SessionStateBuilder,
        disk_manager::DiskManagerBuilder,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    prelude::{SessionConfig, SessionContext},
};
use datafusion_pg_catalog::pg_catalog::{PgCatalogStaticTables, context::EmptyContextProvider, setup_pg_catalog};
use std::sync::Arc;
use tokio::{runtime::Runtime, sync::Semaphore};

/// Deep expressions are planned and evaluated by recursion; what the parser lets through must fit.
const STACK_BYTES: usize = 16 << 20;
/// Parsed footers of Parquet files, shared by all statements.
const FOOTER_CACHE_BYTES: usize = 256 << 20;
/// Spilled bytes of all statements together.
const SPILL_BYTES_MAX: u64 = 32 << 30;
/// Statements that run at once, for each thread; more wait, and their waiting counts against their timeout.
const STATEMENTS_PER_THREAD: usize = 8;
const RECURSION_MAX: usize = 50;

/// What never changes while the process runs.
pub(crate) struct Statics {
    pub(super) pg_tables: Arc<PgCatalogStaticTables>,
    /// Functions, rules and settings of every session; each statement adds its catalogue and memory.
    pub(super) template: SessionState,
}

/// Plans and runs statements on threads that serve nothing else, so that a heavy one never delays an acknowledgement.
pub(crate) struct Engine {
    runtime: Option<Runtime>,
    pub(super) statics: Arc<Statics>,
    pub(crate) permits: Arc<Semaphore>,
    pub(super) env: Arc<RuntimeEnv>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("free", &self.permits.available_permits()).finish_non_exhaustive()
    }
}

impl Engine {
    /// With one thread for each core.
    pub(crate) fn new() -> Result<Self, LakehouseError> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("query")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(LakehouseError::io("starting the query threads"))?;
        let wrong = |e: DataFusionError| LakehouseError::Internal(e.to_string());
        let env = RuntimeEnvBuilder::new()
            .with_metadata_cache_limit(FOOTER_CACHE_BYTES)
            .with_disk_manager_builder(DiskManagerBuilder::default().with_max_temp_directory_size(SPILL_BYTES_MAX))
            .build_arc()
            .map_err(wrong)?;
        let template = template(threads, &env).map_err(wrong)?;
        let pg_tables = Arc::new(PgCatalogStaticTables::try_new().map_err(wrong)?);
        Ok(Self {
            runtime: Some(runtime),
            statics: Arc::new(Statics { pg_tables, template }),
            permits: Arc::new(Semaphore::new(threads * STATEMENTS_PER_THREAD)),
            env,
        })
    }

    /// The threads. They live as long as the engine.
    pub(super) fn handle(&self) -> &tokio::runtime::Handle {
        self.runtime.as_ref().expect("the runtime is taken only by drop").handle()
    }

    pub(crate) fn statics(&self) -> &Arc<Statics> {
        &self.statics
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A runtime must not be joined from async code, which is where the last handle of a lakehouse is dropped.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn template(threads: usize, env: &Arc<RuntimeEnv>) -> Result<SessionState, DataFusionError> {
    let mut config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_information_schema(true)
        .with_default_catalog_and_schema(CATALOG, "public");
    let options = config.options_mut();
    options.sql_parser.collect_spans = true;
    options.sql_parser.recursion_limit = ConfigNonZeroUsize::try_new(RECURSION_MAX)?;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    options.execution.parquet.bloom_filter_on_read = true;
    options.execution.time_zone = Some("UTC".to_owned());
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(Arc::clone(env))
        .with_default_features()
        .with_analyzer_rule(Arc::new(GapFillRule))
        .with_optimizer_rule(Arc::new(AsOfRule))
        .with_query_planner(Arc::new(Planner))
        .build();
    let context = SessionContext::new_with_state(state);
    setup_pg_catalog(&context, CATALOG, EmptyContextProvider).map_err(|e| *e)?;
    functions::register(&context);
    Ok(context.state())
}
