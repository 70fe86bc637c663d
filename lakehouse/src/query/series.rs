//! One field of one entity over time, thinned for a chart.

use super::{
    Limits,
    latest::{frame, instant},
    sql_error::from_datafusion,
};
use crate::{Lakehouse, LakehouseError};
use arrow_array::{
    Float64Array, RecordBatch, TimestampMicrosecondArray,
    cast::AsArray,
    types::{Float64Type, TimestampMicrosecondType},
};
use arrow_schema::{DataType, Field, Schema};
use datafusion::logical_expr::{cast, col, ident, lit};
use schemas::{EntityId, FieldType, TableRef, Timestamp, row};
use std::{sync::Arc, time::Duration};

/// A chart of more points than this before thinning is asked for in pieces.
const LIMITS: Limits = Limits { rows_max: 10_000_000, memory_bytes: 512 << 20, timeout: Duration::from_secs(60) };

/// Which series, over which time, in how many points at most.
#[derive(Debug, Clone)]
pub struct SeriesRequest {
    pub table: TableRef,
    pub entity: EntityId,
    /// A number or flag of the contract.
    pub field: String,
    /// Inclusive.
    pub from: Timestamp,
    /// Exclusive.
    pub to: Timestamp,
    /// At least 3; fewer points than this come as they are.
    pub points_max: usize,
    /// Values that key fields must have, for example `("period", "PT1H")`; without it the series of all of them is mixed.
    pub keys: Vec<(String, String)>,
}

impl Lakehouse {
    /// The series as columns `time` (timestamp, UTC) and `value` (`Float64`), in time order. More points than asked for
    /// are thinned by largest-triangle-three-buckets (Steinarsson 2013), which keeps peaks. The schema's metadata has
    /// `points`, the count before thinning.
    ///
    /// # Errors
    /// `NotFound` when the table or the field is not declared, `Sql` when the field is text.
    pub async fn series(&self, request: SeriesRequest) -> Result<RecordBatch, LakehouseError> {
        let SeriesRequest { table, entity, field, from, to, points_max, keys } = request;
        let contract = self.contracts.get(&table.product).ok_or_else(|| LakehouseError::no_table(&table))?;
        let missing = |name: &str| LakehouseError::NotFound { what: "field", name: name.to_owned(), hint: format!(" in {table}") };
        let (_, declared) = contract.field(&field).ok_or_else(|| missing(&field))?;
        if declared.kind == FieldType::Text {
            return Err(LakehouseError::Sql {
                message: format!("field '{field}' is text: it has no series"),
                line: None,
                column: None,
                hint: None,
            });
        }
        let mut filter = col(row::ENTITY_ID)
            .eq(lit(entity.as_str()))
            .and(col(row::OBSERVED_AT).gt_eq(instant(from)))
            .and(col(row::OBSERVED_AT).lt(instant(to)))
            .and(ident(&field).is_not_null());
        for (name, value) in &keys {
            contract.field(name).ok_or_else(|| missing(name))?;
            filter = filter.and(cast(ident(name), DataType::Utf8).eq(lit(value.as_str())));
        }
        let job = self.own_job(LIMITS);
        let (engine, run) = (Arc::clone(&self.engine), job.clone());
        let batches = self
            .engine
            .on_threads(&job, async move {
                let session = run.session(&engine)?;
                let frame = frame(&session, &table, None)?;
                let wrong = |e| from_datafusion(e, Some(&session));
                let columns =
                    vec![col(row::OBSERVED_AT).alias("time"), cast(ident(&field), DataType::Float64).alias("value"), col(row::POSITION)];
                let order = vec![col("time").sort(true, true), col(row::POSITION).sort(true, true)];
                let frame = frame.filter(filter).and_then(|f| f.select(columns)).and_then(|f| f.sort(order)).map_err(wrong)?;
                frame.limit(0, Some(LIMITS.rows_max)).map_err(wrong)?.collect().await.map_err(wrong)
            })
            .await?;
        thinned(&batches, points_max.max(3))
    }
}

fn thinned(batches: &[RecordBatch], points_max: usize) -> Result<RecordBatch, LakehouseError> {
    let mut points = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for batch in batches {
        let time = batch.column(0).as_primitive::<TimestampMicrosecondType>();
        let value = batch.column(1).as_primitive::<Float64Type>();
        points.extend(time.values().iter().copied().zip(value.values().iter().copied()));
    }
    let kept = largest_triangles(&points, points_max);
    let schema = Schema::new(vec![Field::new("time", row::timestamp_type(), false), Field::new("value", DataType::Float64, false)])
        .with_metadata([("points".to_owned(), points.len().to_string())].into());
    Ok(RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(TimestampMicrosecondArray::from_iter_values(kept.iter().map(|p| p.0)).with_timezone("UTC")),
            Arc::new(Float64Array::from_iter_values(kept.iter().map(|p| p.1))),
        ],
    )?)
}

/// Of each bucket of points, the one that spans the largest triangle with the point chosen before and the mean of the
/// next bucket. The first and last point stay.
fn largest_triangles(points: &[(i64, f64)], max: usize) -> Vec<(i64, f64)> {
    if points.len() <= max {
        return points.to_vec();
    }
    let (first, last) = (points[0], points[points.len() - 1]);
    let inner = &points[1..points.len() - 1];
    let buckets = max - 2;
    let edge = |b: usize| b * inner.len() / buckets;
    let mut out = Vec::with_capacity(max);
    out.push(first);
    for b in 0..buckets {
        let next = if b + 1 < buckets { &inner[edge(b + 1)..edge(b + 2)] } else { std::slice::from_ref(&last) };
        let n = next.len().max(1) as f64;
        let mean = (next.iter().map(|p| p.0 as f64).sum::<f64>() / n, next.iter().map(|p| p.1).sum::<f64>() / n);
        let from = out[out.len() - 1];
        let area = |p: &(i64, f64)| ((from.0 as f64 - mean.0) * (p.1 - from.1) - (from.0 as f64 - p.0 as f64) * (mean.1 - from.1)).abs();
        let best = inner[edge(b)..edge(b + 1)].iter().max_by(|x, y| area(x).total_cmp(&area(y)));
        out.extend(best);
    }
    out.push(last);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_ends_and_a_peak() {
        let mut points: Vec<(i64, f64)> = (0..10_000).map(|i| (i, (i as f64 / 500.0).sin())).collect();
        points[5_123].1 = 40.0;
        let kept = largest_triangles(&points, 100);
        assert_eq!(kept.len(), 100);
        assert_eq!((kept[0], kept[99]), (points[0], points[9_999]));
        assert!(kept.contains(&points[5_123]));
        assert!(kept.is_sorted_by_key(|p| p.0));
    }

    #[test]
    fn few_points_come_as_they_are() {
        let points = vec![(1, 1.0), (2, 2.0), (3, 3.0)];
        assert_eq!(largest_triangles(&points, 3), points);
    }
}
