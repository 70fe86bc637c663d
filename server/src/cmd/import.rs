//! `portico import`: files through the same contracts, quarantine and ledger as live messages.

use crate::{
    cli::ImportArgs,
    config::Config,
    node::Parts,
    out::{progress, progress_end, say},
    sumo,
};
use anyhow::{Context as _, Result, bail};
use ingest::{
    Publisher,
    datex::{self, Sites},
    file::{FileMapping, ImportReport, Progress, guess, import, read},
};
use schemas::{Counts, SourceId, SystemClock, Tenant};
use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read},
    path::Path,
    sync::Arc,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How much of a file is looked at to guess its mapping.
const HEAD_BYTES: u64 = 64 << 10;
const XML_BUFFER_BYTES: usize = 256 << 10;

pub async fn run(config: &Config, args: ImportArgs) -> Result<()> {
    let tasks = TaskTracker::new();
    let parts = Parts::open(config, Arc::new(SystemClock), &tasks).await?;
    let tenant = args.tenant.as_deref().map_or(Ok(parts.tenant.clone()), Tenant::new)?;
    let stop = CancellationToken::new();
    let stopper = stop.clone();
    tokio::spawn(async move {
        tokio::signal::ctrl_c().await.ok();
        stopper.cancel();
    });
    let (mut outcome, mut total) = (Ok(()), Counts::default());
    for path in &args.files {
        match one(&parts, path, &args, &tenant, &stop).await.with_context(|| path.display().to_string()) {
            Ok(counts) => total.add(&counts),
            Err(error) => outcome = Err(error),
        }
        if outcome.is_err() || stop.is_cancelled() {
            break;
        }
    }
    say_ledger(&total);
    parts.close(&tasks).await?;
    outcome
}

async fn one(parts: &Parts, path: &Path, args: &ImportArgs, tenant: &Tenant, stop: &CancellationToken) -> Result<Counts> {
    let name = path.file_name().and_then(|n| n.to_str()).context("the file has no readable name")?;
    let mapping = args.mapping.as_deref();
    let head = beginning(path)?;
    if mapping.is_none() && head.starts_with('<') {
        if sumo::import::is_output(&head) {
            return sumo::import::import(parts, name, (&*publisher(name, tenant)?, &args.simulated), plain(path)?, stop).await;
        }
        return xml(parts, path, name, tenant, stop).await;
    }
    let mapping = find_mapping(path, name, mapping)?.for_file(name)?;
    let publisher = publisher(name, tenant)?;
    let items = read(&mapping, File::open(path)?, tenant)?;
    let mut show = |r: &ImportReport| {
        progress(&format!("{name}: line {}, {} received, {} quarantined", r.line, r.counts.received, r.counts.quarantined))
    };
    let follow = Progress { report: &mut show, stop };
    let report = import(parts.ingest.pipeline(), &publisher, &*parts.clock, (mapping.product(), items), follow).await?;
    progress_end();
    let span = |t: Option<schemas::Timestamp>| t.map(|t| t.to_string()).unwrap_or_default();
    let stopped = if report.stopped { ", stopped; run it again to go on, nothing is stored twice" } else { "" };
    say(&format!(
        "{name} as {} ({}): {} lines, {} received, {} quarantined, from {} to {}{stopped}",
        mapping.product(),
        mapping.name(),
        report.line,
        report.counts.received,
        report.counts.quarantined,
        span(report.oldest),
        span(report.newest),
    ));
    for r in &report.rejects {
        say(&format!("  line {}: {} {}: {}", r.line, r.reason, r.field.as_deref().unwrap_or_default(), r.message));
    }
    Ok(report.counts)
}

fn publisher(name: &str, tenant: &Tenant) -> Result<Arc<Publisher>> {
    let source = SourceId::new(&format!("import/{}", name.replace(|c: char| !c.is_ascii_graphic(), "_")))?;
    Ok(Arc::new(Publisher { source, tenant: tenant.clone(), publish: Vec::new(), subscribe: Vec::new(), simulated: false }))
}

/// DATEX II, or the traffic data of Turin.
async fn xml(parts: &Parts, path: &Path, name: &str, tenant: &Tenant, stop: &CancellationToken) -> Result<Counts> {
    let source = (BufReader::with_capacity(XML_BUFFER_BYTES, plain(path)?), Sites::default());
    let report = datex::import(parts.ingest.pipeline(), &publisher(name, tenant)?, &*parts.clock, source, stop).await?;
    let stopped = if report.stopped { ", stopped; run it again to go on, nothing is stored twice" } else { "" };
    let Counts { received, quarantined, .. } = report.counts;
    say(&format!("{name} as DATEX II: {} records, {received} received, {quarantined} quarantined{stopped}", report.records));
    for r in &report.rejects {
        say(&format!("  {} {}: {}", r.reason, r.field.as_deref().unwrap_or_default(), r.text));
    }
    Ok(report.counts)
}

/// The file, decompressed when it is gzip.
fn plain(path: &Path) -> Result<Box<dyn Read + Send>> {
    let mut file = BufReader::new(File::open(path)?);
    let gzip = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if gzip { Box::new(flate2::read::MultiGzDecoder::new(file)) } else { Box::new(file) })
}

/// A built-in name, a TOML file, or what the head of the file looks like.
fn find_mapping(path: &Path, name: &str, asked: Option<&str>) -> Result<FileMapping> {
    if let Some(asked) = asked {
        if !asked.ends_with(".toml") {
            return Ok(FileMapping::builtin(asked)?);
        }
        return Ok(FileMapping::parse(asked, &std::fs::read_to_string(asked).with_context(|| asked.to_owned())?)?);
    }
    match guess(name, beginning(path)?.lines().next().unwrap_or_default()) {
        Some(guessed) => Ok(FileMapping::builtin(guessed)?),
        None => bail!(
            "its header is none that a built-in mapping knows; name one with --mapping: {}",
            FileMapping::builtin_names().collect::<Vec<_>>().join(", ")
        ),
    }
}

fn beginning(path: &Path) -> Result<String> {
    let mut first = Vec::new();
    plain(path)?.take(HEAD_BYTES).read_to_end(&mut first)?;
    Ok(String::from_utf8_lossy(&first).trim_start_matches('\u{feff}').to_owned())
}

/// What became of all that was read: the import's own lines of `ops.ledger`.
fn say_ledger(total: &Counts) {
    let Counts { received, stored, duplicate, late, quarantined, dropped } = total;
    say(&format!(
        "ledger: received {received} = stored {stored} + duplicate {duplicate} + late {late} + quarantined {quarantined} + dropped {dropped}; balance {}",
        total.imbalance()
    ));
}
