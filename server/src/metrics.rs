//! Prometheus text exposition (format 0.0.4) of what the parts count.

use crate::node::Parts;
use schemas::invariant;
use std::fmt::{Display, Write as _};

/// Text under construction.
#[derive(Debug, Default)]
struct Exposition(String);

impl Exposition {
    /// Starts a metric.
    fn metric(&mut self, name: &str, kind: &str, says: &str) -> &mut Self {
        // Writing to a String cannot fail.
        write!(self.0, "# HELP portico_{name} {says}\n# TYPE portico_{name} {kind}\n").ok();
        self
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}=\"{}\"", v.replace('\\', "\\\\").replace('"', "\\\""))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        writeln!(self.0, "portico_{name}{labels} {value}").ok();
        self
    }

    fn one(&mut self, name: &str, kind: &str, says: &str, value: impl Display) {
        self.metric(name, kind, says).value(name, &[], value);
    }
}

/// All metrics.
#[must_use]
pub fn text(parts: &Parts) -> String {
    let mut out = Exposition::default();
    messages(&mut out, parts);
    log(&mut out, parts);
    tables(&mut out, parts);
    twin(&mut out, parts);
    out.metric("invariant_violations_total", "counter", "Violations of the named invariants since the start.");
    for id in invariant::Id::ALL {
        out.value("invariant_violations_total", &[("id", id.name())], invariant::violations(*id));
    }
    out.0
}

fn messages(out: &mut Exposition, parts: &Parts) {
    let stats = parts.ingest.stats();
    let counts = stats.counts;
    out.metric("messages_total", "counter", "Messages in the log by outcome; received is their sum.");
    for (outcome, n) in [
        ("received", counts.received),
        ("stored", counts.stored),
        ("duplicate", counts.duplicate),
        ("late", counts.late),
        ("quarantined", counts.quarantined),
        ("dropped", counts.dropped),
    ] {
        out.value("messages_total", &[("outcome", outcome)], n);
    }
    out.metric("quarantined_total", "counter", "Quarantined messages by reason.");
    for (reason, n) in &stats.quarantined_by_reason {
        out.value("quarantined_total", &[("reason", reason)], n);
    }
    out.one("ingest_queue_messages", "gauge", "Messages between the doors and the frames.", stats.queue_messages);
    out.one("ingest_queue_bytes", "gauge", "Their payload bytes.", stats.queue_bytes);
    out.one(
        "ingest_frames_failed_total",
        "counter",
        "Frames that the log did not take; nothing of them was acknowledged.",
        stats.frames_failed,
    );
    out.metric("mqtt", "untyped", "What the embedded broker counts.");
    for (name, n) in parts.ingest.broker_stats().named() {
        out.value("mqtt", &[("what", name)], n);
    }
    if let Some(lorawan) = parts.lorawan.get() {
        out.metric("lorawan", "untyped", "What the LoRaWAN doors count.");
        for (name, n) in lorawan.stats().named() {
            out.value("lorawan", &[("what", name)], n);
        }
    }
}

fn log(out: &mut Exposition, parts: &Parts) {
    let s = parts.lakehouse.stats();
    out.one("log_position", "gauge", "Last durable frame.", s.position);
    out.one("log_flushed_position", "gauge", "Every frame up to here is in files.", s.flushed);
    out.one("log_bytes_total", "counter", "Bytes written to the log.", s.log_bytes);
    out.one("log_syncs_total", "counter", "Calls of fdatasync.", s.log_syncs);
    out.one("log_sync_seconds_total", "counter", "Time in fdatasync.", s.log_sync_micros as f64 / 1e6);
    out.one("log_sync_seconds_max", "gauge", "The longest fdatasync.", s.log_sync_micros_max as f64 / 1e6);
    out.one("log_errors_total", "counter", "Groups that could not be written.", s.log_errors);
    out.one("log_segments", "gauge", "Segments on disk.", s.log_segments);
    out.one("hot_bytes", "gauge", "Rows in memory that are in no file yet.", s.hot_bytes);
}

fn tables(out: &mut Exposition, parts: &Parts) {
    let tables = parts.lakehouse.stats().tables;
    for (name, says) in
        [("rows", "Rows in files."), ("hot_rows", "Rows that are only hot."), ("files", "Live files."), ("bytes", "Bytes of live files.")]
    {
        let name_full = format!("table_{name}");
        out.metric(&name_full, "gauge", says);
        for t in &tables {
            let value = match name {
                "rows" => t.rows,
                "hot_rows" => t.hot_rows,
                "files" => t.files as u64,
                _ => t.bytes,
            };
            out.value(&name_full, &[("table", &t.table.to_string())], value);
        }
    }
}

fn twin(out: &mut Exposition, parts: &Parts) {
    let twin = parts.feed.snapshot();
    out.one("twin_position", "gauge", "Last frame folded into the twin.", twin.position());
    out.one("twin_rows_refused_total", "counter", "Rows that no entity could be made of.", parts.feed.refused());
    out.metric("twin_entities", "gauge", "Entities by table and freshness.");
    for c in twin.counts(parts.clock.now()) {
        let table = c.table.to_string();
        for (state, n) in [("fresh", c.fresh), ("due", c.due), ("overdue", c.overdue)] {
            out.value("twin_entities", &[("table", &table), ("state", state)], n);
        }
    }
}
