//! One entity of NGSI-LD (ETSI GS CIM 009), normalized, concise or simplified, as `entityOperations/upsert` takes them.
//!
//! Written as `{"id", "type", "location"?: [lon, lat], "static": {…}, "observations": [{"time"?, "values": {…}, "units": {…}}]}`: one observation per
//! `observedAt` of the attributes (clause 4.8). Attributes without a time are `static` when others have one; when none has, they are one
//! observation without a time, and the mapping says whether the receipt counts: `observed_at = { pointer = "/time", or = "receipt" }`.
//!
//! Traps: names are taken as they are written, `@context` is not expanded; of an attribute with several `datasetId` the default instance
//! counts; a relationship is its `object`; a `GeoProperty` other than a point has no place in a row and is left out.

use super::{Format, Incoming, Translated};
use crate::decode::reject::{Reason, Reject, cut};
use serde_json::{Map, Value, json};

/// Attributes of one entity.
const ATTRIBUTES_MAX: usize = 500;
/// Members of an entity that are no attributes.
const MEMBERS: [&str; 6] = ["id", "type", "@context", "scope", "createdAt", "modifiedAt"];

#[derive(Debug)]
pub(super) struct NgsiLd;

type Object = Map<String, Value>;

/// What one attribute says.
#[derive(Debug, Default)]
struct Read {
    value: Option<Value>,
    point: Option<Value>,
    time: Option<String>,
    unit: Option<Value>,
}

impl Format for NgsiLd {
    fn translate(&self, message: Incoming<'_>, out: &mut Vec<u8>) -> Result<Translated, Reject> {
        let broken = |e: serde_json::Error| Reject::new(Reason::NotJson, format!("not an entity of NGSI-LD: {e}"));
        let mut entity: Map<String, Value> = serde_json::from_slice(message.payload).map_err(broken)?;
        for member in ["id", "type"] {
            if !entity.contains_key(member) {
                return Err(Reject::field(Reason::MissingField, member, format!("an entity of NGSI-LD needs '{member}'")));
            }
        }
        if entity.len() > ATTRIBUTES_MAX {
            return Err(Reject::new(Reason::TooLarge, format!("more than {ATTRIBUTES_MAX} attributes in one entity")));
        }
        let mut document = json!({ "id": entity["id"].take(), "type": entity["type"].take() });
        let mut timed: Vec<(String, Object, Object)> = Vec::new();
        let (mut untimed, mut units) = (Map::new(), Map::new());
        for (name, attribute) in entity.into_iter().filter(|(name, _)| !MEMBERS.contains(&name.as_str())) {
            let read = attribute_of(&name, attribute)?;
            if let Some(point) = read.point {
                if name == "location" {
                    document["location"] = point;
                }
                continue;
            }
            let Some(value) = read.value else { continue };
            let (values, of_units) = match read.time {
                None => (&mut untimed, &mut units),
                Some(time) => {
                    let at = timed.iter().position(|(t, ..)| *t == time).unwrap_or_else(|| {
                        timed.push((time, Map::new(), Map::new()));
                        timed.len() - 1
                    });
                    let (_, values, units) = &mut timed[at];
                    (values, units)
                }
            };
            of_units.extend(read.unit.map(|unit| (name.clone(), unit)));
            values.insert(name, value);
        }
        let observations: Vec<Value> = if timed.is_empty() {
            vec![json!({ "values": untimed, "units": units })]
        } else {
            document["static"] = Value::Object(untimed);
            timed.into_iter().map(|(time, values, units)| json!({ "time": time, "values": values, "units": units })).collect()
        };
        document["observations"] = Value::Array(observations);
        serde_json::to_writer(out, &document).map_err(broken)?;
        Ok(Translated::Document)
    }
}

fn attribute_of(name: &str, attribute: Value) -> Result<Read, Reject> {
    match attribute {
        Value::Object(object) => instance(name, object),
        Value::Array(list) if list.iter().all(|i| i.get("datasetId").is_some() || i.get("value").is_some()) && !list.is_empty() => {
            let default = list.into_iter().find(|i| i.get("datasetId").is_none());
            match default {
                Some(Value::Object(object)) => instance(name, object),
                _ => Ok(Read::default()),
            }
        }
        // Simplified.
        other => Ok(Read { value: Some(other), ..Read::default() }),
    }
}

fn instance(name: &str, mut object: Map<String, Value>) -> Result<Read, Reject> {
    let time = match object.remove("observedAt") {
        None => None,
        Some(Value::String(time)) => Some(time),
        Some(other) => {
            let message = format!("'observedAt' of '{}' is {}; write it as RFC 3339 in UTC", cut(name, 60), cut(&other.to_string(), 40));
            return Err(Reject::field(Reason::BadTime, name, message));
        }
    };
    let value = object.remove("value").or_else(|| object.remove("object"));
    let value = match value {
        // A geometry itself (concise), or a value that is a map (simplified).
        None => Value::Object(std::mem::take(&mut object)),
        // A typed literal: `{"@type": "DateTime", "@value": "…"}`.
        Some(Value::Object(mut typed)) if typed.contains_key("@value") => typed["@value"].take(),
        Some(value) => value,
    };
    let mut read = Read { time, unit: object.remove("unitCode"), ..Read::default() };
    if value.get("coordinates").is_some() {
        let at = &value["coordinates"];
        let point = value["type"] == "Point" && at[0].is_number() && at[1].is_number();
        read.point = Some(if point { json!([at[0], at[1]]) } else { Value::Null });
    } else {
        read.value = Some(value);
    }
    Ok(read)
}

#[cfg(test)]
mod tests;
