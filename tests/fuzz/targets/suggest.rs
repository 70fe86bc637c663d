//! What waits in quarantine, as suggestions: each must prove itself on the messages it was made of.
#![no_main]

use ingest::{
    mapping::route::Router,
    suggest::{Options, Sample, suggest},
};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, OnceLock};

const TOPICS: [&str; 4] = ["city/sensors/a7", "maker/v1/b-12/data", "portico/bologna/weather/x", "lab/1"];

fuzz_target!(|data: &[u8]| {
    static ONCE: OnceLock<Arc<Router>> = OnceLock::new();
    let router = ONCE.get_or_init(|| fuzz::router(&[]));
    let [topic, payloads @ ..] = data else { return };
    let sample = |(i, payload): (usize, &[u8])| Sample {
        tenant: fuzz::tenant(),
        topic: fuzz::pick(&TOPICS, topic.wrapping_add(i as u8 % 2)).to_owned(),
        payload: payload.to_vec().into(),
        reason: "unknown_topic".into(),
        message: "no mapping reads this topic".into(),
        received_at: fuzz::NOW,
    };
    let samples: Vec<Sample> = fuzz::messages(payloads).enumerate().map(sample).collect();
    suggest(&samples, router, &Options { zone: "Europe/Rome".into() });
});
