//! Homie 5: `homie/5/{device}/{node}/{property}` with the value as text, `$state`, and the JSON of `$description`, all retained.
//!
//! A value is written as `{"device", "node", "property", "value", "datatype"?, "unit"?, "state"?}`. Its type and unit are those of the
//! device's description, which is kept (bounded, per tenant). Retained messages come in any order, so a value may be here before its
//! description: then a JSON number or `true`/`false` is taken as such and everything else is a text.
//!
//! Traps: a value has no time, so map `observed_at = "receipt"`; brokers deliver retained values again when Portico connects to them, and
//! each of those is another row; an empty payload takes the property away and is left out, while a text that is empty is a 0x00 byte;
//! `set` (commands), `$target`, `$log`, `$alert` and `$broadcast` are no observations.

use super::{Format, Incoming, Translated};
use crate::decode::reject::{Reason, Reject, cut};
use parking_lot::Mutex;
use schemas::Tenant;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Devices of one tenant whose description is kept; beyond, values are read without one.
const DEVICES_MAX: usize = 10_000;
/// Properties of one device.
const PROPERTIES_MAX: usize = 1_000;
/// Properties of one tenant.
const PROPERTIES_TOTAL_MAX: usize = 200_000;

#[derive(Debug, Default)]
pub(super) struct Homie {
    tenants: Mutex<HashMap<Tenant, Devices>>,
}

#[derive(Debug, Default)]
struct Devices {
    by_id: HashMap<Box<str>, Device>,
    n_properties: usize,
}

#[derive(Debug, Default)]
struct Device {
    state: Option<&'static str>,
    /// By `node/property`.
    properties: Arc<HashMap<String, Property>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Property {
    datatype: String,
    unit: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Description {
    #[serde(default)]
    nodes: BTreeMap<String, Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    #[serde(default)]
    properties: BTreeMap<String, Property>,
}

const STATES: [&str; 5] = ["init", "ready", "disconnected", "sleeping", "lost"];

impl Format for Homie {
    fn translate(&self, message: Incoming<'_>, out: &mut Vec<u8>) -> Result<Translated, Reject> {
        let levels: Vec<&str> = message.topic.split('/').collect();
        let Some(at) = levels.iter().position(|l| *l == "5").filter(|at| *at > 0) else {
            let rule = format!("'{}' is not a topic of Homie 5; it is <domain>/5/<device>/<node>/<property>", cut(message.topic, 120));
            return Err(Reject::new(Reason::NotFormat, rule));
        };
        match levels[at + 1..] {
            [device, "$state"] => self.state(message.tenant, device, message.payload),
            [device, "$description"] => self.describe(message.tenant, device, message.payload),
            [device, node, property] if !message.payload.is_empty() && !device.starts_with('$') && !node.starts_with('$') => {
                let value = self.value(message.tenant, (device, node, property), message.payload)?;
                serde_json::to_writer(out, &value).map_err(|e| Reject::new(Reason::NotFormat, e.to_string()))?;
                Ok(Translated::Document)
            }
            _ => Ok(Translated::Nothing),
        }
    }
}

impl Homie {
    fn state(&self, tenant: &Tenant, device: &str, payload: &[u8]) -> Result<Translated, Reject> {
        let state = STATES.into_iter().find(|s| s.as_bytes() == payload);
        if state.is_none() && !payload.is_empty() {
            let text = String::from_utf8_lossy(payload);
            let message = format!("'$state' is '{}'; Homie 5 knows {}", cut(&text, 40), STATES.join(", "));
            return Err(Reject::field(Reason::OutOfRange, "$state", message));
        }
        let mut tenants = self.tenants.lock();
        let devices = tenants.entry(tenant.clone()).or_default();
        if payload.is_empty() {
            // The device was taken away.
            let gone = devices.by_id.remove(device).unwrap_or_default();
            devices.n_properties -= gone.properties.len();
        } else if devices.by_id.len() < DEVICES_MAX || devices.by_id.contains_key(device) {
            devices.by_id.entry(device.into()).or_default().state = state;
        }
        Ok(Translated::Nothing)
    }

    fn describe(&self, tenant: &Tenant, device: &str, payload: &[u8]) -> Result<Translated, Reject> {
        let mut properties = HashMap::new();
        if !payload.is_empty() {
            let description: Description = serde_json::from_slice(payload)
                .map_err(|e| Reject::field(Reason::NotJson, "$description", format!("'$description' is not that of Homie 5: {e}")))?;
            for (node, Node { properties: of_node }) in description.nodes {
                properties.extend(of_node.into_iter().map(|(name, property)| (format!("{node}/{name}"), property)));
            }
        }
        let too_many = |what: &str, max: usize| {
            let message = format!("more than {max} {what}; its values are read without a description");
            Reject::field(Reason::TooLarge, "$description", message)
        };
        if properties.len() > PROPERTIES_MAX {
            return Err(too_many("properties in one device", PROPERTIES_MAX));
        }
        let mut tenants = self.tenants.lock();
        let devices = tenants.entry(tenant.clone()).or_default();
        let before = devices.by_id.get(device).map_or(0, |d| d.properties.len());
        let total = devices.n_properties - before + properties.len();
        if devices.by_id.len() >= DEVICES_MAX && !devices.by_id.contains_key(device) {
            return Err(too_many("devices", DEVICES_MAX));
        }
        if total > PROPERTIES_TOTAL_MAX {
            return Err(too_many("properties in all", PROPERTIES_TOTAL_MAX));
        }
        devices.n_properties = total;
        devices.by_id.entry(device.into()).or_default().properties = Arc::new(properties);
        Ok(Translated::Nothing)
    }

    fn value(&self, tenant: &Tenant, (device, node, property): (&str, &str, &str), payload: &[u8]) -> Result<Value, Reject> {
        let (state, properties) = {
            let tenants = self.tenants.lock();
            let known = tenants.get(tenant).and_then(|d| d.by_id.get(device));
            known.map_or((None, None), |d| (d.state, Some(Arc::clone(&d.properties))))
        };
        let described = properties.as_ref().and_then(|p| p.get(&format!("{node}/{property}")));
        let wrong = |rule: &str| Reject::field(Reason::WrongType, property, format!("'{property}' {rule}"));
        // A text that is empty is a 0x00 byte, because an empty payload deletes.
        let text = std::str::from_utf8(if payload == [0] { b"" } else { payload }).map_err(|_| wrong("is not UTF-8"))?;
        let value = match described {
            None => guess(text),
            Some(p) => {
                typed(&p.datatype, text).ok_or_else(|| wrong(&format!("is '{}', which is no {}", cut(text, 40), cut(&p.datatype, 40))))?
            }
        };
        let mut out = Map::new();
        for (key, text) in [("device", device), ("node", node), ("property", property)] {
            out.insert(key.into(), text.into());
        }
        out.insert("value".into(), value);
        if let Some(p) = described {
            out.insert("datatype".into(), p.datatype.clone().into());
            out.extend(p.unit.clone().map(|unit| ("unit".to_owned(), unit.into())));
        }
        out.extend(state.map(|state| ("state".to_owned(), state.into())));
        Ok(Value::Object(out))
    }
}

/// The value by its datatype; types of other versions of the convention are texts.
fn typed(datatype: &str, text: &str) -> Option<Value> {
    match datatype {
        "integer" => text.parse::<i64>().ok().map(Into::into),
        "float" => text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number),
        "boolean" => match text {
            "true" => Some(true.into()),
            "false" => Some(false.into()),
            _ => None,
        },
        "json" => serde_json::from_str(text).ok(),
        _ => Some(text.into()),
    }
}

fn guess(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests;
