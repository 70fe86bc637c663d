//! A codec in a mapping, through the pipeline, on envelopes of the field.

use super::*;
use crate::{
    Group, Mappings, RawMessage, Sink,
    pipeline::{Outcome, Pipeline},
    testing::{MemorySink, contracts, publisher},
};
use std::path::Path;

const MAPPING: &str = r#"
[[mapping]]
name = "rooms"
topic = "lns/{server}"
format = "lorawan"
codec = "elsys"
product = "weather"
entity = "/device/eui"
observed_at = "/time"
simulated = "/simulated"
quality = { pointer = "/decoded", table = { ok = "valid", warned = "suspect" } }
unknown_fields = "ignore"
[mapping.fields]
temperature = "/object/temperature"
humidity = "/object/humidity"
"#;

fn codecs() -> Codecs {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    Codecs::load(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/codecs")), &CodecLimits::default(), &clock).expect("codecs")
}

fn start(text: &str, codecs: Codecs, sink: &Arc<MemorySink>) -> Result<Pipeline, IngestError> {
    let mut mappings = Mappings::parse([("rooms.toml", text)])?;
    mappings.codecs = codecs;
    Pipeline::start(crate::testing::keeping_all(), contracts(), mappings, Arc::clone(sink) as Arc<dyn Sink>)
}

async fn send(pipeline: &Pipeline, payloads: &[Value]) -> Outcome {
    let messages = payloads.iter().map(|p| RawMessage { topic: "lns/x".into(), payload: p.to_string().into() }).collect();
    let group = Group { publisher: publisher(), messages, rejects: Vec::new(), received_at: at() };
    pipeline.submit_group(group).await.unwrap().outcome().await.unwrap()
}

fn loriot(counter: u32, data: &str) -> Value {
    json!({"cmd": "rx", "EUI": "A81758FFFE000001", "ts": 1_684_478_801_936i64 + i64::from(counter) * 60_000, "fcnt": counter, "port": 5,
           "freq": 867_500_000, "rssi": -21, "snr": 10, "dr": "SF9 BW125 4/5", "data": data})
}

#[tokio::test]
async fn payloads_become_rows_and_what_the_codec_refuses_is_quarantined() {
    let sink = Arc::new(MemorySink::default());
    let pipeline = start(MAPPING, codecs(), &sink).unwrap();
    let payloads = [loriot(1, "0100d7022d"), loriot(2, "01ffc4"), loriot(3, "01"), loriot(1, "0100d7022d")];
    let outcome = send(&pipeline, &payloads).await;
    assert_eq!((outcome.counts.stored + outcome.counts.late, outcome.counts.duplicate, outcome.counts.quarantined), (2, 1, 1));
    let reject = &outcome.rejects[0];
    assert_eq!((reject.message, reject.reason), (2, "codec_failed"));
    assert!(reject.text.contains("elsys#") && reject.text.contains("cut off"), "{}", reject.text);
    let rows = sink.rows().join("\n");
    assert!(rows.contains("21.5") && rows.contains("-6.0") && rows.contains("valid"), "{rows}");
}

#[test]
fn a_mapping_with_a_codec_that_is_absent_or_fails_its_frames_does_not_start() {
    let rule = |text: &str, codecs: Codecs| {
        let mut mappings = Mappings::parse([("rooms.toml", text)]).unwrap();
        mappings.codecs = codecs;
        crate::mapping::route::Router::new(contracts(), mappings).unwrap_err().to_string()
    };
    assert!(rule(MAPPING, Codecs::builtin()).contains("there is no codec 'elsys'"));
    assert!(rule(&MAPPING.replace("\"elsys\"", "\"elsis\""), codecs()).contains("did you mean 'elsys'"));
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("elsys");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("codec.js"), "function Decoder() { return { a: 1 }; }").unwrap();
    std::fs::write(own.join("examples.jsonl"), r#"{"description": "first", "bytes": "00", "expected": {"data": {"a": 2}}}"#).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let wrong = rule(MAPPING, Codecs::load(dir.path(), &CodecLimits::default(), &clock).unwrap());
    assert!(wrong.contains("1 of 1 recorded frames") && wrong.contains("'first': /data/a is 1, expected 2"), "{wrong}");
}

#[tokio::test]
async fn a_document_without_a_payload_names_what_is_missing() {
    let sink = Arc::new(MemorySink::default());
    let text = MAPPING.replace("format = \"lorawan\"\n", "").replace("elsys", cayenne::NAME);
    let pipeline = start(&text, Codecs::builtin(), &sink).unwrap();
    let outcome =
        send(&pipeline, &[json!({"time": AT, "device": {"eui": "a"}}), json!({"time": AT, "device": {"eui": "a"}, "data": "0g"})]).await;
    assert_eq!(outcome.counts.quarantined, 2);
    assert!(outcome.rejects.iter().all(|r| r.reason == "missing_field" && r.field.as_deref() == Some("data")), "{:?}", outcome.rejects);
}

/// Every number that the field expects, from the codecs of the project, whatever it is called.
#[tokio::test]
async fn values_of_the_envelopes_are_those_that_are_expected() {
    let root = std::env::var("PORTICO_SHARED").unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared").to_owned());
    let Ok(text) = std::fs::read_to_string(Path::new(&root).join("data/lorawan/lns_envelopes.jsonl")) else { return };
    let codecs = codecs();
    let format = crate::format::named("lorawan").unwrap().format;
    let publisher = publisher();
    let (mut n, mut n_values, mut without) = (0, 0, 0);
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        if row["direction"] != "uplink" {
            continue;
        }
        let device = row["device"].as_str().unwrap();
        let (name, model) = match row["vendor"].as_str().unwrap() {
            "Elsys" => ("elsys", ""),
            "Decentlab" => ("decentlab", if device == "DL-SHT35-002" { "DL-SHT35" } else { device }),
            _ => ("", ""),
        };
        let source = include_str!("../../../codecs/decentlab/codec.js");
        if name.is_empty() || !model.is_empty() && !source.contains(&format!("\"{model}\": [")) {
            without += 1;
            continue;
        }
        let mut document = Vec::new();
        let payload = row["payload"].to_string();
        let incoming =
            crate::format::Incoming { tenant: &publisher.tenant, topic: "lns/x", payload: payload.as_bytes(), received_at: at() };
        format.translate(incoming, &mut document).unwrap();
        let mut document: Value = serde_json::from_slice(&document).unwrap();
        document["device"]["tags"] = json!({"model": model});
        let decoded = message::apply(&codecs.get(name).unwrap(), document.to_string().as_bytes(), at());
        let decoded = decoded.unwrap_or_else(|e| panic!("{device}: {e}: {payload}")).expect("an uplink");
        let decoded: Value = serde_json::from_slice(&decoded).unwrap();
        let have: Vec<f64> = decoded["object"].as_object().unwrap().values().filter_map(Value::as_f64).collect();
        let first = |v: &Value| v.as_array().map_or_else(|| v.clone(), |list| list[0].clone());
        for values in first(&row["expected_thingsboard"])["telemetry"].as_array().unwrap() {
            let values = values["values"].as_object().unwrap();
            for (key, value) in values.iter().filter(|(k, _)| !k.starts_with("lora_")) {
                let Some(want) = value.as_f64() else { continue };
                assert!(have.iter().any(|v| (v - want).abs() <= 1e-9 * want.abs().max(1.0)), "{device} {key}: {want} is not in {have:?}");
                n_values += 1;
            }
        }
        n += 1;
    }
    println!("{n_values} values of {n} envelopes are as expected; {without} envelopes are of devices without a codec here");
    assert!(n >= 300, "only {n}");
}
