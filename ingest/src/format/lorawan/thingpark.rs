//! Actility ThingPark (Wireless and Enterprise): one object `DevEUI_uplink`; `DevEUI_location` is a location, the rest is dropped.
//!
//! Traps: numbers come as numbers or texts, by version; `Frequency` is in MHz; `Lrrid` names the gateway that the server chose;
//! `CustomerData` is an object or JSON in a text; `payload` may be encrypted with the application key of the customer.

use super::{Device, Event, Gateway, Kind, Place, Radio, Status, battery, eui, from_hex, json, loose, nullable, place, whole};
use crate::{decode::reject::Reject, format::Incoming};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

#[derive(Debug, Deserialize)]
struct Wire {
    #[serde(rename = "DevEUI_uplink")]
    uplink: Option<Box<Uplink>>,
    #[serde(rename = "DevEUI_location")]
    location: Option<Box<Located>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Uplink {
    time: Option<String>,
    #[serde(rename = "DevEUI")]
    dev_eui: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    f_port: Option<f64>,
    #[serde(default, deserialize_with = "loose")]
    f_cnt_up: Option<f64>,
    #[serde(default, deserialize_with = "loose")]
    m_type: Option<f64>,
    #[serde(rename = "payload_hex")]
    payload: Option<String>,
    #[serde(default, rename = "LrrRSSI", deserialize_with = "loose")]
    lrr_rssi: Option<f64>,
    #[serde(default, rename = "LrrSNR", deserialize_with = "loose")]
    lrr_snr: Option<f64>,
    #[serde(default, deserialize_with = "loose")]
    sp_fact: Option<f64>,
    lrrid: Option<String>,
    #[serde(default, rename = "LrrLAT", deserialize_with = "loose")]
    lrr_lat: Option<f64>,
    #[serde(default, rename = "LrrLON", deserialize_with = "loose")]
    lrr_lon: Option<f64>,
    lrrs: Option<Lrrs>,
    #[serde(default, deserialize_with = "customer")]
    customer_data: Map<String, Value>,
    #[serde(default, deserialize_with = "loose")]
    frequency: Option<f64>,
    #[serde(default, deserialize_with = "loose")]
    battery_level: Option<f64>,
    #[serde(default, deserialize_with = "loose")]
    margin: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Lrrs {
    #[serde(rename = "Lrr", default, deserialize_with = "nullable")]
    list: Vec<Lrr>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Lrr {
    lrrid: Option<String>,
    #[serde(default, rename = "LrrRSSI", deserialize_with = "loose")]
    rssi: Option<f64>,
    #[serde(default, rename = "LrrSNR", deserialize_with = "loose")]
    snr: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Located {
    #[serde(rename = "DevEUI")]
    dev_eui: Option<String>,
    #[serde(rename = "DevLocTime", alias = "Time")]
    time: Option<String>,
    #[serde(default, rename = "DevLAT", deserialize_with = "loose")]
    lat: Option<f64>,
    #[serde(default, rename = "DevLON", deserialize_with = "loose")]
    lon: Option<f64>,
    #[serde(default, rename = "DevAlt", deserialize_with = "loose")]
    alt: Option<f64>,
    #[serde(default, rename = "DevLocRadius", deserialize_with = "loose")]
    radius: Option<f64>,
}

fn customer<'de, D: Deserializer<'de>>(d: D) -> Result<Map<String, Value>, D::Error> {
    Ok(match Option::<Value>::deserialize(d)? {
        Some(Value::Object(map)) => map,
        Some(Value::String(text)) => serde_json::from_str(&text).unwrap_or_default(),
        _ => Map::new(),
    })
}

pub(super) fn read(message: &Incoming<'_>) -> Result<Option<Event>, Reject> {
    let wire: Wire = json(message, "ThingPark")?;
    if let Some(located) = wire.location {
        let device = Device { eui: eui("DevEUI", located.dev_eui.as_deref())?, ..Device::default() };
        let mut event = Event { time: located.time, ..Event::new(Kind::Location, device) };
        event.location = Some(Place { accuracy: located.radius, ..place(located.lon, located.lat, located.alt) });
        return Ok(Some(event));
    }
    let Some(up) = wire.uplink else { return Ok(None) };
    let mut event = Event::new(Kind::Up, device(up.dev_eui.as_deref(), up.customer_data)?);
    event.time = up.time;
    event.f_port = whole("FPort", up.f_port, 255.0)?.map(|n| n as u8);
    event.f_cnt = whole("FCntUp", up.f_cnt_up, f64::from(u32::MAX))?.map(|n| n as u32);
    event.data = Some(from_hex("payload_hex", up.payload.as_deref())?.unwrap_or_default());
    // MType of the MAC header: 2 unconfirmed, 4 confirmed.
    event.confirmed = up.m_type.map(|m| m == 4.0);
    event.radio = Radio {
        spreading_factor: whole("SpFact", up.sp_fact, 12.0)?.map(|n| n as u32),
        frequency: up.frequency.filter(|mhz| (1.0..10_000.0).contains(mhz)).map(|mhz| (mhz * 1e6).round() as u64),
        ..Radio::default()
    };
    let level = whole("BatteryLevel", up.battery_level, 255.0)?.map(|n| battery(n as u8));
    let status = Status { margin: up.margin, ..level.unwrap_or_default() };
    event.status = Some(status).filter(|s| *s != Status::default());
    let chosen = Gateway { id: up.lrrid, rssi: up.lrr_rssi, snr: up.lrr_snr, place: place(up.lrr_lon, up.lrr_lat, None), time: None };
    event.gateways = up.lrrs.map(|l| l.list).unwrap_or_default().into_iter().map(gateway).collect();
    if let Some(same) = event.gateways.iter_mut().find(|g| g.id.is_some() && g.id == chosen.id) {
        same.place = chosen.place.clone();
    }
    if chosen != Gateway::default() {
        if event.gateways.is_empty() {
            event.gateways.push(chosen.clone());
        }
        event.gateway = Some(chosen);
    }
    Ok(Some(event))
}

fn device(dev_eui: Option<&str>, customer: Map<String, Value>) -> Result<Device, Reject> {
    let text = |v: Option<&Value>| v.and_then(Value::as_str).map(str::to_owned);
    let profile = customer.get("alr").and_then(|a| text(a.get("pro")));
    let name = text(customer.get("name"));
    Ok(Device { eui: eui("DevEUI", dev_eui)?, name, profile, tags: customer.into_iter().collect(), ..Device::default() })
}

fn gateway(lrr: Lrr) -> Gateway {
    Gateway { id: lrr.lrrid, rssi: lrr.rssi, snr: lrr.snr, ..Gateway::default() }
}
