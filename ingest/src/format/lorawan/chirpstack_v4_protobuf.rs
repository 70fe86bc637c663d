//! ChirpStack v4 in protobuf (`integration.proto`, `gw.proto`, `common.proto`): only the fields that the document has.
//! The topic says which event it is: `application/{id}/device/{eui}/event/{up|status|location}`.

use super::{
    Device, Event, Gateway, Kind, Place, Radio,
    chirpstack_v4::{encrypted, status},
    eui, frame, last_level, place,
};
use crate::{
    decode::reject::{Reason, Reject},
    format::Incoming,
};
use prost::{Message, Oneof};
use serde_json::{Map, Number, Value, value::to_raw_value};
use std::collections::{BTreeMap, HashMap};

#[derive(Clone, PartialEq, Message)]
struct Time {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
struct DeviceInfo {
    #[prost(string, tag = "3")]
    application_id: String,
    #[prost(string, tag = "4")]
    application_name: String,
    #[prost(string, tag = "6")]
    device_profile_name: String,
    #[prost(string, tag = "7")]
    device_name: String,
    #[prost(string, tag = "8")]
    dev_eui: String,
    #[prost(map = "string, string", tag = "9")]
    tags: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct UplinkEvent {
    #[prost(string, tag = "1")]
    deduplication_id: String,
    #[prost(message, optional, tag = "2")]
    time: Option<Time>,
    #[prost(message, optional, tag = "3")]
    device_info: Option<DeviceInfo>,
    #[prost(uint32, tag = "6")]
    dr: u32,
    #[prost(uint32, tag = "7")]
    f_cnt: u32,
    #[prost(uint32, tag = "8")]
    f_port: u32,
    #[prost(bool, tag = "9")]
    confirmed: bool,
    #[prost(bytes = "vec", tag = "10")]
    data: Vec<u8>,
    #[prost(message, optional, tag = "11")]
    object: Option<Struct>,
    #[prost(message, repeated, tag = "12")]
    rx_info: Vec<RxInfo>,
    #[prost(message, optional, tag = "13")]
    tx_info: Option<TxInfo>,
    #[prost(message, optional, tag = "15")]
    join_server_context: Option<Empty>,
}

#[derive(Clone, PartialEq, Message)]
struct StatusEvent {
    #[prost(string, tag = "1")]
    deduplication_id: String,
    #[prost(message, optional, tag = "2")]
    time: Option<Time>,
    #[prost(message, optional, tag = "3")]
    device_info: Option<DeviceInfo>,
    #[prost(int32, tag = "5")]
    margin: i32,
    #[prost(bool, tag = "6")]
    external_power_source: bool,
    #[prost(bool, tag = "7")]
    battery_level_unavailable: bool,
    #[prost(float, tag = "8")]
    battery_level: f32,
}

#[derive(Clone, PartialEq, Message)]
struct LocationEvent {
    #[prost(string, tag = "1")]
    deduplication_id: String,
    #[prost(message, optional, tag = "2")]
    time: Option<Time>,
    #[prost(message, optional, tag = "3")]
    device_info: Option<DeviceInfo>,
    #[prost(message, optional, tag = "4")]
    location: Option<Location>,
}

#[derive(Clone, PartialEq, Message)]
struct RxInfo {
    #[prost(string, tag = "1")]
    gateway_id: String,
    #[prost(message, optional, tag = "3")]
    gw_time: Option<Time>,
    #[prost(int32, tag = "6")]
    rssi: i32,
    #[prost(float, tag = "7")]
    snr: f32,
    #[prost(message, optional, tag = "12")]
    location: Option<Location>,
    #[prost(message, optional, tag = "17")]
    ns_time: Option<Time>,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(double, tag = "1")]
    latitude: f64,
    #[prost(double, tag = "2")]
    longitude: f64,
    #[prost(double, tag = "3")]
    altitude: f64,
    #[prost(int32, tag = "4")]
    source: i32,
    #[prost(float, tag = "5")]
    accuracy: f32,
}

/// `common.LocationSource`, by number.
const SOURCES: [&str; 7] = ["UNKNOWN", "GPS", "CONFIG", "GEO_RESOLVER_TDOA", "GEO_RESOLVER_RSSI", "GEO_RESOLVER_GNSS", "GEO_RESOLVER_WIFI"];

#[derive(Clone, PartialEq, Message)]
struct TxInfo {
    #[prost(uint32, tag = "1")]
    frequency: u32,
    #[prost(message, optional, tag = "2")]
    modulation: Option<Modulation>,
}

#[derive(Clone, PartialEq, Message)]
struct Modulation {
    #[prost(message, optional, tag = "3")]
    lora: Option<Lora>,
}

#[derive(Clone, PartialEq, Message)]
struct Lora {
    #[prost(uint32, tag = "1")]
    bandwidth: u32,
    #[prost(uint32, tag = "2")]
    spreading_factor: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Empty {}

/// `google.protobuf.Struct`.
#[derive(Clone, PartialEq, Message)]
struct Struct {
    #[prost(map = "string, message", tag = "1")]
    fields: HashMap<String, Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(oneof = "Something", tags = "1, 2, 3, 4, 5, 6")]
    kind: Option<Something>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Something {
    #[prost(int32, tag = "1")]
    Null(i32),
    #[prost(double, tag = "2")]
    Number(f64),
    #[prost(string, tag = "3")]
    Text(String),
    #[prost(bool, tag = "4")]
    Bool(bool),
    #[prost(message, tag = "5")]
    Object(Struct),
    #[prost(message, tag = "6")]
    List(List),
}

#[derive(Clone, PartialEq, Message)]
struct List {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Any>,
}

pub(super) fn read(message: &Incoming<'_>) -> Result<Option<Event>, Reject> {
    match last_level(message.topic) {
        "up" => uplink(decode(message)?).map(Some),
        "status" => {
            let wire: StatusEvent = decode(message)?;
            let mut event = event(Kind::Status, wire.deduplication_id, wire.time, wire.device_info)?;
            let (margin, level) = (Some(f64::from(wire.margin)), Some(widen(wire.battery_level)));
            event.status = Some(status(margin, wire.external_power_source, wire.battery_level_unavailable, level));
            Ok(Some(event))
        }
        "location" => {
            let wire: LocationEvent = decode(message)?;
            let mut event = event(Kind::Location, wire.deduplication_id, wire.time, wire.device_info)?;
            event.location = wire.location.map(Place::from);
            Ok(Some(event))
        }
        _ => Ok(None),
    }
}

fn decode<M: Message + Default>(message: &Incoming<'_>) -> Result<M, Reject> {
    M::decode(message.payload).map_err(|e| {
        let text = format!("not an event of ChirpStack v4 in protobuf: {e}; if its integration has json = true, use chirpstack_v4");
        Reject::new(Reason::WrongType, text)
    })
}

fn event(kind: Kind, id: String, time: Option<Time>, info: Option<DeviceInfo>) -> Result<Event, Reject> {
    let info = info.unwrap_or_default();
    let some = |text: String| Some(text).filter(|t| !t.is_empty());
    let device = Device {
        eui: eui("device_info.dev_eui", Some(&info.dev_eui))?,
        id: None,
        name: some(info.device_name),
        application: some(info.application_name).or_else(|| some(info.application_id)),
        profile: some(info.device_profile_name),
        tags: info.tags.into_iter().map(|(k, v)| (k, Value::String(v))).collect::<BTreeMap<_, _>>(),
    };
    Ok(Event { id: some(id), time: time.and_then(text), ..Event::new(kind, device) })
}

fn uplink(wire: UplinkEvent) -> Result<Event, Reject> {
    encrypted(wire.join_server_context.is_some())?;
    let mut event = event(Kind::Up, wire.deduplication_id, wire.time, wire.device_info)?;
    event.gateways = wire.rx_info.into_iter().map(gateway).collect();
    event.time = event.time.or_else(|| event.gateways.iter().find_map(|g| g.time.clone()));
    event.f_port = u8::try_from(wire.f_port).ok().filter(|p| *p != 0);
    event.f_cnt = Some(wire.f_cnt);
    event.data = Some(frame("data", &wire.data)?);
    event.confirmed = wire.confirmed.then_some(true);
    let lora = wire.tx_info.as_ref().and_then(|t| t.modulation.as_ref()).and_then(|m| m.lora.as_ref());
    event.radio = Radio {
        dr: Some(wire.dr),
        spreading_factor: lora.map(|l| l.spreading_factor),
        bandwidth: lora.map(|l| l.bandwidth),
        frequency: wire.tx_info.as_ref().map(|t| u64::from(t.frequency)),
    };
    if let Some(object) = wire.object {
        let raw = to_raw_value(&json(object)).map_err(|e| Reject::field(Reason::WrongType, "object", e.to_string()))?;
        event.object = Some(raw);
    }
    Ok(event)
}

fn gateway(rx: RxInfo) -> Gateway {
    let heard = rx.rssi != 0;
    Gateway {
        id: Some(rx.gateway_id).filter(|t| !t.is_empty()),
        rssi: heard.then(|| f64::from(rx.rssi)),
        snr: heard.then(|| widen(rx.snr)),
        place: rx.location.map(Place::from).unwrap_or_default(),
        time: rx.gw_time.or(rx.ns_time).and_then(text),
    }
}

impl From<Location> for Place {
    fn from(l: Location) -> Self {
        let some = |v: f64| Some(v).filter(|v| v.is_finite() && *v != 0.0);
        let source = usize::try_from(l.source).ok().and_then(|i| SOURCES.get(i)).filter(|_| l.source != 0).map(|s| (*s).to_owned());
        Self { accuracy: some(widen(l.accuracy)), source, ..place(Some(l.longitude), Some(l.latitude), some(l.altitude)) }
    }
}

/// The shortest decimal of a float, so that 88.3 stays 88.3.
fn widen(v: f32) -> f64 {
    v.to_string().parse().unwrap_or(f64::from(v))
}

fn text(time: Time) -> Option<String> {
    jiff::Timestamp::new(time.seconds, time.nanos).ok().map(|t| t.to_string())
}

/// Nesting is bounded by prost (100 levels); a number that JSON does not have is null.
fn json(object: Struct) -> Value {
    Value::Object(object.fields.into_iter().map(|(k, v)| (k, value(v))).collect::<Map<_, _>>())
}

fn value(any: Any) -> Value {
    match any.kind {
        None | Some(Something::Null(_)) => Value::Null,
        Some(Something::Number(n)) => Number::from_f64(n).map_or(Value::Null, Value::Number),
        Some(Something::Text(text)) => Value::String(text),
        Some(Something::Bool(b)) => Value::Bool(b),
        Some(Something::Object(object)) => json(object),
        Some(Something::List(list)) => Value::Array(list.values.into_iter().map(value).collect()),
    }
}
