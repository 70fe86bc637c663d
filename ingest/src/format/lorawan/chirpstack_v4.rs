//! ChirpStack v4 in JSON (proto3 JSON of `integration.proto`): `application/{id}/device/{eui}/event/{up|join|status|…}`, or HTTP.
//!
//! Proto3 JSON leaves defaults out: an absent `fCnt`, `dr` or `snr` is 0. `joinServerContext` means that `data` is still encrypted.

use super::{Device, Event, Gateway, Kind, Place, Radio, Status, eui, from_base64, json, last_level, nullable, place};
use crate::{
    decode::reject::{Reason, Reject},
    format::Incoming,
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::collections::BTreeMap;

/// The last levels of its topics.
pub(super) const EVENTS: [&str; 8] = ["up", "status", "location", "join", "ack", "txack", "log", "integration"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    deduplication_id: Option<String>,
    time: Option<String>,
    device_info: Option<DeviceInfo>,
    dr: Option<u32>,
    f_cnt: Option<u32>,
    f_port: Option<u8>,
    confirmed: Option<bool>,
    data: Option<String>,
    object: Option<Box<RawValue>>,
    rx_info: Option<Vec<RxInfo>>,
    tx_info: Option<TxInfo>,
    join_server_context: Option<Value>,
    margin: Option<f64>,
    external_power_source: Option<bool>,
    battery_level_unavailable: Option<bool>,
    battery_level: Option<f64>,
    location: Option<Location>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeviceInfo {
    application_name: Option<String>,
    application_id: Option<String>,
    device_profile_name: Option<String>,
    device_name: Option<String>,
    dev_eui: Option<String>,
    #[serde(deserialize_with = "nullable")]
    tags: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RxInfo {
    gateway_id: Option<String>,
    gw_time: Option<String>,
    ns_time: Option<String>,
    rssi: Option<f64>,
    snr: Option<f64>,
    location: Option<Location>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Location {
    latitude: Option<f64>,
    longitude: Option<f64>,
    altitude: Option<f64>,
    accuracy: Option<f64>,
    source: Option<Value>,
}

impl From<Location> for Place {
    fn from(l: Location) -> Self {
        let source = l.source.and_then(|s| s.as_str().map(str::to_owned));
        Self { accuracy: l.accuracy, source, ..place(l.longitude, l.latitude, l.altitude) }
    }
}

#[derive(Debug, Deserialize)]
struct TxInfo {
    frequency: Option<u64>,
    modulation: Option<Modulation>,
}

#[derive(Debug, Deserialize)]
struct Modulation {
    lora: Option<Lora>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lora {
    bandwidth: Option<u32>,
    spreading_factor: Option<u32>,
}

pub(super) fn read(message: &Incoming<'_>) -> Result<Option<Event>, Reject> {
    let wire: Wire = json(message, "ChirpStack v4")?;
    let Some(kind) = kind(message.topic, &wire) else { return Ok(None) };
    let info = wire.device_info.unwrap_or_default();
    let device = Device {
        eui: eui("deviceInfo.devEui", info.dev_eui.as_deref())?,
        id: None,
        name: info.device_name,
        application: info.application_name.or(info.application_id),
        profile: info.device_profile_name,
        tags: info.tags,
    };
    let mut event = Event { id: wire.deduplication_id, ..Event::new(kind, device) };
    event.gateways = wire.rx_info.unwrap_or_default().into_iter().map(gateway).collect();
    event.time = wire.time.or_else(|| event.gateways.iter().find_map(|g| g.time.clone()));
    match kind {
        Kind::Up => {
            encrypted(wire.join_server_context.is_some_and(|c| !c.is_null()))?;
            event.f_port = wire.f_port;
            event.f_cnt = Some(wire.f_cnt.unwrap_or(0));
            event.data = Some(from_base64("data", wire.data.as_deref())?.unwrap_or_default());
            event.confirmed = wire.confirmed;
            event.object = wire.object.filter(|o| o.get() != "null");
            let tx = wire.tx_info;
            let lora = tx.as_ref().and_then(|t| t.modulation.as_ref()).and_then(|m| m.lora.as_ref());
            event.radio = Radio {
                dr: Some(wire.dr.unwrap_or(0)),
                spreading_factor: lora.and_then(|l| l.spreading_factor),
                bandwidth: lora.and_then(|l| l.bandwidth),
                frequency: tx.as_ref().and_then(|t| t.frequency),
            };
        }
        Kind::Status => {
            let (external, unknown) = (wire.external_power_source.unwrap_or(false), wire.battery_level_unavailable.unwrap_or(false));
            event.status = Some(status(wire.margin, external, unknown, wire.battery_level));
        }
        Kind::Location => event.location = wire.location.map(Place::from),
    }
    Ok(Some(event))
}

/// A charge is one only when the device runs on its battery and measured it.
pub(super) fn status(margin: Option<f64>, external: bool, unavailable: bool, level: Option<f64>) -> Status {
    Status {
        battery: (!external && !unavailable).then(|| level.unwrap_or(0.0)),
        external_power: Some(external),
        margin: Some(margin.unwrap_or(0.0)),
    }
}

pub(super) fn encrypted(is: bool) -> Result<(), Reject> {
    if !is {
        return Ok(());
    }
    let message = "'data' is encrypted with a key of the join server; decrypt it before it is sent here, or let the server hold the key";
    Err(Reject::field(Reason::WrongType, "joinServerContext", message))
}

fn gateway(rx: RxInfo) -> Gateway {
    Gateway {
        id: rx.gateway_id,
        // 0 dBm is never measured, 0 dB is.
        snr: rx.rssi.map(|_| rx.snr.unwrap_or(0.0)),
        rssi: rx.rssi,
        place: rx.location.map(Place::from).unwrap_or_default(),
        time: rx.gw_time.or(rx.ns_time),
    }
}

/// The topic says it; over HTTP the keys do.
fn kind(topic: &str, wire: &Wire) -> Option<Kind> {
    match last_level(topic) {
        "up" => return Some(Kind::Up),
        "status" => return Some(Kind::Status),
        "location" => return Some(Kind::Location),
        event if EVENTS.contains(&event) => return None,
        _ => {}
    }
    if wire.rx_info.is_some() {
        Some(Kind::Up)
    } else if wire.location.is_some() {
        Some(Kind::Location)
    } else {
        let status = wire.margin.is_some()
            || wire.battery_level.is_some()
            || wire.external_power_source.is_some()
            || wire.battery_level_unavailable.is_some();
        status.then_some(Kind::Status)
    }
}
