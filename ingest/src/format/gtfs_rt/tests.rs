use super::{wire::*, *};
use crate::{
    Group, Mappings, RawMessage, Sink,
    pipeline::Pipeline,
    testing::{MemorySink, contracts, publisher},
};
use proptest::prelude::*;
use schemas::Tenant;
use serde_json::{Value, json};
use std::{path::PathBuf, sync::Arc};

const MAPPINGS: &str = include_str!("../../../mappings/gtfs_rt.toml");

fn translate(payload: &[u8]) -> Result<Vec<Value>, Reject> {
    let tenant = Tenant::new("bologna").unwrap();
    let received_at = Timestamp::parse("2026-08-01T00:00:00Z").unwrap();
    let mut out = Vec::new();
    GtfsRt.translate(Incoming { tenant: &tenant, topic: "gtfs-rt/tper", payload, received_at }, &mut out)?;
    Ok(out.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect())
}

/// The wire form of a message in the text format of protocol buffers, as far as the samples need it: one field or bracket per line.
fn encode(message: &str, lines: &mut dyn Iterator<Item = &str>) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(line) = lines.next() {
        let line = line.trim();
        if line == "}" {
            break;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_suffix('{').map(str::trim) {
            let (tag, inner) = nested(message, name);
            let body = encode(inner, lines);
            bytes(tag, &body, &mut out);
            continue;
        }
        let (name, value) = line.split_once(':').unwrap();
        let (tag, value) = (scalar(message, name.trim()), value.trim());
        match value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) {
            Some(text) => bytes(tag, text.as_bytes(), &mut out),
            None => {
                varint(u64::from(tag) << 3, &mut out);
                let number = match value {
                    "FULL_DATASET" => 0,
                    "CONSTRUCTION" => 10,
                    "DETOUR" => 4,
                    number => number.parse::<i64>().unwrap(),
                };
                varint(number as u64, &mut out);
            }
        }
    }
    out
}

fn varint(mut v: u64, out: &mut Vec<u8>) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

fn bytes(tag: u32, body: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(tag) << 3 | 2, out);
    varint(body.len() as u64, out);
    out.extend_from_slice(body);
}

/// Field numbers of the reference, written here a second time so that a slip in `wire` is seen.
fn nested(message: &str, name: &str) -> (u32, &'static str) {
    match (message, name) {
        ("feed", "header") => (1, "header"),
        ("feed", "entity") => (2, "entity"),
        ("entity", "trip_update") => (3, "trip_update"),
        ("entity", "alert") => (5, "alert"),
        ("trip_update", "trip") => (1, "trip"),
        ("trip_update", "stop_time_update") => (2, "stop_time_update"),
        ("stop_time_update", "arrival") => (2, "event"),
        ("alert", "active_period") => (1, "period"),
        ("alert", "informed_entity") => (5, "selector"),
        ("alert", "url") => (8, "translated"),
        ("alert", "header_text") => (10, "translated"),
        ("alert", "description_text") => (11, "translated"),
        ("translated", "translation") => (1, "translation"),
        other => panic!("{other:?}"),
    }
}

fn scalar(message: &str, name: &str) -> u32 {
    match (message, name) {
        ("header", "gtfs_realtime_version")
        | ("entity", "id")
        | ("trip", "trip_id")
        | ("stop_time_update", "stop_sequence")
        | ("event", "delay")
        | ("period", "start")
        | ("translation", "text") => 1,
        ("header", "incrementality")
        | ("trip", "start_time")
        | ("selector", "route_id")
        | ("period", "end")
        | ("translation", "language") => 2,
        ("header", "timestamp") => 3,
        ("selector", "stop_id") => 5,
        ("alert", "cause") => 6,
        ("alert", "effect") => 7,
        other => panic!("{other:?}"),
    }
}

pub(in crate::format) fn sample(name: &str) -> Option<Vec<u8>> {
    let root = std::env::var_os("PORTICO_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let text = std::fs::read_to_string(root.join("data/gtfs").join(name)).ok();
    assert!(text.is_some() || std::env::var_os("CI").is_none(), "{name} is absent; set PORTICO_SHARED");
    Some(encode("feed", &mut text?.lines()))
}

fn vehicles() -> Vec<u8> {
    let position = Place { latitude: Some(44.494_9), longitude: Some(11.342_6), bearing: Some(90.0), odometer: None, speed: Some(10.0) };
    let trip =
        TripDescriptor { trip_id: Some("t1".into()), route_id: Some("27".into()), direction_id: Some(0), ..TripDescriptor::default() };
    let vehicle = Vehicle {
        trip: Some(trip),
        position: Some(position),
        timestamp: Some(1_780_000_000),
        vehicle: Some(VehicleDescriptor { id: Some("5501".into()), label: Some("27 Corticella".into()) }),
        current_stop_sequence: Some(4),
        occupancy_status: Some(1),
        ..Vehicle::default()
    };
    let lost = Vehicle {
        position: Some(Place { latitude: Some(0.0), longitude: Some(0.0), ..Place::default() }),
        congestion_level: Some(99),
        occupancy_percentage: Some(40),
        ..Vehicle::default()
    };
    let entity = |id: &str, vehicle| Entity { id: id.into(), vehicle: Some(vehicle), ..Entity::default() };
    let gone = Entity { is_deleted: Some(true), ..entity("c", Vehicle::default()) };
    let header = Header { gtfs_realtime_version: "2.0".into(), timestamp: Some(1_780_000_030) };
    Feed { header: Some(header), entity: vec![entity("a", vehicle), entity("b", lost), gone] }.encode_to_vec()
}

#[test]
fn positions_keep_what_is_there_and_nothing_else() {
    let documents = translate(&vehicles()).unwrap();
    let rows = &documents[0]["rows"];
    let have: Vec<_> =
        ["id", "lon", "lat", "speed", "direction", "status", "occupancy", "time"].iter().map(|k| rows[0][k].clone()).collect();
    let want =
        [json!("5501"), json!(11.3426), json!(44.4949), json!(36.0), json!(0), json!("in_transit_to"), json!("many_seats_available")];
    assert_eq!((&have[..7], &have[7]), (&want[..], &json!(1_780_000_000_000_000i64)));
    let absent: Vec<_> = ["lon", "speed", "status", "congestion", "trip"].iter().map(|k| rows[1][k].is_null()).collect();
    assert_eq!((absent, &rows[1]["id"], rows.as_array().unwrap().len()), (vec![true; 5], &json!("b"), 2));
}

#[test]
fn a_licence_plate_is_not_read() {
    let mut descriptor = Vec::new();
    bytes(1, b"5501", &mut descriptor);
    bytes(3, b"AB123CD", &mut descriptor);
    let (mut vehicle, mut entity, mut feed) = (Vec::new(), Vec::new(), Vec::new());
    bytes(8, &descriptor, &mut vehicle);
    bytes(1, b"a", &mut entity);
    bytes(4, &vehicle, &mut entity);
    bytes(1, &Header::default().encode_to_vec(), &mut feed);
    bytes(2, &entity, &mut feed);
    let documents = translate(&feed).unwrap();
    assert_eq!(documents[0]["rows"][0]["id"], "5501");
    assert!(!documents[0].to_string().contains("AB123CD"));
}

#[test]
fn trip_updates_of_the_sample() {
    let Some(feed) = sample("trip-updates-full.asciipb") else { return };
    let documents = translate(&feed).unwrap();
    assert_eq!((documents.len(), &documents[0]["kind"]), (1, &json!("update")));
    let of = |name: &str| documents[0]["rows"].as_array().unwrap().iter().map(|r| r[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("stop_sequence"), [json!(3), json!(8), json!(10), json!(1), json!(9)]);
    assert_eq!(of("arrival_delay"), [json!(5), json!(1), Value::Null, json!(-2), Value::Null]);
    assert_eq!(of("start_time")[3..], [json!("11:15:35"), json!("11:15:35")]);
    assert_eq!(of("id")[0], json!("trip-1"));
}

#[test]
fn alerts_of_the_sample() {
    let Some(feed) = sample("alerts.asciipb") else { return };
    let documents = translate(&feed).unwrap();
    let rows = documents[0]["rows"].as_array().unwrap();
    let touched: Vec<_> = rows.iter().map(|r| (r["route"].clone(), r["stop"].clone())).collect();
    assert_eq!(touched, [(json!("219"), Value::Null), (Value::Null, json!("16230")), (json!("100"), json!("16299"))]);
    assert_eq!((&rows[0]["cause"], &rows[0]["effect"]), (&json!("construction"), &json!("detour")));
    assert_eq!((&rows[0]["starts_at"], &rows[0]["ends_at"]), (&json!("2010-09-14T09:44:28Z"), &json!("2010-09-14T12:41:12Z")));
    assert!(rows[0]["header"].as_str().unwrap().starts_with("Stop at Elm street"));
}

#[tokio::test]
async fn feeds_ten_times_in_any_order_give_the_same_rows() {
    let (Some(updates), Some(alerts)) = (sample("trip-updates-full.asciipb"), sample("alerts.asciipb")) else { return };
    // One feed may hold everything: the parts of protocol buffers may be put one after the other.
    let both = [updates.clone(), alerts.clone()].concat();
    let mut messages = vec![updates, alerts, vehicles(), both];
    let mut expect = None;
    for turn in 0..10 {
        let sink = Arc::new(MemorySink::default());
        let mappings = Mappings::parse([("gtfs_rt.toml", MAPPINGS)]).unwrap();
        let pipeline = Pipeline::start(crate::testing::keeping_all(), contracts(), mappings, Arc::clone(&sink) as Arc<dyn Sink>).unwrap();
        messages.rotate_left(1);
        for payload in &messages {
            let messages = vec![RawMessage { topic: "gtfs-rt/tper".into(), payload: payload.clone().into() }];
            let received_at = Timestamp::parse("2026-08-01T00:00:00Z").unwrap();
            let group = Group { publisher: publisher(), messages, rejects: Vec::new(), received_at };
            let outcome = pipeline.submit_group(group).await.unwrap().outcome().await.unwrap();
            assert_eq!(outcome.rejects, [], "turn {turn}");
        }
        assert_eq!((sink.rows().len(), sink.counts().duplicate), (5 + 3 + 2, 5 + 3));
        let rows = sink.rows();
        assert_eq!(expect.get_or_insert_with(|| rows.clone()), &rows);
    }
}

#[test]
fn what_is_no_feed_is_refused() {
    assert_eq!(translate(b"<html>").unwrap_err().reason, Reason::NotFormat);
    assert_eq!(translate(b"").unwrap_err().field.as_deref(), Some("header"));
}

proptest! {
    #[test]
    fn any_bytes_and_broken_feeds_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), at in any::<prop::sample::Index>()) {
        drop(translate(&bytes));
        let mut feed = vehicles();
        let at = at.index(feed.len());
        let end = (at + bytes.len() / 8).min(feed.len());
        feed.splice(at..end, bytes.iter().take(8).copied());
        drop(translate(&feed));
    }
}
