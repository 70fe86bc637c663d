//! Line protocol in the body of an HTTP request. Each line becomes one message on the topic `influx/{db}/{measurement}` (or below
//! another first level, for doors that translate into lines), so that mapping files, quarantine and ledger see it like any other.

use crate::{
    IngestError, Publisher, Rejected,
    foreign::{self, Taker},
    format::line_protocol::{Line, Lines},
    http::{Receipt, within_limit},
    pipeline::Pipeline,
};
use bytes::Bytes;
use schemas::Timestamp;
use std::{collections::HashMap, fmt::Write as _, ops::Range, sync::Arc};

/// Measurements whose topic is remembered within a request.
const MEASUREMENTS_MAX: usize = 10_000;

/// The unit of the timestamps of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    #[default]
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Seconds,
    Minutes,
    Hours,
}

impl Precision {
    /// As InfluxDB writes it: `n`, `ns`, `u`, `us`, `µ`, `ms`, `s`, `m`, `h`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "" | "n" | "ns" => Self::Nanoseconds,
            "u" | "us" | "µ" | "µs" => Self::Microseconds,
            "ms" => Self::Milliseconds,
            "s" => Self::Seconds,
            "m" => Self::Minutes,
            "h" => Self::Hours,
            _ => return None,
        })
    }

    const fn nanos(self) -> i64 {
        match self {
            Self::Nanoseconds => 1,
            Self::Microseconds => 1_000,
            Self::Milliseconds => 1_000_000,
            Self::Seconds => 1_000_000_000,
            Self::Minutes => 60_000_000_000,
            Self::Hours => 3_600_000_000_000,
        }
    }
}

/// What a request brings.
#[derive(Debug)]
pub struct Request<'a> {
    /// First level of the topics: `influx`, `prometheus`, `otlp`.
    pub family: &'a str,
    /// Second level: the database or bucket. Absent for families that have none.
    pub db: Option<&'a str>,
    pub precision: Precision,
    /// Decompressed.
    pub body: Bytes,
}

/// Takes one body and waits until all of it is durable. Good lines are stored although others are not.
///
/// # Errors
/// When the body is too large, or the log does not take it.
pub async fn accept(
    pipeline: &Pipeline,
    publisher: &Arc<Publisher>,
    request: Request<'_>,
    received_at: Timestamp,
) -> Result<Receipt, IngestError> {
    within_limit(request.body.len(), pipeline.config().http_body_bytes_max)?;
    let body = match request.precision {
        Precision::Nanoseconds => request.body.clone(),
        other => in_nanoseconds(&request.body, other),
    };
    let mut topics = Topics { pipeline, publisher, family: request.family, db: request.db, last: None, known: HashMap::default() };
    let mut taker = Taker::new(pipeline, publisher, received_at);
    for (number, range) in Lines::new(&body) {
        let payload = body.slice(range);
        taker.push(number, topics.of(&payload), payload).await?;
    }
    taker.finish().await
}

/// Topics of measurements, and whether the sender may use them.
struct Topics<'a> {
    pipeline: &'a Pipeline,
    publisher: &'a Publisher,
    family: &'a str,
    db: Option<&'a str>,
    /// Agents send lines of one measurement in a row: its bytes as they stand in the line, and its topic.
    last: Option<(Bytes, Bytes)>,
    known: HashMap<Bytes, Bytes, foldhash::fast::RandomState>,
}

impl Topics<'_> {
    fn of(&mut self, line: &Bytes) -> Result<Bytes, Box<Rejected>> {
        if let Some((raw, topic)) = &self.last
            && line.starts_with(raw)
            && matches!(line.get(raw.len()), Some(b',' | b' '))
        {
            return Ok(topic.clone());
        }
        let raw = line.slice(..measurement_len(line));
        if let Some(topic) = self.known.get(&raw) {
            let topic = topic.clone();
            self.last = Some((raw, topic.clone()));
            return Ok(topic);
        }
        let topic = self.topic(&raw)?;
        if self.known.len() >= MEASUREMENTS_MAX {
            self.known.clear();
        }
        self.known.insert(raw.clone(), topic.clone());
        self.last = Some((raw, topic.clone()));
        Ok(topic)
    }

    fn topic(&self, raw: &[u8]) -> Result<Bytes, Box<Rejected>> {
        let name = String::from_utf8_lossy(raw);
        let name = Line::new(&name).measurement().map_or_else(|_| String::new(), std::borrow::Cow::into_owned);
        let mut topic = self.family.to_owned();
        for part in self.db.into_iter().chain([name.as_str()]) {
            topic.push('/');
            level(part, &mut topic);
        }
        foreign::check(self.pipeline, self.publisher, &topic, "measurement")
    }
}

/// One level of a topic: separators and wildcards of MQTT as percent escapes.
pub(crate) fn level(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '/' => out.push_str("%2F"),
            '+' => out.push_str("%2B"),
            '#' => out.push_str("%23"),
            '%' => out.push_str("%25"),
            c if c.is_control() => {
                let mut utf8 = [0; 4];
                for byte in c.encode_utf8(&mut utf8).bytes() {
                    // Writing to a text cannot fail.
                    let _ = write!(out, "%{byte:02X}");
                }
            }
            c => out.push(c),
        }
    }
}

/// Up to the first comma or space that no backslash escapes.
fn measurement_len(line: &[u8]) -> usize {
    let mut at = 0;
    while at < line.len() {
        match line[at] {
            b',' | b' ' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    line.len()
}

/// The same lines with timestamps in nanoseconds, which is how a line is written without its request. One that is too large for
/// that stays as it is, and is refused with its line.
pub(crate) fn in_nanoseconds(body: &[u8], precision: Precision) -> Bytes {
    let mut out = Vec::with_capacity(body.len() + body.len() / 8);
    let mut end = 0;
    for (_, Range { start, end: line_end }) in Lines::new(body) {
        out.extend_from_slice(&body[end..start]);
        let line = body[start..line_end].trim_ascii_end();
        let time = line.iter().rposition(|b| *b == b' ').map(|at| at + 1);
        let nanos = time.and_then(|at| {
            let text = std::str::from_utf8(&line[at..]).ok()?;
            text.parse::<i64>().ok().map(|t| (at, t.checked_mul(precision.nanos())))
        });
        match nanos {
            Some((at, Some(nanos))) => {
                out.extend_from_slice(&line[..at]);
                out.extend_from_slice(nanos.to_string().as_bytes());
            }
            // Over 64 bits: another digit keeps it over, so that it is refused as no timestamp.
            Some((_, None)) => {
                out.extend_from_slice(line);
                out.extend_from_slice(b"0000000000000000000");
            }
            None => out.extend_from_slice(line),
        }
        end = line_end;
    }
    out.extend_from_slice(&body[end..]);
    Bytes::from(out)
}

#[cfg(test)]
mod tests;
