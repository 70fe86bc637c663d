//! FIWARE IoT Agents over MQTT: UltraLight 2.0 (`/ul/{apikey}/{device}/attrs`) and JSON (`/json/{apikey}/{device}/attrs`).
//!
//! Both are written as `{"measures": [{"time"?, "values": {"<attribute>": …}, "points"?: {"<attribute>": [a, b]}}]}`; map them with
//! `each = "/measures"` and `observed_at = { pointer = "/time", or = "receipt" }`. One attribute alone on `…/attrs/{attribute}` is a
//! measure with that attribute. Source: user manuals of iotagent-ul and iotagent-json.
//!
//! Traps: every value of UltraLight is a text, so fields need `number_in_text`; a pair `1.2/3.4` (the manual's `gps`) is also written to
//! `points`, in the order it came, which is latitude first; a measure without a time was observed when it was received, and delivered
//! again it is another row; a text with a unit (`"45%"`) needs `unit_in_text`, because another unit is another number.
//! Commands (`…/cmd`) and their results (`…/cmdexe`) are no observations and are left out.

use super::{Format, Incoming, Translated};
use crate::decode::reject::{Reason, Reject, cut};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Attributes of one measure.
const ATTRIBUTES_MAX: usize = 256;

#[derive(Debug)]
pub(super) struct UltraLight;

#[derive(Debug)]
pub(super) struct Json;

#[derive(Debug, Serialize)]
struct Document<V> {
    measures: Vec<Measure<V>>,
}

#[derive(Debug, Serialize)]
struct Measure<V> {
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<V>,
    values: BTreeMap<String, V>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    points: BTreeMap<String, [f64; 2]>,
}

/// What the last levels of a topic say.
enum Place<'t> {
    Measures,
    /// One attribute alone.
    Attribute(&'t str),
    Command,
}

fn place(topic: &str) -> Place<'_> {
    let mut levels = topic.rsplit('/');
    match (levels.next(), levels.next()) {
        (Some("cmd" | "cmdexe"), _) => Place::Command,
        (Some(attribute), Some("attrs")) => Place::Attribute(attribute),
        _ => Place::Measures,
    }
}

#[cold]
fn fail<T>(what: &str, rule: impl std::fmt::Display) -> Result<T, Reject> {
    Err(Reject::new(Reason::NotFormat, format!("not {what}: {rule}")))
}

fn write<V: Serialize>(measures: Vec<Measure<V>>, out: &mut Vec<u8>) -> Result<Translated, Reject> {
    if measures.is_empty() {
        return Ok(Translated::Nothing);
    }
    serde_json::to_writer(out, &Document { measures }).map_err(|e| Reject::new(Reason::NotFormat, e.to_string()))?;
    Ok(Translated::Document)
}

impl Format for UltraLight {
    fn translate(&self, message: Incoming<'_>, out: &mut Vec<u8>) -> Result<Translated, Reject> {
        let Ok(text) = std::str::from_utf8(message.payload) else { return fail("UltraLight 2.0", "the payload is not UTF-8") };
        match place(message.topic) {
            Place::Command => Ok(Translated::Nothing),
            Place::Attribute(attribute) => {
                let mut measure = Measure { time: None, values: BTreeMap::new(), points: BTreeMap::new() };
                add(&mut measure, attribute, text.trim())?;
                write(vec![measure], out)
            }
            Place::Measures => {
                let groups = text.split('#').filter(|g| !g.trim().is_empty());
                write(groups.enumerate().map(|(i, group)| measure(i, group)).collect::<Result<Vec<_>, _>>()?, out)
            }
        }
    }
}

/// `k|v|k|v`, with a time before it when the number of parts is odd.
fn measure(i: usize, group: &str) -> Result<Measure<&str>, Reject> {
    let mut parts = group.trim().split('|');
    let odd = group.matches('|').count().is_multiple_of(2);
    let time = if odd { parts.next() } else { None };
    if time.is_some_and(|t| !t.contains('T')) {
        let rule =
            format!("group {i} '{}' has an odd number of parts and does not start with a time; write key|value|key|value", cut(group, 60));
        return fail("UltraLight 2.0", rule);
    }
    let mut measure = Measure { time, values: BTreeMap::new(), points: BTreeMap::new() };
    while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
        add(&mut measure, key, value)?;
    }
    if measure.values.is_empty() {
        return fail("UltraLight 2.0", format!("group {i} has a time and no value"));
    }
    Ok(measure)
}

fn add<'v>(measure: &mut Measure<&'v str>, key: &str, value: &'v str) -> Result<(), Reject> {
    if key.is_empty() {
        return fail("UltraLight 2.0", "a key is empty");
    }
    if let Some((a, b)) = value.split_once('/')
        && let (Ok(a), Ok(b)) = (a.trim().parse::<f64>(), b.trim().parse::<f64>())
        && a.is_finite()
        && b.is_finite()
    {
        measure.points.insert(key.to_owned(), [a, b]);
    }
    if measure.values.insert(key.to_owned(), value).is_some() {
        let rule = format!("'{}' stands twice in one group; separate groups with '#'", cut(key, 60));
        return Err(Reject::field(Reason::DuplicateKey, key, rule));
    }
    if measure.values.len() > ATTRIBUTES_MAX {
        return Err(Reject::new(Reason::TooLarge, format!("more than {ATTRIBUTES_MAX} attributes in one measure; split it")));
    }
    Ok(())
}

type Attributes<'a> = BTreeMap<String, &'a RawValue>;

impl Format for Json {
    fn translate(&self, message: Incoming<'_>, out: &mut Vec<u8>) -> Result<Translated, Reject> {
        let broken = |e: serde_json::Error| Reject::new(Reason::NotJson, format!("not measures of the JSON IoT Agent: {e}"));
        match place(message.topic) {
            Place::Command => Ok(Translated::Nothing),
            Place::Attribute(attribute) => {
                let value: &RawValue = serde_json::from_slice(message.payload).map_err(broken)?;
                write(vec![measure_of(Attributes::from([(attribute.to_owned(), value)]))?], out)
            }
            Place::Measures => {
                let list = message.payload.trim_ascii_start().starts_with(b"[");
                let measures: Vec<Attributes<'_>> = if list {
                    serde_json::from_slice(message.payload).map_err(broken)?
                } else {
                    vec![serde_json::from_slice(message.payload).map_err(broken)?]
                };
                write(measures.into_iter().map(measure_of).collect::<Result<Vec<_>, _>>()?, out)
            }
        }
    }
}

fn measure_of(mut values: Attributes<'_>) -> Result<Measure<&RawValue>, Reject> {
    let time = values.remove("TimeInstant");
    if values.len() > ATTRIBUTES_MAX {
        return Err(Reject::new(Reason::TooLarge, format!("more than {ATTRIBUTES_MAX} attributes in one measure; split it")));
    }
    Ok(Measure { time, values, points: BTreeMap::new() })
}

#[cfg(test)]
mod tests;
