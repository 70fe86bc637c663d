//! Tasmota telemetry, `tele/{topic}/SENSOR`: a JSON object with `Time`, scalars, and one object per sensor.
//!
//! Written as `{"time"?, "top": {scalars}, "sensors": [{"name": "AM2301", "values": {…}}]}`. A device with one sensor needs no format:
//! plain pointers (`/AM2301/Temperature`) do. This is for devices whose sensors are entities of their own: `each = "/sensors"`.
//!
//! Traps: `Time` is local time without a zone (`{ pointer = "^/time", format = "local", zone = "Europe/Rome" }`); in the hour that
//! autumn repeats, the first pass is meant by mistake for half of the messages, so set the device to UTC (`Timezone 0`);
//! `TempUnit` may be `F` (choose with `when = { "/top/TempUnit" = "C" }`). `STATE`, `LWT` and `INFOn` hold no observations: `drop` them.

use super::{Format, Incoming, Translated};
use crate::decode::reject::{Reason, Reject};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

#[derive(Debug)]
pub(super) struct Tasmota;

#[derive(Debug, Serialize)]
struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<&'a RawValue>,
    top: BTreeMap<&'a str, &'a RawValue>,
    sensors: Vec<Sensor<'a>>,
}

#[derive(Debug, Serialize)]
struct Sensor<'a> {
    name: &'a str,
    values: &'a RawValue,
}

impl Format for Tasmota {
    fn translate(&self, message: Incoming<'_>, out: &mut Vec<u8>) -> Result<Translated, Reject> {
        let broken = |e: serde_json::Error| Reject::new(Reason::NotJson, format!("not Tasmota telemetry: {e}; it is one JSON object"));
        let all: BTreeMap<String, &RawValue> = serde_json::from_slice(message.payload).map_err(broken)?;
        let mut document = Document { time: None, top: BTreeMap::new(), sensors: Vec::new() };
        for (key, &value) in &all {
            match (key.as_str(), value.get().as_bytes().first()) {
                ("Time", _) => document.time = Some(value),
                (name, Some(b'{')) => document.sensors.push(Sensor { name, values: value }),
                (name, _) => drop(document.top.insert(name, value)),
            }
        }
        serde_json::to_writer(out, &document).map_err(broken)?;
        Ok(Translated::Document)
    }
}

#[cfg(test)]
mod tests;
