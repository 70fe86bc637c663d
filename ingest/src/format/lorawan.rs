//! Events of LoRaWAN network servers, as one document whichever server sent them. `format = "lorawan"` recognises the server;
//! `chirpstack_v4`, `chirpstack_v4_protobuf`, `chirpstack_v3`, `tts_v3`, `loriot` and `thingpark` read one only.
//!
//! ```text
//! {"event": "up" | "status" | "location", "id", "time", "simulated": false,
//!  "device": {"eui", "id", "name", "application", "profile", "tags": {…}},
//!  "f_port", "f_cnt", "data": hex, "confirmed", "dr", "spreading_factor", "bandwidth" Hz, "frequency" Hz,
//!  "gateways": [{"id", "rssi" dBm, "snr" dB, "lon", "lat", "alt", "time"}], "gateway": the best of them,
//!  "status": {"battery" %, "external_power", "margin" dB}, "location": {"lon", "lat", "alt", "accuracy", "source"},
//!  "object": what a codec of the server made of the payload, "warnings": […]}
//! ```
//!
//! What the server did not say is absent. `id` is the server's own identifier of the event, or device, counter and time.
//! `device.eui` is in lower case. The best gateway has the highest SNR, then the highest RSSI, unless the server chose one.
//! Joins, acknowledgements, logs and what else carries no observation become nothing: the ledger counts them as dropped.

use super::{Format, Incoming, Translated};
use crate::decode::reject::{Reason, Reject, cut};
use base64::{Engine as _, alphabet, engine};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};
use std::{collections::BTreeMap, fmt};

mod chirpstack_v3;
mod chirpstack_v4;
mod chirpstack_v4_protobuf;
mod loriot;
mod recognise;
mod thingpark;
mod tts_v3;

/// The largest FRMPayload of any region is 242 bytes; relays and fragments of servers stay below this.
const DATA_BYTES_MAX: usize = 512;
/// Gateways of one event; a city has fewer in reach of one device.
const GATEWAYS_MAX: usize = 256;

/// With or without padding, as servers write it.
const BASE64: engine::GeneralPurpose = engine::GeneralPurpose::new(
    &alphabet::STANDARD,
    engine::GeneralPurposeConfig::new().with_decode_padding_mode(engine::DecodePaddingMode::Indifferent),
);

/// The formats of this module by name, for the list of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoRaWan {
    Any,
    ChirpStackV4,
    ChirpStackV4Protobuf,
    ChirpStackV3,
    TheThingsStackV3,
    Loriot,
    ThingPark,
}

impl Format for LoRaWan {
    fn translate(&self, message: Incoming<'_>, out: &mut Vec<u8>) -> Result<Translated, Reject> {
        let server = if *self == Self::Any { recognise::server(&message)? } else { *self };
        let event = match server {
            Self::ChirpStackV4 => chirpstack_v4::read(&message),
            Self::ChirpStackV4Protobuf => chirpstack_v4_protobuf::read(&message),
            Self::ChirpStackV3 => chirpstack_v3::read(&message),
            Self::TheThingsStackV3 => tts_v3::read(&message),
            Self::Loriot => loriot::read(&message),
            Self::ThingPark => thingpark::read(&message),
            Self::Any => Ok(None),
        }?;
        let Some(event) = event else { return Ok(Translated::Nothing) };
        let event = event.finish()?;
        serde_json::to_writer(out, &event).map_err(|e| Reject::new(Reason::NotJson, e.to_string()))?;
        Ok(Translated::Document)
    }
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Up,
    Status,
    Location,
}

#[derive(Debug, Default, Clone, PartialEq, Serialize)]
struct Device {
    eui: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, Value>,
}

#[derive(Debug, Default, Clone, PartialEq, Serialize)]
struct Gateway {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rssi: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snr: Option<f64>,
    #[serde(flatten)]
    place: Place,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
}

/// Degrees WGS 84 and metres.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
struct Place {
    #[serde(skip_serializing_if = "Option::is_none")]
    lon: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lat: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alt: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

/// Of a device, from DevStatusAns.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
struct Status {
    #[serde(skip_serializing_if = "Option::is_none")]
    battery: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_power: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    margin: Option<f64>,
}

/// The document, in the order in which it is written.
#[derive(Debug, Serialize)]
struct Event {
    event: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    simulated: bool,
    device: Device,
    #[serde(skip_serializing_if = "Option::is_none")]
    f_port: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    f_cnt: Option<u32>,
    /// Hex. Made by `hex`, `base64` or from bytes, so that it is never longer than a frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed: Option<bool>,
    #[serde(flatten)]
    radio: Radio,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<Gateway>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gateways: Vec<Gateway>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
struct Radio {
    #[serde(skip_serializing_if = "Option::is_none")]
    dr: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spreading_factor: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bandwidth: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency: Option<u64>,
}

impl Event {
    fn new(event: Kind, device: Device) -> Self {
        let (id, time, f_port, f_cnt, data, confirmed) = (None, None, None, None, None, None);
        let (gateway, gateways, status, location, object) = (None, Vec::new(), None, None, None);
        let (simulated, radio, warnings) = (false, Radio::default(), Vec::new());
        Self {
            event,
            id,
            time,
            simulated,
            device,
            f_port,
            f_cnt,
            data,
            confirmed,
            radio,
            gateway,
            gateways,
            status,
            location,
            object,
            warnings,
        }
    }

    /// Chooses the best gateway, unless the server did, and names the event.
    fn finish(mut self) -> Result<Self, Reject> {
        if self.gateways.len() > GATEWAYS_MAX {
            let message = format!("{} gateways in one event; at most {GATEWAYS_MAX} are read", self.gateways.len());
            return Err(Reject::field(Reason::TooLarge, "gateways", message));
        }
        if self.gateway.is_none() {
            let strength = |g: &&Gateway| (g.snr.unwrap_or(f64::NEG_INFINITY), g.rssi.unwrap_or(f64::NEG_INFINITY));
            let better = |a: &(f64, f64), b: &(f64, f64)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1));
            // Of equals the first stays: servers list the gateway that they answer through first.
            self.gateway = self.gateways.iter().rev().max_by(|a, b| better(&strength(a), &strength(b))).cloned();
        }
        if let (Kind::Location, Some(place)) = (self.event, &mut self.location) {
            // The word that servers leave out because it is their default.
            place.source.get_or_insert_with(|| "UNKNOWN".to_owned());
        }
        if self.id.is_none() && self.event == Kind::Up {
            self.id = Some(format!(
                "{}:{}:{}",
                self.device.eui,
                self.f_cnt.map_or_else(String::new, |n| n.to_string()),
                self.time.as_deref().unwrap_or_default()
            ));
        }
        Ok(self)
    }
}

/// A message as JSON of a known shape.
fn json<T: DeserializeOwned>(message: &Incoming<'_>, server: &str) -> Result<T, Reject> {
    serde_json::from_slice(message.payload).map_err(|e| {
        let fix = format!("check that the topic or address is for {server}");
        let reason = if e.is_data() { Reason::WrongType } else { Reason::NotJson };
        Reject::new(reason, format!("not an event of {server}: {}; {fix}", cut(&e.to_string(), 200)))
    })
}

/// The last level of the topic, in which MQTT integrations say what the event is.
fn last_level(topic: &str) -> &str {
    topic.rsplit('/').next().unwrap_or(topic)
}

fn wrong(field: &str, rule: impl fmt::Display) -> Reject {
    Reject::field(Reason::WrongType, field, format!("'{field}' {rule}"))
}

/// A DevEUI in hex, in lower case.
fn eui(field: &str, text: Option<&str>) -> Result<String, Reject> {
    let text = text.unwrap_or_default();
    let plain: String = text.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    if plain.len() == 16 && plain.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(plain.to_ascii_lowercase());
    }
    let message = format!("'{field}' is '{}'; it must be the DevEUI, 16 hexadecimal digits", cut(text, 40));
    Err(Reject::field(Reason::BadEntity, field, message))
}

/// Bytes as hex in lower case.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]).map(char::from).collect()
}

fn frame(field: &str, bytes: &[u8]) -> Result<String, Reject> {
    if bytes.len() > DATA_BYTES_MAX {
        let message = format!("'{field}' has {} bytes; a LoRaWAN frame carries at most 242", bytes.len());
        return Err(Reject::field(Reason::TooLarge, field, message));
    }
    Ok(hex(bytes))
}

/// A payload in base64, as hex.
fn from_base64(field: &str, text: Option<&str>) -> Result<Option<String>, Reject> {
    let Some(text) = text else { return Ok(None) };
    let bytes = BASE64.decode(text.trim()).map_err(|e| wrong(field, format!("is not base64 ({e})")))?;
    frame(field, &bytes).map(Some)
}

/// A payload in hex of either case, as hex.
fn from_hex(field: &str, text: Option<&str>) -> Result<Option<String>, Reject> {
    let Some(text) = text else { return Ok(None) };
    if text.len() % 2 != 0 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(wrong(field, "is not hexadecimal; it needs two digits for each byte"));
    }
    if text.len() > 2 * DATA_BYTES_MAX {
        return frame(field, &vec![0; text.len() / 2]).map(Some);
    }
    Ok(Some(text.to_ascii_lowercase()))
}

/// `None` for 0, 0: what a server writes when it does not know.
fn place(lon: Option<f64>, lat: Option<f64>, alt: Option<f64>) -> Place {
    match (lon, lat) {
        (Some(lon), Some(lat)) if lon != 0.0 || lat != 0.0 => Place { lon: Some(lon), lat: Some(lat), alt, ..Place::default() },
        _ => Place::default(),
    }
}

/// The battery of DevStatusAns: 1 to 254 is a charge, 0 external power, 255 unknown (LoRaWAN 1.0.4, section 5.5).
fn battery(level: u8) -> Status {
    match level {
        0 => Status { external_power: Some(true), ..Status::default() },
        255 => Status::default(),
        n => Status { battery: Some(f64::from(u32::from(n - 1) * 10_000 / 253) / 100.0), ..Status::default() },
    }
}

/// A number, or a number in a text, as several servers mix them; a text that is none is absent.
fn loose<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
    Ok(match Option::<Value>::deserialize(d)? {
        Some(Value::Number(n)) => n.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok().filter(|n: &f64| n.is_finite()),
        _ => None,
    })
}

/// Null is what absent is.
fn nullable<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

/// Fails when a number is no whole one up to `max`.
fn whole(field: &str, value: Option<f64>, max: f64) -> Result<Option<f64>, Reject> {
    match value {
        Some(n) if n.fract() != 0.0 || !(0.0..=max).contains(&n) => Err(wrong(field, format!("is {n}; it must be 0 to {max}"))),
        other => Ok(other),
    }
}

/// `SF9 BW125 4/5` as spreading factor and bandwidth in Hz.
fn lora_rate(text: &str) -> (Option<u32>, Option<u32>) {
    let part = |prefix: &str| {
        let at = text.find(prefix)? + prefix.len();
        let digits: String = text[at..].chars().take_while(char::is_ascii_digit).take(6).collect();
        digits.parse::<u32>().ok()
    };
    (part("SF"), part("BW").map(|khz| khz * 1_000))
}

#[cfg(test)]
mod tests;
