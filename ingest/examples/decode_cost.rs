//! CPU time of decoding one message, for line protocol and for JSON, on one thread.
//!
//! `cargo run --release -p ingest --example decode_cost`

use ingest::{
    Mappings, RawMessage,
    decode::{DecodeLimits, Decoded, Decoder, Receipt},
    format::line_protocol::Lines,
    mapping::route::Router,
};
use schemas::{Contracts, Tenant, Timestamp};
use std::{error::Error, sync::Arc};

const MESSAGES: usize = 500_000;
const GROUP: usize = 8_192;

/// Nanoseconds that this thread has run.
fn cpu_ns() -> Result<u64, Box<dyn Error>> {
    Ok(std::fs::read_to_string("/proc/thread-self/schedstat")?.split(' ').next().unwrap_or_default().parse()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let received_at = Timestamp::parse("2026-03-01T10:00:00Z")?;
    let tenant = Tenant::new("bologna")?;
    let limits = DecodeLimits {
        payload_bytes_max: 256 * 1024,
        depth_max: 16,
        observations_per_message_max: 10_000,
        topics_cached_max: 100_000,
        oldest_accepted: Timestamp(0),
        retention: true,
    };
    let router = Arc::new(Router::new(Contracts::builtin()?, Mappings::builtin())?);
    let at = received_at.micros() - 3_600_000_000;
    let value = |i: usize| (i % 3_000) as f64 / 100.0;
    let line = |i: usize| {
        let (t, at) = (value(i), (at + (i / 10_000) as i64 * 1_000_000) * 1_000);
        format!("weather,id=s{:05} temperature={t},humidity=45.5,pressure=1013.2 {at}", i % 10_000)
    };
    let json = |i: usize| {
        let (t, at) = (value(i), at + (i / 10_000) as i64 * 1_000_000);
        format!(r#"{{"id":"s{:05}","observed_at":{at},"temperature":{t},"humidity":45.5,"pressure":1013.2}}"#, i % 10_000)
    };
    let lines: Vec<String> = (0..MESSAGES).map(line).collect();
    let jsons: Vec<String> = (0..MESSAGES).map(json).collect();
    for (name, topic, texts) in [("line protocol", "influx/city/weather", &lines), ("JSON", "portico/bologna/weather", &jsons)] {
        let body = bytes::Bytes::from(texts.join("\n"));
        for _ in 0..3 {
            let start = cpu_ns()?;
            let messages: Vec<RawMessage> =
                Lines::new(&body).map(|(_, range)| RawMessage { topic: topic.into(), payload: body.slice(range) }).collect();
            let split = cpu_ns()?;
            let mut decoder = Decoder::new(Arc::clone(&router), limits.clone());
            let mut rows = 0;
            for group in messages.chunks(GROUP) {
                let mut out = Decoded::default();
                for (i, message) in group.iter().enumerate() {
                    decoder.message(Receipt { tenant: &tenant, received_at }, i as u32, message, &mut out);
                }
                rows += out.blocks.iter().map(|b| b.rows.len()).sum::<usize>();
            }
            let end = cpu_ns()?;
            let each = |ns: u64| ns / MESSAGES as u64;
            println!(
                "{name}: {} ns to split, {} ns to decode, {rows} rows, {} bytes each",
                each(split - start),
                each(end - split),
                body.len() / MESSAGES
            );
        }
    }
    Ok(())
}
