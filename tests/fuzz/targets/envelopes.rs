//! Uplinks as network servers wrap them, JSON and protobuf; and through mappings with a codec to rows.
#![no_main]

use ingest::mapping::route::Router;
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, OnceLock};

const FORMATS: [&str; 7] = ["lorawan", "chirpstack_v4", "chirpstack_v4_protobuf", "chirpstack_v3", "tts_v3", "loriot", "thingpark"];
const TOPICS: [&str; 6] = [
    "application/1/device/0101010101010101/event/up",
    "application/1/device/0101010101010101/event/status",
    "application/1/device/0101010101010101/event/join",
    "v3/app@ttn/devices/d/up",
    "v3/app@ttn/devices/d/join",
    "lns/loriot",
];
/// What the codec says, as it comes.
const LPP: &str = "[[mapping]]\nname = \"lpp\"\ntopic = \"lns/{server}\"\nformat = \"lorawan\"\ncodec = \"cayenne_lpp\"\nproduct = \"weather\"\nentity = \"/device/id\"\n\
                   observed_at = \"receipt\"\nunknown_fields = \"ignore\"\n[mapping.fields]\ntemperature = \"/object/temperature_1\"\n";

fuzz_target!(|data: &[u8]| {
    static ONCE: OnceLock<[Arc<Router>; 2]> = OnceLock::new();
    let routers = ONCE.get_or_init(|| {
        let lorawan = include_str!("../../../ingest/mappings/lorawan.toml");
        [fuzz::router(&[("lorawan.toml", lorawan)]), fuzz::router(&[("lpp.toml", LPP)])]
    });
    match data {
        [0xff, rest @ ..] => fuzz::decode(&routers[0], &TOPICS, rest),
        [0xfe, rest @ ..] => fuzz::decode(&routers[1], &TOPICS[5..], rest),
        _ => fuzz::translate(&FORMATS, &TOPICS, data),
    }
});
