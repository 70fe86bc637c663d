//! Reads a file of DATEX II or FDT (plain or gzip) and prints records, rows, seconds and peak memory:
//! `datex_file <file> [parse | store]`. `parse` writes the documents and drops them; `store` takes them through the pipeline, that is
//! mapping, contract, duplicates and Arrow rows, into a sink that counts. `tests/bench/datex.py` runs it beside lxml.

use futures::{FutureExt, future::BoxFuture};
use ingest::{
    IngestConfig, Mappings, Publisher, Sink, SinkError,
    datex::{MAPPINGS, Publication, Record, Sites, import},
    pipeline::Pipeline,
    sink::Durability,
};
use schemas::{Contracts, Frame, SourceId, TableRef, Tenant, Timestamp, time::SystemClock};
use std::{
    error::Error,
    fs::File,
    io::{BufRead, BufReader, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use tokio_util::sync::CancellationToken;

const BUFFER_BYTES: usize = 256 * 1024;

/// Counts rows and forgets them.
#[derive(Debug, Default)]
struct Counting(AtomicU64);

impl Sink for Counting {
    fn submit(&self, frame: Frame) -> BoxFuture<'_, Result<Durability, SinkError>> {
        let n: usize = frame.parts.iter().map(|p| p.rows.num_rows()).sum();
        let position = self.0.fetch_add(n as u64, Ordering::Relaxed);
        async move { Ok(async move { Ok(position) }.boxed()) }.boxed()
    }

    fn stored_rows(&self, _: &TableRef, _: i32) -> BoxFuture<'_, Result<Vec<arrow_array::RecordBatch>, SinkError>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn newest(&self, _: &TableRef) -> BoxFuture<'_, Result<Option<Timestamp>, SinkError>> {
        async { Ok(None) }.boxed()
    }
}

fn open(path: &str) -> Result<Box<dyn BufRead + Send>, Box<dyn Error>> {
    let mut head = [0; 2];
    let is_gzip = File::open(path)?.read(&mut head)? == 2 && head == [0x1f, 0x8b];
    let file = File::open(path)?;
    let source: Box<dyn Read + Send> = if is_gzip { Box::new(flate2::read::MultiGzDecoder::new(file)) } else { Box::new(file) };
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, source)))
}

/// Of the process, in MiB; Linux only.
fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<f64>().ok().map(|kib| kib / 1024.0)
}

fn parse(path: &str) -> Result<(u64, u64), Box<dyn Error>> {
    let mut publication = Publication::new(open(path)?, Sites::default());
    let mut record = Record::default();
    let (mut records, mut rows) = (0, 0);
    while publication.next(&mut record)? {
        records += 1;
        rows += record.n_rows as u64;
    }
    Ok((records, rows))
}

fn store(path: &str) -> Result<(u64, u64), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let sink = Arc::new(Counting::default());
    let report = runtime.block_on(async {
        let mappings = Mappings::parse([("datex2.toml", MAPPINGS)])?;
        let pipeline = Pipeline::start(IngestConfig::default(), Contracts::builtin()?, mappings, Arc::clone(&sink) as Arc<dyn Sink>)?;
        let publisher = Publisher {
            source: SourceId::new("import/datex_file")?,
            tenant: Tenant::new("bologna")?,
            publish: Vec::new(),
            subscribe: Vec::new(),
            simulated: false,
        };
        let source = (open(path)?, Sites::default());
        let report = import(&pipeline, &Arc::new(publisher), &SystemClock, source, &CancellationToken::new()).await?;
        pipeline.close().await;
        Ok::<_, Box<dyn Error>>(report)
    })?;
    if report.counts.quarantined > 0 {
        eprintln!("{} quarantined, the first: {:?}", report.counts.quarantined, report.rejects.first());
    }
    Ok((report.records, sink.0.load(Ordering::Relaxed)))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("datex_file <file> [parse | store]")?;
    let start = Instant::now();
    let (records, rows) = match args.next().as_deref() {
        None | Some("parse") => parse(&path)?,
        Some("store") => store(&path)?,
        Some(other) => return Err(format!("'{other}' is neither parse nor store").into()),
    };
    let (secs, peak) = (start.elapsed().as_secs_f64(), peak_mib().unwrap_or_default());
    println!("{{\"records\": {records}, \"rows\": {rows}, \"secs\": {secs:.3}, \"peak_mib\": {peak:.1}}}");
    Ok(())
}
