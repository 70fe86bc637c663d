//! The whole way of an import, with a log in memory.

use super::*;
use crate::{Group, IngestConfig, IngestError, Mappings, Publisher, Sink, SinkError, pipeline::Pipeline, sink::Durability};
use arrow_array::{RecordBatch, cast::AsArray, types};
use futures::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use schemas::{Contracts, Counts, Frame, ManualClock, ProductId, SourceId, TableRef, row};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Frames in the order of the calls, durable at once.
#[derive(Debug, Default)]
struct MemoryLog(Mutex<Vec<Frame>>);

impl MemoryLog {
    fn rows(&self, table: &str) -> Vec<RecordBatch> {
        let table = TableRef::parse(table).unwrap();
        self.0.lock().iter().flat_map(|f| &f.parts).filter(|p| p.table == table).map(|p| p.rows.clone()).collect()
    }

    fn count(&self, table: &str) -> usize {
        self.rows(table).iter().map(RecordBatch::num_rows).sum()
    }
}

impl Sink for MemoryLog {
    fn submit(&self, frame: Frame) -> BoxFuture<'_, Result<Durability, SinkError>> {
        let mut frames = self.0.lock();
        frames.push(frame);
        let position = frames.len() as u64;
        async move { Ok(async move { Ok(position) }.boxed()) }.boxed()
    }

    fn stored_rows(&self, table: &TableRef, date: i32) -> BoxFuture<'_, Result<Vec<RecordBatch>, SinkError>> {
        let mut out = Vec::new();
        for rows in self.rows(&table.to_string()) {
            let times = rows.column_by_name(row::OBSERVED_AT).unwrap().as_primitive::<types::TimestampMicrosecondType>().clone();
            out.extend((0..rows.num_rows()).filter(|i| Timestamp(times.value(*i)).date() == date).map(|i| rows.slice(i, 1)));
        }
        async move { Ok(out) }.boxed()
    }

    fn newest(&self, table: &TableRef) -> BoxFuture<'_, Result<Option<Timestamp>, SinkError>> {
        let newest = self
            .rows(&table.to_string())
            .iter()
            .flat_map(|r| r.column_by_name(row::OBSERVED_AT).unwrap().as_primitive::<types::TimestampMicrosecondType>().values().to_vec())
            .max();
        async move { Ok(newest.map(Timestamp)) }.boxed()
    }
}

struct Fixture {
    log: Arc<MemoryLog>,
    pipeline: Pipeline,
    clock: ManualClock,
    publisher: Arc<Publisher>,
}

fn fixture() -> Fixture {
    let log = Arc::new(MemoryLog::default());
    let sink = Arc::clone(&log) as Arc<dyn Sink>;
    let pipeline = Pipeline::start(IngestConfig::default(), Contracts::builtin().unwrap(), Mappings::builtin(), sink).unwrap();
    let publisher = Publisher {
        source: SourceId::new("import/NO2_hourly.csv").unwrap(),
        tenant: tenant(),
        publish: Vec::new(),
        subscribe: Vec::new(),
        simulated: false,
    };
    let clock = ManualClock::at(Timestamp::parse("2026-01-01T12:00:00Z").unwrap());
    Fixture { log, pipeline, clock, publisher: Arc::new(publisher) }
}

/// Runs an import; `stop_after` durable groups it is told to stop.
async fn run(f: &Fixture, text: &str, stop_after: Option<usize>) -> Result<ImportReport, IngestError> {
    let mapping = builtin("arpae_hourly", "NO2_hourly.csv");
    let stop = CancellationToken::new();
    let mut groups = 0;
    let mut report = |_: &ImportReport| {
        groups += 1;
        if stop_after == Some(groups) {
            stop.cancel();
        }
    };
    let rows = read(&mapping, text.as_bytes(), &tenant())?;
    let product = ProductId::new("air_quality").unwrap();
    import(&f.pipeline, &f.publisher, &f.clock, (&product, rows), Progress { report: &mut report, stop: &stop }).await
}

/// Hours of the year 2024 at two stations, one broken line, one value out of the contract's range.
fn year(hours: i64) -> String {
    let start = Timestamp::parse("2024-01-01T00:00:00Z").unwrap();
    let mut text = NO2.to_owned();
    for h in 0..hours {
        let time = Timestamp(start.0 + h * schemas::time::HOUR_US).to_rfc3339();
        match h {
            10 => text.push_str("garbage\n"),
            20 => text.push_str(&format!("\"{} {}\",\"99999\",\"S\",\"\",\"\"\n", &time[..10], &time[11..16])),
            _ => text.push_str(&format!("\"{} {}\",\"{}\",\"S\",\"{}\",\"M\"\n", &time[..10], &time[11..16], h % 90, h % 40)),
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_is_accounted_for_and_a_second_import_adds_no_row() {
    let f = fixture();
    let text = year(2_000);
    let report = run(&f, &text, None).await.unwrap();
    assert_eq!(report.counts, Counts { received: 3_998, late: 3_996, quarantined: 2, ..Counts::default() });
    assert_eq!(report.counts.imbalance(), 0);
    assert_eq!((f.log.count("bologna.air_quality"), f.log.count("ops.quarantine")), (3_996, 2));
    let told: Vec<_> = report.rejects.iter().map(|r| (r.line, r.reason, r.field.as_deref())).collect();
    assert_eq!(told, [(12, "bad_line", None), (22, "out_of_range", Some("no2"))]);
    assert_eq!((report.line, report.stopped), (2_001, false));
    assert_eq!(report.oldest.unwrap().to_rfc3339(), "2023-12-31T23:00:00Z");

    let again = run(&f, &text, None).await.unwrap();
    assert_eq!(again.counts, Counts { received: 3_998, duplicate: 3_996, quarantined: 2, ..Counts::default() });
    assert_eq!(f.log.count("bologna.air_quality"), 3_996);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_import_goes_on_where_it_was() {
    let f = fixture();
    let text = year(12_000);
    let first = run(&f, &text, Some(1)).await.unwrap();
    let kept = f.log.count("bologna.air_quality") as u64;
    assert!(first.stopped && kept > 0 && kept < 20_000, "{first:?}");
    assert_eq!(first.counts.late + first.counts.stored, kept, "the report says what is durable");
    let second = run(&f, &text, None).await.unwrap();
    assert_eq!((second.counts.duplicate, second.stopped), (kept, false));
    assert_eq!(f.log.count("bologna.air_quality"), 2 * 12_000 - 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_rows_become_messages_that_the_pipeline_knows_already() {
    let f = fixture();
    run(&f, &year(200), None).await.unwrap();
    let contracts = Contracts::builtin().unwrap();
    let contract = contracts.get(&ProductId::new("air_quality").unwrap()).unwrap();
    let mut group = Group { publisher: Arc::clone(&f.publisher), messages: Vec::new(), rejects: Vec::new(), received_at: Timestamp(0) };
    for batch in f.log.rows("bologna.air_quality") {
        group.messages.extend(row_messages(contract, &f.publisher.tenant, &batch).map(|(_, m)| m));
    }
    group.received_at = schemas::Clock::now(&f.clock);
    let sent = group.messages.len() as u64;
    let outcome = f.pipeline.submit_group(group).await.unwrap().outcome().await.unwrap();
    assert_eq!((sent, outcome.counts.duplicate), (396, 396), "{outcome:?}");
}
