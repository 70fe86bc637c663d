//! The JSON document of one verified uplink, which mappings read:
//!
//! ```json
//! {"device": {"eui": "0202020202020202", "name": "bin 12", "dev_addr": "01020304"},
//!  "time": "2024-03-03T08:00:00.5Z", "f_port": 1, "f_cnt": 65536, "data": "01ff", "confirmed": false, "adr": true,
//!  "frequency": 868100000, "dr": 5, "spreading_factor": 7, "bandwidth": 125000,
//!  "rx": [{"gateway_id": "aa555a0000000101", "rssi": -35.0, "snr": 5.1, "channel": 2, "time": "…",
//!          "position": {"lat": 46.24, "lon": 3.2523, "alt": 145.0}}],
//!  "best_gateway": "aa555a0000000101", "dedup_id": "0202020202020202-1-65536"}
//! ```
//!
//! `rx` has one element for each gateway, best first. What no gateway said is absent. `time` is the earliest time of a gateway whose
//! clock can be right, else the time of receipt. `dedup_id` names the frame for good: device, session, counter.

use super::{
    device::Device,
    frame::DataUp,
    gather::Heard,
    radio::{Modulation, Reception},
    text::hex,
};
use schemas::Timestamp;
use serde_json::{Map, Value, json};

/// A gateway that was cut off may tell of a frame this much later; its clock may be ahead this much.
const BEHIND_MAX_US: i64 = 24 * schemas::time::HOUR_US;
const AHEAD_MAX_US: i64 = 60_000_000;

/// What the document is made of.
#[derive(Debug)]
pub(super) struct Uplink<'a> {
    pub(super) heard: &'a Heard,
    pub(super) data: &'a DataUp,
    pub(super) device: &'a Device,
    pub(super) session: u32,
    pub(super) f_cnt: u32,
    pub(super) f_port: u8,
    pub(super) plain: &'a [u8],
}

impl Uplink<'_> {
    pub(super) fn json(&self) -> Vec<u8> {
        let (heard, device) = (self.heard, self.device);
        let radio = heard.receptions.first();
        let modulation = radio.and_then(|r| r.modulation);
        let lora = match modulation {
            Some(Modulation::Lora { spreading_factor, bandwidth_hz }) => Some((spreading_factor, bandwidth_hz)),
            _ => None,
        };
        let mut named = json!({ "eui": device.dev_eui, "dev_addr": format!("{:08x}", self.data.dev_addr) });
        put(&mut named, "name", device.name.as_deref());
        let mut out = json!({
            "device": named,
            "time": time(heard).to_rfc3339(),
            "f_port": self.f_port,
            "f_cnt": self.f_cnt,
            "data": hex(self.plain),
            "confirmed": self.data.confirmed,
            "adr": self.data.adr,
            "rx": heard.receptions.iter().map(rx).collect::<Vec<_>>(),
            "dedup_id": format!("{}-{}-{}", device.dev_eui, self.session, self.f_cnt),
        });
        put(&mut out, "frequency", radio.and_then(|r| r.frequency_hz));
        put(&mut out, "dr", modulation.and_then(Modulation::data_rate));
        put(&mut out, "spreading_factor", lora.map(|l| l.0));
        put(&mut out, "bandwidth", lora.map(|l| l.1));
        put(&mut out, "best_gateway", heard.best().map(|g| g.to_string()));
        out.to_string().into_bytes()
    }
}

fn put(object: &mut Value, key: &str, value: Option<impl Into<Value>>) {
    if let (Some(value), Some(object)) = (value, object.as_object_mut()) {
        object.insert(key.to_owned(), value.into());
    }
}

fn rx(reception: &Reception) -> Value {
    let mut out = json!({ "gateway_id": reception.gateway });
    put(&mut out, "rssi", reception.rssi);
    put(&mut out, "snr", reception.snr);
    put(&mut out, "channel", reception.channel);
    put(&mut out, "time", reception.time.map(Timestamp::to_rfc3339));
    if let Some(position) = reception.position {
        let mut place = Map::from_iter([("lat".to_owned(), position.lat.into()), ("lon".to_owned(), position.lon.into())]);
        place.extend(position.alt.map(|alt| ("alt".to_owned(), alt.into())));
        put(&mut out, "position", Some(place));
    }
    out
}

fn time(heard: &Heard) -> Timestamp {
    let at = heard.first_at.0;
    let credible = |t: &Timestamp| (at.saturating_sub(BEHIND_MAX_US)..=at.saturating_add(AHEAD_MAX_US)).contains(&t.0);
    heard.receptions.iter().filter_map(|r| r.time).filter(credible).min().unwrap_or(heard.first_at)
}

/// The gateways of a frame and how well they heard it, for whoever reads the quarantine.
pub(super) fn heard_by(heard: &Heard) -> String {
    let one = |r: &Reception| match r.rssi {
        Some(rssi) => format!("{} at {rssi} dBm", r.gateway),
        None => r.gateway.to_string(),
    };
    let mut out = heard.receptions.iter().take(3).map(one).collect::<Vec<_>>().join(", ");
    if heard.receptions.len() > 3 {
        out.push_str(&format!(" and {} more", heard.receptions.len() - 3));
    }
    out
}
