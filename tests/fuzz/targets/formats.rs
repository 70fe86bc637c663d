//! Every foreign format: the first byte chooses it, the second a topic, the rest is the payload. What it writes must be JSON.
#![no_main]

use ingest::format::{Incoming, Translated, named, names};
use libfuzzer_sys::fuzz_target;
use schemas::{Tenant, Timestamp};

const TOPICS: [&str; 9] = [
    "application/1/device/0101010101010101/event/up",
    "v3/app@ttn/devices/d/up",
    "spBv1.0/group/NBIRTH/edge",
    "spBv1.0/group/NDATA/edge",
    "homie/5/car/$description",
    "homie/5/car/engine/temperature",
    "ul/key/device/attrs",
    "v1.1/Datastreams(1)/Observations",
    "onvif-mj/VideoAnalytics/profile/module",
];

fuzz_target!(|data: &[u8]| {
    let [format, topic, payload @ ..] = data else { return };
    let all: Vec<&str> = names().collect();
    let name = all[usize::from(*format) % all.len()];
    let chosen = named(name).expect("a name of the list");
    let tenant = Tenant::new("bologna").expect("a name");
    let message = Incoming { tenant: &tenant, topic: TOPICS[usize::from(*topic) % TOPICS.len()], payload, received_at: Timestamp(1_790_000_000_000_000) };
    let mut out = Vec::new();
    if let Ok(Translated::Document | Translated::Documents) = chosen.format.translate(message, &mut out) {
        assert!(std::str::from_utf8(&out).is_ok(), "{name} wrote what is not UTF-8");
        assert!(out.len() < 64 << 20, "{name} made {} bytes of {}", out.len(), payload.len());
    }
});
