//! JSON and line protocol through routes, mappings and contracts: every message becomes rows, refusals or a drop.
#![no_main]

use ingest::{
    Mappings, RawMessage,
    decode::{DecodeLimits, Decoded, Decoder, Receipt},
    mapping::route::Router,
};
use libfuzzer_sys::fuzz_target;
use schemas::{Contracts, Tenant, Timestamp};
use std::sync::{Arc, OnceLock};

const TOPICS: [&str; 4] = ["portico/bologna/air_quality/a", "portico/bologna/weather", "masts/site/mast", "influx/db/weather"];

fn router() -> Arc<Router> {
    static ONCE: OnceLock<Arc<Router>> = OnceLock::new();
    let new = || {
        let files = [("example.toml", include_str!("../../../ingest/mappings/example.toml")), ("influx.toml", include_str!("../../../ingest/mappings/influx.toml"))];
        Arc::new(Router::new(Contracts::builtin().expect("contracts"), Mappings::parse(files).expect("mappings")).expect("router"))
    };
    Arc::clone(ONCE.get_or_init(new))
}

fuzz_target!(|data: &[u8]| {
    let [topic, payload @ ..] = data else { return };
    let limits = DecodeLimits {
        payload_bytes_max: 1 << 18,
        depth_max: 16,
        observations_per_message_max: 1_000,
        topics_cached_max: 100,
        oldest_accepted: Timestamp(0),
        retention: true,
    };
    let mut decoder = Decoder::new(router(), limits);
    let tenant = Tenant::new("bologna").expect("a name");
    let receipt = Receipt { tenant: &tenant, received_at: Timestamp(1_790_000_000_000_000) };
    let topic = TOPICS[usize::from(*topic) % TOPICS.len()];
    let message = RawMessage { topic: topic.as_bytes().to_vec().into(), payload: payload.to_vec().into() };
    let mut out = Decoded::default();
    decoder.message(receipt, 0, &message, &mut out);
    let n_rows: usize = out.blocks.iter().map(|b| b.rows.len()).sum();
    assert!(n_rows + out.refusals.len() + out.dropped as usize >= 1, "a message vanished");
});
