//! The one table provider: hot rows as a memory source beside DataFusion's Parquet source over the files of a pinned view.
//!
//! Not deltalake's own scan: that one lists files itself, prunes them its own way and does not travel between machines.

use super::prune::prune;
use crate::{DataFile, TableView};
use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::DFSchema,
    common::{ColumnStatistics, Statistics, stats::Precision},
    datasource::{
        listing::PartitionedFile,
        memory::MemorySourceConfig,
        physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource, parquet::CachedParquetFileReaderFactory},
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    error::{DataFusionError, Result},
    execution::object_store::ObjectStoreUrl,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType, utils::conjunction},
    physical_plan::{ExecutionPlan, union::UnionExec},
    scalar::ScalarValue,
};
use object_store::ObjectMeta;
use schemas::row;
use std::sync::Arc;

/// Hot rows are read by several threads only when there are this many for each.
const HOT_ROWS_PER_THREAD: usize = 64 << 10;

/// One pinned view as a table of DataFusion.
#[derive(Debug)]
pub(super) struct LogTable {
    pub(super) view: Arc<TableView>,
}

impl LogTable {
    pub(super) fn new(view: Arc<TableView>) -> Self {
        Self { view }
    }
}

#[async_trait]
impl TableProvider for LogTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.view.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        scan(&self.view, state, projection, filters, limit)
    }

    /// Filters reach the scan, which drops files by them; exactness is left to the Parquet source and the memory
    /// source's filter, so every one of them is applied again to rows.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut all = Statistics::new_unknown(&self.view.schema);
        all.num_rows = Precision::Exact(usize::try_from(self.view.row_count()).ok()?);
        Some(all)
    }
}

fn scan(
    view: &TableView,
    state: &dyn Session,
    projection: Option<&Vec<usize>>,
    filters: &[Expr],
    limit: Option<usize>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let predicate = match conjunction(filters.iter().cloned()) {
        Some(filter) => {
            let schema = DFSchema::try_from(Arc::clone(&view.schema))?;
            Some(state.create_physical_expr(strip_qualifiers(filter)?, &schema)?)
        }
        None => None,
    };
    let files = prune(&view.files, predicate, &view.schema);
    tracing::debug!(table = %view.table, files = view.files.len(), kept = files.len(), "files pruned");
    let mut inputs: Vec<Arc<dyn ExecutionPlan>> = Vec::with_capacity(2);
    if !view.hot.is_empty() || files.is_empty() {
        let parts = hot_partitions(&view.hot, state.config().target_partitions());
        let source = MemorySourceConfig::try_new(&parts, Arc::clone(&view.schema), projection.cloned())?.with_limit(limit);
        inputs.push(DataSourceExec::from_data_source(source));
    }
    if !files.is_empty() {
        inputs.push(file_scan(view, files, state, projection, limit)?);
    }
    match inputs.len() {
        1 => Ok(inputs.remove(0)),
        _ => UnionExec::try_new(inputs),
    }
}

/// Filters may name columns with the table in front; the view's schema has none.
fn strip_qualifiers(filter: Expr) -> Result<Expr> {
    use datafusion::common::{
        Column,
        tree_node::{Transformed, TreeNode},
    };
    filter
        .transform(|e| {
            Ok(match e {
                Expr::Column(c) => Transformed::yes(Expr::Column(Column::new_unqualified(c.name))),
                other => Transformed::no(other),
            })
        })
        .map(|t| t.data)
}

/// At least one partition; consecutive batches stay together.
fn hot_partitions(hot: &[RecordBatch], threads: usize) -> Vec<Vec<RecordBatch>> {
    let rows: usize = hot.iter().map(RecordBatch::num_rows).sum();
    let parts = (rows / HOT_ROWS_PER_THREAD).clamp(1, threads.max(1));
    let mut out = vec![Vec::new(); parts];
    let mut seen = 0;
    for batch in hot {
        let part = (seen * parts / rows.max(1)).min(parts - 1);
        out[part].push(batch.clone());
        seen += batch.num_rows();
    }
    out
}

fn file_scan(
    view: &TableView,
    files: Vec<DataFile>,
    state: &dyn Session,
    projection: Option<&Vec<usize>>,
    limit: Option<usize>,
) -> Result<Arc<dyn ExecutionPlan>> {
    // One URL for each table, because its files may lie in a store of its own.
    let url = ObjectStoreUrl::parse(format!("lake://{}.{}", view.table.tenant, view.table.product))?;
    let runtime = state.runtime_env();
    runtime.register_object_store(url.as_ref(), Arc::clone(&view.object_store));
    let (file_fields, date): (Vec<_>, Vec<_>) = view.schema.fields().iter().cloned().partition(|f| f.name() != row::DATE);
    let file_schema = Arc::new(Schema::new(file_fields));
    let readers = CachedParquetFileReaderFactory::new(Arc::clone(&view.object_store), runtime.cache_manager.get_file_metadata_cache());
    let mut options = state.default_table_options().parquet;
    options.global.pushdown_filters = true;
    let source = ParquetSource::new(TableSchema::builder(Arc::clone(&file_schema)).with_table_partition_cols(date).build())
        .with_table_parquet_options(options)
        .with_parquet_file_reader_factory(Arc::new(readers));
    let rows: u64 = files.iter().map(|f| f.rows).sum();
    let bytes: u64 = files.iter().map(|f| f.size).sum();
    let mut total = Statistics::new_unknown(&view.schema);
    total.num_rows = Precision::Exact(as_usize(rows)?);
    total.total_byte_size = Precision::Inexact(as_usize(bytes)?);
    let list = files.iter().map(|f| partitioned(f, &file_schema)).collect::<Result<Vec<_>>>()?;
    let config = FileScanConfigBuilder::new(url, Arc::new(source))
        .with_file_groups(FileGroup::new(list).split_files(state.config().target_partitions()))
        .with_statistics(total)
        .with_projection_indices(projection.cloned())?
        .with_limit(limit)
        .build();
    Ok(DataSourceExec::from_data_source(config))
}

fn as_usize(n: u64) -> Result<usize> {
    usize::try_from(n).map_err(|_| DataFusionError::Plan(format!("{n} does not fit in memory")))
}

fn partitioned(file: &DataFile, schema: &Schema) -> Result<PartitionedFile> {
    let meta = ObjectMeta {
        location: file.path.clone(),
        last_modified: std::time::SystemTime::UNIX_EPOCH
            .checked_add(std::time::Duration::from_millis(file.modified_ms.max(0).unsigned_abs()))
            .unwrap_or(std::time::SystemTime::UNIX_EPOCH)
            .into(),
        size: file.size,
        e_tag: None,
        version: None,
    };
    let time = |v: i64| ScalarValue::TimestampMicrosecond(Some(v), Some("UTC".into()));
    let int = |v: i64| ScalarValue::Int64(Some(v));
    let columns = schema
        .fields()
        .iter()
        .map(|f| {
            let s = &file.stats;
            let pair = match f.name().as_str() {
                row::H3 => s.h3.map(|r| (int(r.min), int(r.max))),
                row::POSITION => s.position.map(|r| (int(r.min), int(r.max))),
                row::OBSERVED_AT => s.observed_at.map(|r| (time(r.min), time(r.max))),
                row::RECEIVED_AT => s.received_at.map(|r| (time(r.min), time(r.max))),
                row::ENTITY_ID => s.entity_id.as_ref().map(|r| (ScalarValue::from(&*r.min), ScalarValue::from(&*r.max))),
                _ => None,
            };
            // Inexact: statistics of a table log may be cut short, and must prune but never answer.
            pair.map_or_else(ColumnStatistics::new_unknown, |(min, max)| ColumnStatistics {
                min_value: Precision::Inexact(min),
                max_value: Precision::Inexact(max),
                ..ColumnStatistics::new_unknown()
            })
        })
        .collect();
    let statistics = Statistics {
        num_rows: Precision::Exact(as_usize(file.rows)?),
        total_byte_size: Precision::Inexact(as_usize(file.size)?),
        column_statistics: columns,
    };
    Ok(PartitionedFile::new_from_meta(meta)
        .with_partition_values(vec![ScalarValue::Date32(Some(file.date))])
        .with_statistics(Arc::new(statistics)))
}
