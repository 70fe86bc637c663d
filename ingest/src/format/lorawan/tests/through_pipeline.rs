//! `ingest/mappings/lorawan.toml` on the envelopes, through the pipeline.

use super::*;
use crate::{
    Group, Mappings, RawMessage, Sink,
    pipeline::Pipeline,
    testing::{MemorySink, contracts, publisher},
};
use std::sync::Arc;

fn start(sink: &Arc<MemorySink>) -> Pipeline {
    let mappings = Mappings::parse([("lorawan.toml", include_str!("../../../../mappings/lorawan.toml"))]).expect("mappings");
    Pipeline::start(crate::testing::keeping_all(), contracts(), mappings, Arc::clone(sink) as Arc<dyn Sink>).expect("started")
}

fn messages() -> Vec<RawMessage> {
    let mut out = Vec::new();
    for event in ["up", "join", "status", "ack", "txack", "log", "location", "integration"] {
        let Some(payload) = chirpstack(event) else { return Vec::new() };
        out.push(RawMessage { topic: format!("{TOPIC}{event}").into(), payload: payload.to_string().into() });
    }
    let Some(path) = shared("lorawan/lns_envelopes.jsonl") else { return Vec::new() };
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        if row["direction"] == "uplink" {
            let topic = format!("lns/{}", row["lns"].as_str().unwrap());
            out.push(RawMessage { topic: topic.into(), payload: row["payload"].to_string().into() });
        }
    }
    out
}

async fn deliver(orders: impl IntoIterator<Item = Vec<RawMessage>>) -> (Vec<String>, schemas::Counts) {
    let sink = Arc::new(MemorySink::default());
    let pipeline = start(&sink);
    let received_at = Timestamp::parse("2026-03-01T10:00:00Z").unwrap();
    for messages in orders {
        let group = Group { publisher: publisher(), messages, rejects: Vec::new(), received_at };
        pipeline.submit_group(group).await.expect("taken").outcome().await.expect("stored");
    }
    pipeline.close().await;
    (sink.rows(), sink.counts())
}

#[tokio::test]
async fn ten_deliveries_in_other_orders_give_the_rows_of_one() {
    let messages = messages();
    if messages.is_empty() {
        return;
    }
    // Devices of the examples that say several things of one instant keep the first of them, so each instant comes once.
    let mut seen = std::collections::HashSet::new();
    let messages: Vec<RawMessage> = messages
        .into_iter()
        .filter(|m| match translate("lorawan", std::str::from_utf8(&m.topic).unwrap(), &m.payload) {
            Ok(Some(d)) => seen.insert((d["device"]["eui"].to_string(), d["time"].to_string())),
            _ => true,
        })
        .collect();
    let (once, counts) = deliver([messages.clone()]).await;
    assert_eq!((counts.quarantined, counts.imbalance()), (0, 0));
    // join, ack, txack, log, integration
    assert_eq!(counts.dropped, 5);
    assert_eq!(once.len() as u64, counts.stored + counts.late);
    let mut orders = Vec::new();
    for k in 1..=10usize {
        // A step that is prime to any length below 7919 visits all of them.
        let n = messages.len();
        orders.push((0..n).map(|i| messages[(i * 7_919 + k * 131) % n].clone()).collect());
    }
    let (again, counts) = deliver(orders).await;
    assert_eq!(again, once);
    assert_eq!(counts.stored + counts.late, once.len() as u64);
    assert_eq!(counts.duplicate, 9 * once.len() as u64);
}

#[tokio::test]
async fn a_status_and_a_location_become_rows_and_a_simulated_uplink_is_marked() {
    let Some(status) = chirpstack("status") else { return };
    let mut location = chirpstack("location").unwrap();
    location["location"]["source"] = "GEO_RESOLVER_TDOA".into();
    let up = shared("fixtures/tts_v3/up_doc.json").unwrap();
    let up: Value = serde_json::from_slice(&std::fs::read(up).unwrap()).unwrap();
    let mut simulated = up["payload"].clone();
    simulated["simulated"] = true.into();
    let message = |topic: String, payload: Value| RawMessage { topic: topic.into(), payload: payload.to_string().into() };
    let (rows, counts) = deliver([vec![
        message(format!("{TOPIC}status"), status),
        message(format!("{TOPIC}location"), location),
        message("lns/tts".into(), simulated),
    ]])
    .await;
    assert_eq!((counts.stored + counts.late, counts.quarantined), (3, 0));
    let all = rows.join("\n");
    assert!(all.contains("88.3") && all.contains("GEO_RESOLVER_TDOA") && all.contains("37.344214"), "{all}");
}
