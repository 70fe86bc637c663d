//! ChirpStack Application Server v3 in JSON, and the network servers inside gateways that write the same envelope over HTTP.
//!
//! Traps: `devEUI` and `gatewayID` are base64 (v3) or hex (gateways, and v3 with its marshaler set to JSON v3 rest); `objectJSON`
//! is JSON in a text; there is no time but that of the gateways, which is null without GPS, and `publishedAt` since 3.11.
//! Some gateways write `2020-0327T12:39:05Z`, half basic and half extended ISO 8601; it is read as the date that it means.

use super::{BASE64, Device, Event, Gateway, Kind, Place, Radio, chirpstack_v4, eui, from_base64, hex, json, last_level, place, wrong};
use crate::{decode::reject::Reject, format::Incoming};
use base64::Engine as _;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    application_name: Option<String>,
    #[serde(rename = "applicationID")]
    application_id: Option<Value>,
    device_name: Option<String>,
    device_profile_name: Option<String>,
    #[serde(rename = "devEUI")]
    dev_eui: Option<String>,
    rx_info: Option<Vec<RxInfo>>,
    tx_info: Option<TxInfo>,
    dr: Option<u32>,
    f_cnt: Option<u32>,
    f_port: Option<u8>,
    data: Option<String>,
    #[serde(rename = "objectJSON")]
    object_json: Option<String>,
    object: Option<Box<RawValue>>,
    confirmed_uplink: Option<bool>,
    tags: Option<BTreeMap<String, Value>>,
    time: Option<String>,
    published_at: Option<String>,
    margin: Option<f64>,
    external_power_source: Option<bool>,
    battery_level_unavailable: Option<bool>,
    battery_level: Option<f64>,
    location: Option<chirpstack_v4::Location>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RxInfo {
    #[serde(rename = "gatewayID", alias = "mac")]
    gateway_id: Option<String>,
    time: Option<String>,
    rssi: Option<f64>,
    #[serde(rename = "loRaSNR")]
    snr: Option<f64>,
    location: Option<chirpstack_v4::Location>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    altitude: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TxInfo {
    frequency: Option<u64>,
    dr: Option<u32>,
    #[serde(rename = "loRaModulationInfo", alias = "dataRate")]
    lora: Option<Lora>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lora {
    bandwidth: Option<u32>,
    #[serde(alias = "spreadFactor")]
    spreading_factor: Option<u32>,
}

pub(super) fn read(message: &Incoming<'_>) -> Result<Option<Event>, Reject> {
    let wire: Wire = json(message, "ChirpStack v3")?;
    let kind = match last_level(message.topic) {
        "up" => Kind::Up,
        "status" => Kind::Status,
        "location" => Kind::Location,
        "join" | "ack" | "txack" | "error" | "integration" => return Ok(None),
        _ if wire.rx_info.is_some() || wire.data.is_some() => Kind::Up,
        _ if wire.location.is_some() => Kind::Location,
        _ if wire.margin.is_some() || wire.battery_level.is_some() => Kind::Status,
        _ => return Ok(None),
    };
    let device = Device {
        eui: eui("devEUI", Some(&identifier("devEUI", wire.dev_eui.as_deref().unwrap_or_default())?))?,
        id: None,
        name: wire.device_name,
        application: wire.application_name.or_else(|| wire.application_id.map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))),
        profile: wire.device_profile_name,
        tags: wire.tags.unwrap_or_default(),
    };
    let mut event = Event::new(kind, device);
    event.gateways = wire.rx_info.unwrap_or_default().into_iter().map(gateway).collect::<Result<_, _>>()?;
    event.time = wire.time.map(repaired).or_else(|| event.gateways.iter().find_map(|g| g.time.clone())).or(wire.published_at);
    match kind {
        Kind::Up => {
            event.f_port = wire.f_port;
            event.f_cnt = Some(wire.f_cnt.unwrap_or(0));
            event.data = Some(from_base64("data", wire.data.as_deref())?.unwrap_or_default());
            event.confirmed = wire.confirmed_uplink;
            event.object = match wire.object_json.filter(|t| !t.trim().is_empty()) {
                Some(text) => Some(RawValue::from_string(text).map_err(|e| wrong("objectJSON", format!("is not JSON: {e}")))?),
                None => wire.object,
            };
            event.object.take_if(|o| o.get() == "null");
            let lora = wire.tx_info.as_ref().and_then(|t| t.lora.as_ref());
            event.radio = Radio {
                dr: wire.dr.or_else(|| wire.tx_info.as_ref().and_then(|t| t.dr)),
                spreading_factor: lora.and_then(|l| l.spreading_factor),
                // In kHz here, in Hz in v4.
                bandwidth: lora.and_then(|l| l.bandwidth).map(|b| if b < 2_000 { b * 1_000 } else { b }),
                frequency: wire.tx_info.as_ref().and_then(|t| t.frequency),
            };
        }
        Kind::Status => {
            let (external, unknown) = (wire.external_power_source.unwrap_or(false), wire.battery_level_unavailable.unwrap_or(false));
            event.status = Some(chirpstack_v4::status(wire.margin, external, unknown, wire.battery_level));
        }
        Kind::Location => event.location = wire.location.map(Place::from),
    }
    Ok(Some(event))
}

fn gateway(rx: RxInfo) -> Result<Gateway, Reject> {
    let place = match rx.location {
        Some(location) => Place::from(location),
        None => place(rx.longitude, rx.latitude, rx.altitude),
    };
    let id = rx.gateway_id.map(|id| identifier("gatewayID", &id)).transpose()?;
    Ok(Gateway { id, rssi: rx.rssi, snr: rx.snr, place, time: rx.time.map(repaired) })
}

/// An EUI in hex. Eight bytes are 12 characters of base64 (11 without padding) and 16 of hex.
fn identifier(field: &str, text: &str) -> Result<String, Reject> {
    if !matches!(text.len(), 11 | 12) {
        return Ok(text.to_ascii_lowercase());
    }
    BASE64.decode(text).map(|bytes| hex(&bytes)).map_err(|e| wrong(field, format!("is neither hex nor base64 ({e})")))
}

/// `2020-0327T…` as `2020-03-27T…`.
fn repaired(time: String) -> String {
    let b = time.as_bytes();
    let half_basic = b.len() > 10 && b[4] == b'-' && b[9] == b'T' && b[5..9].iter().all(u8::is_ascii_digit);
    if half_basic && time.is_char_boundary(7) { format!("{}-{}", &time[..7], &time[7..]) } else { time }
}
