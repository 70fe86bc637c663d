//! Files of detector output through `portico import`.

use crate::{cli::SimulatedAt, node::Parts, out::say};
use anyhow::{Result, ensure};
use ingest::{
    Publisher,
    sumo::{self, messages::Loops},
};
use schemas::Counts;
use std::{
    io::{BufReader, Read},
    sync::Arc,
};
use tokio_util::sync::CancellationToken;

/// Whether the beginning of an XML file is that of detector output.
#[must_use]
pub fn is_output(head: &str) -> bool {
    head.contains("<detector")
}

/// One file; its rows are marked as simulated.
pub async fn import(
    parts: &Parts,
    name: &str,
    (publisher, at): (&Publisher, &SimulatedAt),
    source: impl Read + Send,
    stop: &CancellationToken,
) -> Result<Counts> {
    ensure!(at.start.is_some(), "a simulation has no date of its own: say when it takes place, for example --start 2024-03-05T08:00");
    let setting = at.setting(publisher.tenant.clone(), &*parts.clock)?;
    let publisher = Arc::new(Publisher { simulated: true, ..publisher.clone() });
    let source = (BufReader::new(source), Loops::new(setting));
    let report = sumo::import(parts.ingest.pipeline(), &publisher, &*parts.clock, source, stop).await?;
    let stopped = if report.stopped { ", stopped; run it again to go on, nothing is stored twice" } else { "" };
    let Counts { received, quarantined, .. } = report.counts;
    say(&format!(
        "{name} as output of SUMO's detectors: {} intervals, {received} received, {quarantined} quarantined{stopped}",
        report.intervals
    ));
    for f in &report.flaws {
        say(&format!("  {} {}: {}", f.detector, f.field, f.rule));
    }
    for r in &report.rejects {
        say(&format!("  {} {}: {}", r.reason, r.field.as_deref().unwrap_or_default(), r.text));
    }
    Ok(report.counts)
}
