//! Writes line protocol: what Prometheus and OpenTelemetry send becomes lines, so that one reader and one kind of mapping serve all.

use crate::{IngestError, http::within_limit};
use std::fmt::Write as _;

/// Lines under construction, within a limit: each repeats its labels, so a small body could become a large one.
#[derive(Debug)]
pub(super) struct Writer {
    out: String,
    bytes_max: usize,
}

impl Writer {
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { out: String::new(), bytes_max }
    }

    /// Measurement and tags of a series, to be repeated before each of its values. Empty tags mean absent ones.
    pub(super) fn head<'t>(measurement: &str, tags: impl IntoIterator<Item = (&'t str, &'t str)>) -> String {
        let mut head = String::new();
        // At the start of a line it would be a comment.
        let name = measurement.strip_prefix('#').map_or(measurement, |_| "_");
        escape(name, ", ", &mut head);
        for (key, value) in tags {
            if !key.is_empty() && !value.is_empty() {
                head.push(',');
                escape(key, ",= ", &mut head);
                head.push('=');
                escape(value, ",= ", &mut head);
            }
        }
        head
    }

    /// One line; fields without a value are left out, and so is a line without fields.
    pub(super) fn line(&mut self, head: &str, fields: &[(&str, Option<Number>)], nanos: Option<i64>) -> Result<(), IngestError> {
        let start = self.out.len();
        self.out.push_str(head);
        let mut separator = ' ';
        for (name, value) in fields {
            let Some(value) = value else { continue };
            self.out.push(separator);
            // Writing to a text cannot fail.
            let _ = match value {
                Number::Float(v) => write!(self.out, "{name}={v:?}"),
                Number::Int(v) => write!(self.out, "{name}={v}i"),
                Number::Count(v) => write!(self.out, "{name}={v}u"),
            };
            separator = ',';
        }
        if separator == ' ' {
            self.out.truncate(start);
            return Ok(());
        }
        if let Some(nanos) = nanos {
            let _ = write!(self.out, " {nanos}");
        }
        self.out.push('\n');
        within_limit(self.out.len(), self.bytes_max)
    }

    pub(super) fn finish(self) -> bytes::Bytes {
        self.out.into()
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Float(f64),
    Int(i64),
    Count(u64),
}

/// Line ends cannot stand in a name or tag, and a backslash at its end would escape what follows.
fn escape(text: &str, specials: &str, out: &mut String) {
    for c in text.trim_end_matches('\\').chars() {
        let c = if c == '\n' || c == '\r' { ' ' } else { c };
        if specials.contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
}
