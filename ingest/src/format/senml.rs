//! SenML in JSON (RFC 8428): a list of records with base fields. Written as one document per pack:
//! `{"records": [{"name", "time", "unit", "v" | "vs" | "vb" | "vd", "sum"}]}`, base fields resolved (section 4.6), times in
//! seconds of the epoch. `by_time` holds the same values one object per instant and device: `{"device", "time", "values": {…}}`.

use super::{Format, Incoming, Translated};
use crate::decode::reject::{Reason, Reject};
use schemas::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Number, Value, json};
use std::collections::HashMap;

/// Times below this are relative to now (RFC 8428, section 4.5.3).
const ABSOLUTE_FROM: f64 = 268_435_456.0;
/// Version of base fields that this reads (section 4.4).
const VERSION: f64 = 10.0;

#[derive(Debug)]
pub(super) struct SenMl;

#[derive(Debug, Default, Deserialize)]
struct Record {
    bn: Option<String>,
    bt: Option<f64>,
    bu: Option<String>,
    bv: Option<f64>,
    bs: Option<f64>,
    bver: Option<f64>,
    n: Option<String>,
    u: Option<String>,
    v: Option<f64>,
    vs: Option<String>,
    vb: Option<bool>,
    vd: Option<String>,
    s: Option<f64>,
    t: Option<f64>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// Base fields as they stand at a record; each holds until the next that replaces it.
#[derive(Debug, Default)]
struct Base {
    name: String,
    time: f64,
    unit: Option<String>,
    value: f64,
    sum: f64,
}

impl Format for SenMl {
    fn translate(&self, message: Incoming<'_>, out: &mut Vec<u8>) -> Result<Translated, Reject> {
        let pack: Vec<Record> = serde_json::from_slice(message.payload)
            .map_err(|e| Reject::new(Reason::NotJson, format!("not a SenML pack: {e}; send a JSON list of records (RFC 8428)")))?;
        if pack.is_empty() {
            return Ok(Translated::Nothing);
        }
        let mut base = Base::default();
        let mut records = Vec::with_capacity(pack.len());
        for (i, record) in pack.into_iter().enumerate() {
            records.extend(resolve(i, record, &mut base, message.received_at)?);
        }
        let document = json!({ "by_time": by_time(&records), "records": records });
        serde_json::to_writer(out, &document).map_err(|e| Reject::new(Reason::NotJson, e.to_string()))?;
        Ok(Translated::Document)
    }
}

/// The record with its base fields resolved; `None` when it only sets them.
fn resolve(i: usize, record: Record, base: &mut Base, received_at: Timestamp) -> Result<Option<Value>, Reject> {
    let fail = |field: &str, rule: String| Reject::field(Reason::WrongType, field, format!("record {i}: {rule}"));
    if let Some(key) = record.others.keys().find(|k| k.ends_with('_')) {
        return Err(fail(key, format!("'{key}' must be understood (RFC 8428, section 4.4) and is not known here")));
    }
    if record.bver.is_some_and(|v| v > VERSION) {
        return Err(fail("bver", format!("version {VERSION} is read here")));
    }
    base.name = record.bn.unwrap_or(std::mem::take(&mut base.name));
    base.time = record.bt.unwrap_or(base.time);
    base.unit = record.bu.or(base.unit.take());
    base.value = record.bv.unwrap_or(base.value);
    base.sum = record.bs.unwrap_or(base.sum);
    let name = format!("{}{}", base.name, record.n.unwrap_or_default());
    let mut resolved = Map::new();
    let kinds = [record.v.is_some(), record.vs.is_some(), record.vb.is_some(), record.vd.is_some()];
    match kinds.into_iter().filter(|k| *k).count() {
        0 if record.s.is_none() => return Ok(None),
        0 | 1 => {}
        _ => return Err(fail("v", "has more than one of v, vs, vb and vd".into())),
    }
    if !name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()) {
        return Err(fail("n", format!("the name '{name}' must begin with a letter or a digit (section 4.5.1)")));
    }
    let number = |v: f64| Number::from_f64(v).map(Value::Number);
    let values = [
        ("v", record.v.and_then(|v| number(v + base.value))),
        ("vs", record.vs.map(Value::String)),
        ("vb", record.vb.map(Value::Bool)),
        ("vd", record.vd.map(Value::String)),
        ("sum", record.s.and_then(|s| number(s + base.sum))),
        ("unit", record.u.or_else(|| base.unit.clone()).map(Value::String)),
        ("time", number(absolute(base.time + record.t.unwrap_or(0.0), received_at))),
    ];
    resolved.extend(values.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?))));
    resolved.insert("name".into(), Value::String(name));
    Ok(Some(Value::Object(resolved)))
}

/// Relative times count from the receipt.
fn absolute(time: f64, received_at: Timestamp) -> f64 {
    if time < ABSOLUTE_FROM { time + received_at.micros() as f64 / 1e6 } else { time }
}

/// A device is the part of the name before the last `:` or `/`, and the rest names the value.
fn by_time(records: &[Value]) -> Vec<Value> {
    let mut out: Vec<(String, f64, Map<String, Value>)> = Vec::new();
    // The newest object of each device and instant, so that a long pack stays linear.
    let mut newest: HashMap<(String, u64), usize> = HashMap::new();
    for record in records {
        let name = record["name"].as_str().unwrap_or_default();
        let (device, key) = name.rsplit_once([':', '/']).unwrap_or(("", name));
        let time = record["time"].as_f64().unwrap_or_default();
        let value = ["v", "vs", "vb", "vd", "sum"].into_iter().find_map(|k| record.get(k)).cloned().unwrap_or(Value::Null);
        let place = (device.to_owned(), time.to_bits());
        match newest.get(&place) {
            Some(at) if !out[*at].2.contains_key(key) => drop(out[*at].2.insert(key.to_owned(), value)),
            _ => {
                newest.insert(place, out.len());
                out.push((device.to_owned(), time, Map::from_iter([(key.to_owned(), value)])));
            }
        }
    }
    out.into_iter().map(|(device, time, values)| json!({ "device": device, "time": time, "values": values })).collect()
}

#[cfg(test)]
mod tests;
