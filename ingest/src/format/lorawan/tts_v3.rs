//! The Things Stack v3 (Community and Industries) over MQTT `v3/{app}@{tenant}/devices/{id}/{up|location/solved|…}` and webhooks.
//!
//! Traps: `frequency` is a text; empty fields (`f_cnt` 0, `f_port`) are left out; gateways behind Packet Broker have no `eui`;
//! data rate and coding rate moved between versions; MQTT has QoS 0 only; `simulated` uplinks come from the console.

use super::{Device, Event, Gateway, Kind, Place, Radio, Status, eui, from_base64, json, loose, nullable, place};
use crate::{decode::reject::Reject, format::Incoming};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
struct Wire {
    end_device_ids: Ids,
    received_at: Option<String>,
    #[serde(default)]
    simulated: bool,
    uplink_message: Option<Uplink>,
    location_solved: Option<Solved>,
}

#[derive(Debug, Deserialize)]
struct Ids {
    device_id: Option<String>,
    dev_eui: Option<String>,
    application_ids: Option<Application>,
}

#[derive(Debug, Deserialize)]
struct Application {
    application_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Uplink {
    f_port: Option<u8>,
    f_cnt: Option<u32>,
    frm_payload: Option<String>,
    decoded_payload: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "nullable")]
    decoded_payload_warnings: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    rx_metadata: Vec<RxMetadata>,
    settings: Option<Settings>,
    received_at: Option<String>,
    confirmed: Option<bool>,
    #[serde(default, deserialize_with = "nullable")]
    locations: BTreeMap<String, Location>,
    version_ids: Option<Version>,
    last_battery_percentage: Option<Battery>,
}

#[derive(Debug, Deserialize)]
struct Version {
    brand_id: Option<String>,
    model_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Battery {
    value: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct RxMetadata {
    gateway_ids: Option<GatewayIds>,
    time: Option<String>,
    received_at: Option<String>,
    rssi: Option<f64>,
    channel_rssi: Option<f64>,
    snr: Option<f64>,
    location: Option<Location>,
    packet_broker: Option<PacketBroker>,
}

#[derive(Debug, Deserialize)]
struct GatewayIds {
    gateway_id: Option<String>,
    eui: Option<String>,
}

#[derive(Debug, Deserialize)]
struct PacketBroker {
    forwarder_gateway_eui: Option<String>,
    forwarder_gateway_id: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Location {
    latitude: Option<f64>,
    longitude: Option<f64>,
    altitude: Option<f64>,
    accuracy: Option<f64>,
    source: Option<String>,
}

impl From<Location> for Place {
    fn from(l: Location) -> Self {
        Self { accuracy: l.accuracy, source: l.source, ..place(l.longitude, l.latitude, l.altitude) }
    }
}

#[derive(Debug, Deserialize)]
struct Settings {
    data_rate: Option<DataRate>,
    data_rate_index: Option<u32>,
    #[serde(default, deserialize_with = "loose")]
    frequency: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct DataRate {
    lora: Option<Lora>,
}

#[derive(Debug, Deserialize)]
struct Lora {
    bandwidth: Option<u32>,
    spreading_factor: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Solved {
    location: Option<Location>,
}

pub(super) fn read(message: &Incoming<'_>) -> Result<Option<Event>, Reject> {
    let wire: Wire = json(message, "The Things Stack v3")?;
    let ids = wire.end_device_ids;
    let mut device = Device {
        // A device activated by personalisation may have none; then its name in the application stands for it.
        eui: String::new(),
        name: ids.device_id.clone(),
        application: ids.application_ids.and_then(|a| a.application_id),
        ..Device::default()
    };
    let is_event = wire.uplink_message.is_some() || wire.location_solved.is_some();
    if !is_event {
        return Ok(None);
    }
    device.eui = match (&ids.dev_eui, &ids.device_id) {
        (None, Some(id)) => id.clone(),
        (given, _) => eui("end_device_ids.dev_eui", given.as_deref())?,
    };
    device.id = ids.device_id;
    if let Some(solved) = wire.location_solved {
        let mut event = Event { time: wire.received_at, simulated: wire.simulated, ..Event::new(Kind::Location, device) };
        event.location = solved.location.map(Place::from);
        return Ok(Some(event));
    }
    let Some(up) = wire.uplink_message else { return Ok(None) };
    device.profile = up.version_ids.and_then(|v| Some(format!("{}/{}", v.brand_id?, v.model_id?)));
    let mut event = Event { simulated: wire.simulated, ..Event::new(Kind::Up, device) };
    event.gateways = up.rx_metadata.into_iter().map(gateway).collect();
    // When the network server took it: the same in every delivery, and within a second of the radio.
    event.time = up.received_at.or(wire.received_at);
    event.f_port = up.f_port;
    event.f_cnt = Some(up.f_cnt.unwrap_or(0));
    event.data = Some(from_base64("uplink_message.frm_payload", up.frm_payload.as_deref())?.unwrap_or_default());
    event.confirmed = up.confirmed;
    event.object = up.decoded_payload.filter(|o| o.get() != "null");
    event.warnings = up.decoded_payload_warnings;
    event.status = up.last_battery_percentage.and_then(|b| b.value).map(|v| Status { battery: Some(v), ..Status::default() });
    let mut locations = up.locations;
    event.location = locations.remove("frm-payload").or_else(|| locations.remove("user")).map(Place::from);
    if let Some(settings) = up.settings {
        let lora = settings.data_rate.and_then(|d| d.lora);
        event.radio = Radio {
            dr: settings.data_rate_index,
            spreading_factor: lora.as_ref().and_then(|l| l.spreading_factor),
            bandwidth: lora.as_ref().and_then(|l| l.bandwidth),
            frequency: settings.frequency.filter(|f| (0.0..1e11).contains(f)).map(|f| f as u64),
        };
    }
    Ok(Some(event))
}

fn gateway(rx: RxMetadata) -> Gateway {
    let (id, eui) = rx.gateway_ids.map_or((None, None), |g| (g.gateway_id, g.eui));
    let behind = rx.packet_broker.and_then(|p| p.forwarder_gateway_eui.or_else(|| p.forwarder_gateway_id?.as_str().map(str::to_owned)));
    Gateway {
        // `packetbroker` is the name of every gateway that another network lends.
        id: eui.or(behind).map(|e| e.to_ascii_lowercase()).or(id),
        rssi: rx.rssi.or(rx.channel_rssi),
        snr: rx.snr,
        place: rx.location.map(Place::from).unwrap_or_default(),
        time: rx.time.or(rx.received_at),
    }
}
