use crate::{
    Mappings, RawMessage,
    decode::{Decoded, Decoder, Receipt, block::Slot, reject::Reason},
    mapping::route::Router,
    testing,
};
use schemas::{Tenant, Timestamp};
use std::{path::PathBuf, sync::Arc};

const DEVICES: &str = include_str!("../../mappings/chirpstack.toml");
const UP: &str = "application/17c82e96-be03-4f38-aef3-f83d48582d97/device/0101010101010101/event/up";

/// The event of ChirpStack's own documentation, with a decoded object.
fn event(object: serde_json::Value) -> serde_json::Value {
    let shared =
        std::env::var("PORTICO_SHARED").map_or_else(|_| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let text = std::fs::read(shared.join("data/fixtures/chirpstack_v4/event_up.json")).unwrap();
    let mut event: serde_json::Value = serde_json::from_slice(&text).unwrap();
    event["deviceInfo"]["deviceProfileName"] = "Bin level ultrasonic".into();
    event["deviceInfo"]["tags"] = serde_json::json!({"lon": "11.3428", "lat": "44.4938"});
    event["object"] = object;
    event
}

fn decode(topic: &str, event: &serde_json::Value) -> Decoded {
    let router = Router::new(testing::contracts(), Mappings::parse([("chirpstack.toml", DEVICES)]).unwrap()).unwrap();
    let mut decoder = Decoder::new(Arc::new(router), testing::limits());
    let mut out = Decoded::default();
    let received_at = Timestamp::parse("2022-07-18T09:34:16Z").unwrap();
    let message = RawMessage { topic: topic.to_owned().into(), payload: event.to_string().into() };
    decoder.message(Receipt { tenant: &Tenant::new("bologna").unwrap(), received_at }, 0, &message, &mut out);
    out
}

#[test]
fn an_uplink_becomes_a_row_of_the_product_of_its_profile() {
    let out = decode(UP, &event(serde_json::json!({"fill_level": 43.0, "temp": 215.0, "battery": {"volts": 3.6}, "raw": [1, 2]})));
    assert!(out.refusals.is_empty(), "{:?}", out.refusals);
    let block = &out.blocks[0];
    let row = &block.rows[0];
    assert_eq!(block.table.name.to_string(), "bologna.waste_container");
    assert!(row.entity.id.ends_with(":bologna:0101010101010101"));
    assert_eq!(row.observed_at.to_rfc3339(), "2022-07-18T09:34:15.775023Z");
    assert!(row.place.is_some());
    let slot = |name: &str| block.slots_of(0)[block.table.contract.field(name).unwrap().0];
    assert_eq!((slot("fill"), slot("temperature"), slot("battery")), (Slot::Float(43.0), Slot::Float(21.5), Slot::Null));
}

#[test]
fn a_device_nobody_mapped_is_named_and_a_missing_codec_is_told() {
    let mut other = event(serde_json::json!({"fill_level": 43.0}));
    other["deviceInfo"]["deviceProfileName"] = "Something else".into();
    let refusal = &decode(UP, &other).refusals[0].reject;
    assert_eq!(refusal.reason, Reason::UnknownTopic);
    assert!(refusal.message.contains("Something else"), "{}", refusal.message);
    let refusal = &decode(UP, &event(serde_json::Value::Null)).refusals[0].reject;
    assert_eq!(refusal.reason, Reason::MissingField);
}

#[test]
fn the_other_events_are_dropped_by_policy() {
    for kind in ["join", "status", "ack", "txack", "log", "location", "integration"] {
        let out = decode(&UP.replace("/up", &format!("/{kind}")), &serde_json::json!({}));
        assert_eq!((out.dropped, out.refusals.len()), (1, 0), "{kind}");
    }
}
