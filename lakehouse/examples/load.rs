//! Measures the storage half: `cargo run --release -p lakehouse --example load -- [rows] [rows per frame] [frames in flight] [directory to keep]`.
//!
//! Appends air quality rows of 2,000 sensors, one reading per second each, then flushes, compacts and opens again.
//! Prints rows per second, CPU seconds (user and system, of the whole process), and bytes per row.

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array};
use arrow_schema::DataType;
use lakehouse::{CompactBudget, Lakehouse, LakehouseConfig, LakehouseError};
use schemas::{Contracts, Frame, Part, Position, SystemClock, TableRef, row};
use std::{collections::VecDeque, sync::Arc, time::Duration, time::Instant};

const SENSORS: usize = 2_000;
const START_US: i64 = 1_767_225_600_000_000;

/// `count` readings from reading number `first`: a slow wave per sensor and a little noise, at two decimals.
fn rows(contracts: &Contracts, table: &TableRef, first: usize, count: usize) -> RecordBatch {
    let schema = contracts.pending_schema(table).expect("a built-in contract");
    let range = || first..first + count;
    let place = |i: usize| Position::new(11.25 + (i % 50) as f64 * 0.003, 44.43 + (i / 50) as f64 * 0.003).expect("on the globe");
    let at = |i: usize| START_US + (i / SENSORS) as i64 * 1_000_000 + (i % SENSORS) as i64 * 37;
    let time = |lag: i64| Arc::new(TimestampMicrosecondArray::from_iter_values(range().map(|i| at(i) + lag)).with_timezone("UTC"));
    let text = |f: fn(usize) -> String| Arc::new(StringArray::from_iter_values(range().map(f))) as ArrayRef;
    let value = |i: usize| {
        let noise = (i.wrapping_mul(2_654_435_761) >> 16) % 100;
        ((30.0 + 20.0 * ((i / SENSORS) as f64 / 3_600.0).sin()) * 100.0 + noise as f64).round() / 100.0
    };
    let mut columns: Vec<ArrayRef> = vec![
        text(|i| format!("urn:ngsi-ld:AirQualityObserved:bologna:sensor-{:05}", i % SENSORS)),
        time(0),
        time(250_000),
        text(|i| format!("mqtt/gateway-{}", i % 50)),
        text(|_| "unchecked".into()),
        Arc::new(BooleanArray::from(vec![true; count])),
        Arc::new(Float64Array::from_iter_values(range().map(|i| place(i % SENSORS).lon))),
        Arc::new(Float64Array::from_iter_values(range().map(|i| place(i % SENSORS).lat))),
        Arc::new(Int64Array::from_iter_values(range().map(|i| place(i % SENSORS).cell().0))),
    ];
    for (n, field) in schema.fields().iter().skip(row::FIELDS_START).enumerate() {
        columns.push(match field.data_type() {
            DataType::Float64 if n < 4 => Arc::new(Float64Array::from_iter_values(range().map(value))),
            other => new_null_array(other, count),
        });
    }
    RecordBatch::try_new(schema, columns).expect("the contract's columns")
}

/// CPU seconds of this process, user and system, from `/proc`.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

#[tokio::main]
async fn main() -> Result<(), LakehouseError> {
    let arg = |n: usize, default: usize| std::env::args().nth(n).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (total, per_frame, in_flight) = (arg(1, 5_000_000), arg(2, 500), arg(3, 64));
    let keep = std::env::args().nth(4).map(std::path::PathBuf::from);
    let dir = keep.clone().unwrap_or_else(|| std::env::temp_dir().join(format!("portico-load-{}", std::process::id())));
    let contracts = Contracts::builtin().map_err(|e| LakehouseError::Internal(e.to_string()))?;
    let table = TableRef::parse("bologna.air_quality").map_err(|e| LakehouseError::Internal(e.to_string()))?;
    let config = || {
        let mut c = LakehouseConfig::new(&dir);
        c.compact_interval = Duration::ZERO;
        c
    };
    let lake = Lakehouse::open(config(), contracts.clone(), Arc::new(SystemClock)).await?;
    // Batches are made before the clock starts: building them is the work of ingest.
    let ready: Vec<RecordBatch> = (0..in_flight * 4).map(|n| rows(&contracts, &table, n * per_frame, per_frame)).collect();
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let mut tickets = VecDeque::new();
    for n in 0..total / per_frame {
        let rows = ready[n % ready.len()].clone();
        tickets.push_back(lake.append(Frame { parts: vec![Part { table: table.clone(), rows }], ledger: Vec::new() }).await?);
        if tickets.len() >= in_flight
            && let Some(ticket) = tickets.pop_front()
        {
            ticket.await?;
        }
    }
    for ticket in tickets {
        ticket.await?;
    }
    let (wall, used, stats) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu, lake.stats());
    println!(
        "append: {:.0} rows/s, {used:.2} CPU s for {total} rows, {:.1} log bytes/row",
        total as f64 / wall,
        stats.log_bytes as f64 / total as f64
    );
    println!(
        "syncs: {}, mean {} us, longest {} us",
        stats.log_syncs,
        stats.log_sync_micros / stats.log_syncs.max(1),
        stats.log_sync_micros_max
    );
    let step = Instant::now();
    lake.flush().await?;
    println!("last flush: {:.2} s; CPU so far {:.2} s", step.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let (step, cpu) = (Instant::now(), cpu_seconds());
    let report = lake.compact(CompactBudget { full: true, ..CompactBudget::default() }).await?;
    println!("compaction: {:.2} s, {:.2} CPU s, {report:?}", step.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let bytes: u64 = lake.pin()[&table].files.iter().map(|f| f.size).sum();
    println!("stored: {:.1} bytes/row", bytes as f64 / lake.pin()[&table].row_count() as f64);
    lake.close().await?;
    drop(lake);
    let step = Instant::now();
    let lake = Lakehouse::open(config(), contracts, Arc::new(SystemClock)).await?;
    println!("open: {:.3} s, {} rows", step.elapsed().as_secs_f64(), lake.pin()[&table].row_count());
    drop(lake);
    if keep.is_some() {
        return Ok(());
    }
    std::fs::remove_dir_all(&dir).map_err(|e| LakehouseError::Internal(e.to_string()))
}
