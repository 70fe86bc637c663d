//! OGC SensorThings API 1.1 observations: over MQTT (18-088, clause 14: `v1.1/Datastreams(1)/Observations`) and as the body of
//! `Observations` and `CreateObservations` over HTTP (clauses 10 and 13).
//!
//! Written as `{"datastream"?, "observations": [{"datastream", "time"?, "end"?, "result_time"?, "result", "quality"?, "parameters"?}]}`;
//! the outer `datastream` stands when all have the same, so that `when = { "/datastream" = "7" }` can choose. An interval of
//! `phenomenonTime` becomes `time` and `end`. Data arrays are spread into their rows.
//!
//! Traps: `phenomenonTime` may be absent, and the standard then takes the time of the server: say so in the mapping with
//! `observed_at = { pointer = "/time", or = "receipt" }`; `result` may be anything in JSON; identifiers may be numbers or texts.

use super::{Format, Incoming, Translated};
use crate::decode::reject::{Reason, Reject, cut};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Observations of one message.
const OBSERVATIONS_MAX: usize = 10_000;
const COMPONENTS_MAX: usize = 32;

#[derive(Debug)]
pub(super) struct SensorThings;

#[derive(Debug, Default, Deserialize)]
struct Link {
    #[serde(rename = "@iot.id")]
    id: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct DataArray<'a> {
    #[serde(rename = "Datastream", default)]
    datastream: Link,
    components: Vec<String>,
    #[serde(rename = "dataArray", borrow)]
    rows: Vec<Vec<&'a RawValue>>,
}

#[derive(Debug, Default, Serialize)]
struct Observation<'a> {
    datastream: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_time: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a RawValue>,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    datastream: Option<String>,
    observations: Vec<Observation<'a>>,
}

fn broken(e: &serde_json::Error) -> Reject {
    Reject::new(Reason::NotJson, format!("not an Observation of SensorThings: {e}"))
}

impl Format for SensorThings {
    fn translate(&self, message: Incoming<'_>, out: &mut Vec<u8>) -> Result<Translated, Reject> {
        let of_topic = datastream_of(message.topic);
        let list = message.payload.trim_ascii_start().starts_with(b"[");
        let observations = if list || message.topic.ends_with("CreateObservations") {
            arrays(message.payload, list)?
        } else {
            vec![single(message.payload, of_topic.as_deref())?]
        };
        let Some(first) = observations.first() else { return Ok(Translated::Nothing) };
        let same = observations.iter().all(|o| o.datastream == first.datastream);
        let document = Document { datastream: same.then(|| first.datastream.clone()), observations };
        serde_json::to_writer(out, &document).map_err(|e| broken(&e))?;
        Ok(Translated::Document)
    }
}

/// The identifier in `…/Datastreams(1)/…` or `…/Datastreams('a')/…`.
fn datastream_of(topic: &str) -> Option<String> {
    let level = topic.split('/').rev().find_map(|level| level.strip_prefix("Datastreams(")?.strip_suffix(')'))?;
    Some(level.strip_prefix('\'').and_then(|l| l.strip_suffix('\'')).unwrap_or(level).to_owned())
}

fn identifier(link: Option<Link>) -> Option<String> {
    match link?.id? {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn no_datastream() -> Reject {
    let message =
        "the Observation names no Datastream; publish to v1.1/Datastreams(<id>)/Observations, or send \"Datastream\": {\"@iot.id\": <id>}";
    Reject::field(Reason::MissingField, "Datastream", message)
}

fn single<'a>(payload: &'a [u8], of_topic: Option<&str>) -> Result<Observation<'a>, Reject> {
    let mut members: BTreeMap<String, &'a RawValue> = serde_json::from_slice(payload).map_err(|e| broken(&e))?;
    let link = members.remove("Datastream").map(|l| serde_json::from_str(l.get())).transpose().map_err(|e| broken(&e))?;
    let datastream = identifier(link).or_else(|| of_topic.map(str::to_owned)).ok_or_else(no_datastream)?;
    let mut observation = Observation { datastream, ..Observation::default() };
    for (name, value) in members {
        put(&mut observation, &name, value)?;
    }
    Ok(observation)
}

fn arrays(payload: &[u8], list: bool) -> Result<Vec<Observation<'_>>, Reject> {
    let arrays: Vec<DataArray<'_>> = if list {
        serde_json::from_slice(payload).map_err(|e| broken(&e))?
    } else {
        vec![serde_json::from_slice(payload).map_err(|e| broken(&e))?]
    };
    let mut out = Vec::new();
    for array in arrays {
        let datastream = identifier(Some(array.datastream)).ok_or_else(no_datastream)?;
        if array.components.len() > COMPONENTS_MAX {
            return Err(Reject::field(Reason::TooLarge, "components", format!("more than {COMPONENTS_MAX} components")));
        }
        for (i, row) in array.rows.into_iter().enumerate() {
            if row.len() != array.components.len() {
                let message = format!("row {i} of 'dataArray' has {} values for {} components", row.len(), array.components.len());
                return Err(Reject::field(Reason::WrongType, "dataArray", message));
            }
            let mut observation = Observation { datastream: datastream.clone(), ..Observation::default() };
            for (name, value) in array.components.iter().zip(row) {
                put(&mut observation, name, value)?;
            }
            out.push(observation);
            if out.len() > OBSERVATIONS_MAX {
                return Err(Reject::new(Reason::TooLarge, format!("more than {OBSERVATIONS_MAX} observations in one message; split it")));
            }
        }
    }
    Ok(out)
}

fn put<'a>(observation: &mut Observation<'a>, name: &str, value: &'a RawValue) -> Result<(), Reject> {
    if value.get() == "null" {
        return Ok(());
    }
    match name {
        "phenomenonTime" => {
            let wrong = || {
                let message = format!("'phenomenonTime' is {}; write an instant of ISO 8601 or start/end", cut(value.get(), 60));
                Reject::field(Reason::BadTime, "phenomenonTime", message)
            };
            let text: String = serde_json::from_str(value.get()).map_err(|_| wrong())?;
            let (time, end) = text.split_once('/').map_or((text.as_str(), None), |(start, end)| (start, Some(end.to_owned())));
            (observation.time, observation.end) = (Some(time.to_owned()), end);
        }
        "resultTime" => observation.result_time = Some(value),
        "result" => observation.result = Some(value),
        "resultQuality" => observation.quality = Some(value),
        "parameters" => observation.parameters = Some(value),
        // Links and members that the standard may add say nothing about the value.
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests;
