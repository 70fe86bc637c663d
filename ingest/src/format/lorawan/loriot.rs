//! LORIOT application output: `cmd` is `rx` (as soon as one gateway heard it) or `gw` (all gateways, a moment later).
//!
//! Both carry the same `ts` and counter, so that the later one is a duplicate of the row. `ts` is in milliseconds, `data` in hex;
//! without the key at the server there is `encdata` instead. `bat` is the level of DevStatusAns.

use super::{Device, Event, Gateway, Kind, Radio, battery, eui, from_hex, json, lora_rate, nullable, place};
use crate::{
    decode::reject::{Reason, Reject},
    format::Incoming,
};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Wire {
    cmd: String,
    #[serde(rename = "EUI")]
    eui: Option<String>,
    ts: Option<i64>,
    fcnt: Option<u32>,
    port: Option<u8>,
    freq: Option<u64>,
    rssi: Option<f64>,
    snr: Option<f64>,
    dr: Option<String>,
    confirmed: Option<bool>,
    bat: Option<u8>,
    data: Option<String>,
    encdata: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    gws: Vec<Gws>,
}

#[derive(Debug, Deserialize)]
struct Gws {
    rssi: Option<f64>,
    snr: Option<f64>,
    time: Option<String>,
    gweui: Option<String>,
    lat: Option<f64>,
    lon: Option<f64>,
}

pub(super) fn read(message: &Incoming<'_>) -> Result<Option<Event>, Reject> {
    let wire: Wire = json(message, "LORIOT")?;
    if !matches!(wire.cmd.as_str(), "rx" | "gw") {
        return Ok(None);
    }
    if wire.encdata.is_some() && wire.data.is_none() {
        let message = "'encdata' is encrypted; give the application session key of the device to the server";
        return Err(Reject::field(Reason::WrongType, "encdata", message));
    }
    let device = Device { eui: eui("EUI", wire.eui.as_deref())?, ..Device::default() };
    let mut event = Event::new(Kind::Up, device);
    event.time = wire.ts.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).map(|t| t.to_string());
    event.f_port = wire.port;
    event.f_cnt = wire.fcnt;
    event.data = Some(from_hex("data", wire.data.as_deref())?.unwrap_or_default());
    event.confirmed = wire.confirmed;
    event.status = wire.bat.map(battery).filter(|s| *s != super::Status::default());
    let (spreading_factor, bandwidth) = wire.dr.as_deref().map_or((None, None), lora_rate);
    event.radio = Radio { dr: None, spreading_factor, bandwidth, frequency: wire.freq };
    event.gateways = wire.gws.into_iter().map(gateway).collect();
    if event.gateways.is_empty() && wire.rssi.is_some() {
        event.gateways.push(Gateway { rssi: wire.rssi, snr: wire.snr, ..Gateway::default() });
    }
    Ok(Some(event))
}

fn gateway(g: Gws) -> Gateway {
    let id = g.gweui.map(|e| e.to_ascii_lowercase());
    Gateway { id, rssi: g.rssi, snr: g.snr, place: place(g.lon, g.lat, None), time: g.time }
}
