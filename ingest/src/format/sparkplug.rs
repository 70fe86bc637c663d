//! Sparkplug B 3.0: `spBv1.0/{group}/{type}/{edge node}[/{device}]` with protobuf payloads; births, aliases, sequence numbers, deaths.
//!
//! Births and data are written as `{"group", "edge", "device"?, "type", "gap", "observations": [{"time"?, "historical", "values": {…}}]}`,
//! one observation per timestamp (milliseconds of the epoch), names of metrics resolved; `gap` is the number of messages of the edge node
//! that are missing before this one. Map with `each = "/observations"` and `observed_at = { pointer = "/time", format = "epoch_ms" }`.
//!
//! What is kept, bounded and per tenant: of each edge node its aliases, data types, sequence number and whether it lives. A birth replaces
//! it; a death (of the same `bdSeq`, tck-id-payloads-ndeath-bdseq) marks the node or device stale, and data of a stale or unknown one
//! are quarantined as `no_birth`, because their aliases may mean something else now. Births are not retained, so after a start of
//! Portico every node of a followed broker needs a rebirth; nodes connected to the embedded broker give birth when they connect again.
//!
//! Traps: signed integers travel in unsigned fields as two's complement; a 32-bit float is written with its shortest decimal, so 21.3 stays
//! 21.3; null metrics are null, which is absent; `bdSeq`, `Node Control/…` and `Device Control/…` are not values of the city; templates,
//! data sets and bytes are left out.

mod payload;
mod state;

use super::{Format, Incoming, Translated};
use crate::decode::reject::{Reason, Reject, cut};
use parking_lot::Mutex;
use payload::{Metric, Payload};
use prost::Message as _;
use schemas::Tenant;
use serde_json::{Map, Value, json};
use state::{Nodes, Scope};
use std::{collections::HashMap, sync::Arc};

/// Metrics of one message.
const METRICS_MAX: usize = 20_000;

#[derive(Debug, Default)]
pub(super) struct SparkplugB {
    tenants: Mutex<HashMap<Tenant, Nodes>>,
}

/// A metric whose name and type are known.
#[derive(Debug)]
pub(super) struct Named {
    name: Arc<str>,
    datatype: u32,
    metric: Metric,
}

#[cold]
fn fail<T>(rule: impl std::fmt::Display) -> Result<T, Reject> {
    Err(Reject::new(Reason::NotFormat, format!("not Sparkplug B: {rule}")))
}

impl Format for SparkplugB {
    fn translate(&self, message: Incoming<'_>, out: &mut Vec<u8>) -> Result<Translated, Reject> {
        let levels: Vec<&str> = message.topic.split('/').collect();
        let (group, kind, edge, device) = match levels.as_slice() {
            // The state of a host application says nothing of the city; commands go the other way.
            [_, "STATE", ..] | [_, _, "NCMD" | "DCMD" | "STATE", ..] => return Ok(Translated::Nothing),
            [_, group, kind @ ("NBIRTH" | "NDATA" | "NDEATH"), edge] => (*group, *kind, *edge, None),
            [_, group, kind @ ("DBIRTH" | "DDATA" | "DDEATH"), edge, device] => (*group, *kind, *edge, Some(*device)),
            _ => {
                let topic = cut(message.topic, 120);
                return fail(format_args!("the topic '{topic}' is not spBv1.0/<group>/<NBIRTH|NDATA|…>/<edge node>[/<device>]"));
            }
        };
        let payload = Payload::decode(message.payload).or_else(|e| fail(format_args!("the payload is not its protobuf: {e}")))?;
        if payload.metrics.len() > METRICS_MAX {
            let n = payload.metrics.len();
            return Err(Reject::new(Reason::TooLarge, format!("{n} metrics in one message; at most {METRICS_MAX} are read")));
        }
        let sent_at = payload.timestamp;
        let scope = Scope { group, edge, device };
        let mut tenants = self.tenants.lock();
        let nodes = tenants.entry(message.tenant.clone()).or_default();
        let (gap, metrics) = match kind {
            "NBIRTH" => (0, nodes.birth(scope, payload)?),
            "DBIRTH" => nodes.device_birth(scope, payload)?,
            "NDEATH" => {
                nodes.death(scope, &payload);
                return Ok(Translated::Nothing);
            }
            "DDEATH" => {
                nodes.device_death(scope, &payload);
                return Ok(Translated::Nothing);
            }
            _ => nodes.data(scope, payload)?,
        };
        drop(tenants);
        if gap > 0 {
            tracing::warn!(tenant = %message.tenant, group, edge, gap, "Sparkplug messages are missing");
        }
        let observations = observations(metrics, sent_at)?;
        if observations.is_empty() {
            return Ok(Translated::Nothing);
        }
        let mut document = json!({ "group": group, "edge": edge, "type": kind, "gap": gap, "observations": observations });
        if let Some(device) = device {
            document["device"] = device.into();
        }
        serde_json::to_writer(out, &document).or_else(fail)?;
        Ok(Translated::Document)
    }
}

fn is_control(name: &str) -> bool {
    name == "bdSeq" || name.starts_with("Node Control/") || name.starts_with("Device Control/") || name.starts_with("Node Info/")
}

/// One object per timestamp; a metric that stands twice at one instant begins another.
fn observations(metrics: Vec<Named>, sent_at: Option<u64>) -> Result<Vec<Value>, Reject> {
    let mut out: Vec<(Option<u64>, bool, Map<String, Value>)> = Vec::new();
    let mut newest: HashMap<(Option<u64>, bool), usize> = HashMap::new();
    for Named { name, datatype, metric } in metrics {
        if is_control(&name) {
            continue;
        }
        let Some(value) =
            metric.read(datatype).map_err(|rule| Reject::field(Reason::WrongType, &name, format!("'{}' {rule}", cut(&name, 60))))?
        else {
            continue;
        };
        let key = (metric.timestamp.or(sent_at), metric.is_historical.unwrap_or(false));
        let at = match newest.get(&key) {
            Some(at) if !out[*at].2.contains_key(&*name) => *at,
            _ => {
                out.push((key.0, key.1, Map::new()));
                newest.insert(key, out.len() - 1);
                out.len() - 1
            }
        };
        out[at].2.insert(name.to_string(), value);
    }
    let object = |(time, historical, values): (Option<u64>, bool, Map<String, Value>)| {
        let mut object = json!({ "historical": historical, "values": values });
        if let Some(time) = time {
            object["time"] = time.into();
        }
        object
    };
    Ok(out.into_iter().map(object).collect())
}

#[cfg(test)]
mod tests;
