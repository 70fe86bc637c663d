//! Conventions over MQTT: several messages of one sender, because Sparkplug and Homie keep what a birth said.
#![no_main]

use ingest::mapping::route::Router;
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, OnceLock};

const FORMATS: [&str; 8] = ["senml", "fiware_json", "ultralight", "homie5", "tasmota", "sensorthings", "ngsi_ld", "sparkplug_b"];
const TOPICS: [&str; 12] = [
    "spBv1.0/group/NBIRTH/edge",
    "spBv1.0/group/NDATA/edge",
    "spBv1.0/group/DBIRTH/edge/pump",
    "spBv1.0/group/DDATA/edge/pump",
    "spBv1.0/group/NDEATH/edge",
    "homie/5/car/$description",
    "homie/5/car/engine/temperature",
    "/ul/key/device/attrs",
    "/json/key/device/attrs",
    "v1.1/Datastreams(1)/Observations",
    "v1.1/CreateObservations",
    "tele/mast/SENSOR",
];
/// Formats without state between messages, so that an input fails again by itself.
const READ: [&str; 8] = [
    "/ul/key/device/attrs",
    "/json/key/device/attrs",
    "v1.1/Datastreams(1)/Observations",
    "v1.1/CreateObservations",
    "tele/mast/SENSOR",
    "zigbee2mqtt/lamp",
    "ngsi-ld/WeatherObserved",
    "webhook/bins",
];

fuzz_target!(|data: &[u8]| {
    static ONCE: OnceLock<Arc<Router>> = OnceLock::new();
    let router = ONCE.get_or_init(|| {
        fuzz::router(&[
            ("fiware.toml", include_str!("../../../ingest/mappings/fiware.toml")),
            ("sensorthings.toml", include_str!("../../../ingest/mappings/sensorthings.toml")),
            ("home.toml", include_str!("../../../ingest/mappings/home.toml")),
            ("doors.toml", include_str!("../../../ingest/mappings/doors.toml")),
        ])
    });
    match data {
        [0xff, rest @ ..] => fuzz::decode(router, &READ, rest),
        _ => fuzz::translate(&FORMATS, &TOPICS, data),
    }
});
