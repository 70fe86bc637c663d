//! The seam, and every convention on its own sample, through the pipeline.

use crate::{
    Group, Mappings, RawMessage, Sink,
    pipeline::{Outcome, Pipeline},
    testing::{MemorySink, contracts, publisher},
};
use bytes::Bytes;
use schemas::{Counts, Timestamp};
use serde_json::Value;
use std::{path::PathBuf, sync::Arc};

mod every_fixture;

pub(super) const NOW: &str = "2026-03-01T10:00:00Z";

/// A pipeline over memory.
pub(super) struct City {
    pub(super) sink: Arc<MemorySink>,
    pipeline: Pipeline,
}

impl City {
    pub(super) fn new(mappings: &str) -> Self {
        let sink = Arc::new(MemorySink::default());
        let mappings = Mappings::parse([("test.toml", mappings)]).unwrap();
        let pipeline = Pipeline::start(crate::testing::keeping_all(), contracts(), mappings, Arc::clone(&sink) as Arc<dyn Sink>).unwrap();
        Self { sink, pipeline }
    }

    pub(super) async fn send(&self, messages: &[(&str, &[u8])]) -> Outcome {
        let message = |(topic, payload): &(&str, &[u8])| RawMessage {
            topic: Bytes::copy_from_slice(topic.as_bytes()),
            payload: Bytes::copy_from_slice(payload),
        };
        let messages = messages.iter().map(message).collect();
        let group = Group { publisher: publisher(), messages, rejects: Vec::new(), received_at: Timestamp::parse(NOW).unwrap() };
        self.pipeline.submit_group(group).await.unwrap().outcome().await.unwrap()
    }
}

pub(super) fn all_samples() -> Vec<Value> {
    let shared =
        std::env::var("PORTICO_SHARED").map_or_else(|_| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    serde_json::from_slice(&std::fs::read(shared.join("data/fixtures/mqtt_conventions/samples.json")).unwrap()).unwrap()
}

/// The samples of one convention: topic and payload.
pub(super) fn samples(convention: &str) -> Vec<(String, Vec<u8>)> {
    let sample = |s: Value| {
        let payload = s["payload_text"].as_str().map_or_else(|| s["payload"].to_string(), str::to_owned);
        (s["topic"].as_str().unwrap().to_owned(), payload.into_bytes())
    };
    all_samples().into_iter().filter(|s| s["conv"] == convention).map(sample).collect()
}

/// Sends the samples of some conventions in one group.
async fn outcome_of(mappings: &str, conventions: &[&str]) -> (Counts, Vec<String>, Vec<String>) {
    let city = City::new(mappings);
    let samples: Vec<_> = conventions.iter().flat_map(|c| samples(c)).collect();
    assert!(samples.len() >= conventions.len());
    let messages: Vec<(&str, &[u8])> = samples.iter().map(|(t, p)| (t.as_str(), p.as_slice())).collect();
    let outcome = city.send(&messages).await;
    (outcome.counts, city.sink.rows(), outcome.rejects.iter().map(|r| format!("{}: {}", r.reason, r.text)).collect())
}

fn mapping(name: &str, format: &str, field: &str) -> String {
    format!(
        "[[mapping]]\nname = \"{name}\"\ntopic = \"x/{{device}}\"\nformat = \"{format}\"\nproduct = \"weather\"\nentity = \"{{device}}\"\n\
         each = \"/by_time\"\nobserved_at = {{ pointer = \"/time\", format = \"epoch_s\" }}\nunknown_fields = \"ignore\"\nfields.humidity = \"{field}\"\n"
    )
}

#[tokio::test]
async fn a_pack_of_senml_becomes_rows_and_again_changes_nothing() {
    let city = City::new(&mapping("senml", "senml", "/values/humidity").replace("x/{device}", "city/senml/{device}"));
    let sample = samples("senml-rfc8428").remove(0);
    let first = city.send(&[(&sample.0, &sample.1)]).await;
    assert_eq!((first.counts.received, first.counts.late), (2, 2), "{:?}", first.rejects);
    let rows = city.sink.rows();
    let again = city.send(&[(&sample.0, &sample.1), (&sample.0, &sample.1)]).await;
    assert_eq!((again.counts.duplicate, city.sink.rows()), (4, rows));
}

#[tokio::test]
async fn mappings_of_one_topic_must_agree_on_the_format() {
    let both = mapping("one", "senml", "/values/h").replace("each", "when = { \"/x\" = \"1\" }\neach")
        + &mapping("two", "sparkplug_b", "/values/h");
    let outcome = City::new(&both).send(&[("x/a", b"[]")]).await;
    assert_eq!((outcome.counts.quarantined, outcome.rejects[0].reason), (1, "unknown_topic"));
    assert!(outcome.rejects[0].text.contains("'one'") && outcome.rejects[0].text.contains("'two'"), "{}", outcome.rejects[0].text);
}

#[tokio::test]
async fn what_holds_nothing_is_dropped_by_policy_and_garbage_is_quarantined() {
    let city = City::new(&mapping("senml", "senml", "/values/humidity"));
    let outcome = city.send(&[("x/a", b"[]"), ("x/a", b"{"), ("x/a", &[0xff, 0xfe])]).await;
    let want = Counts { received: 3, dropped: 1, quarantined: 2, ..Counts::default() };
    assert_eq!((outcome.counts, city.sink.counts()), (want, want));
}

#[test]
fn a_format_that_is_unknown_is_named_with_the_nearest() {
    let error = super::named("sparkplug").unwrap_err();
    assert!(error.contains("did you mean 'sparkplug_b'?"), "{error}");
    assert!(super::named("line_protocol").is_ok());
}

#[tokio::test]
async fn fiware_samples_are_stored_and_commands_are_not() {
    let (counts, rows, rejects) = outcome_of(
        include_str!("../../mappings/fiware.toml"),
        &["fiware-ul", "fiware-ul-command", "fiware-ul-command-result", "fiware-json"],
    )
    .await;
    // The group with a position and no value is the only thing refused.
    let want = Counts { received: 6, stored: 1, late: 2, quarantined: 1, dropped: 2, duplicate: 0 };
    assert_eq!(counts, want, "{rejects:?}");
    assert!(rejects[0].starts_with("missing_field"), "{rejects:?}");
    assert!(rows.iter().any(|r| r.contains("45.0") && r.contains("23.0")), "{rows:?}");
}

#[tokio::test]
async fn home_samples_are_stored() {
    let (counts, rows, rejects) = outcome_of(include_str!("../../mappings/home.toml"), &["zigbee2mqtt", "tasmota", "homie5"]).await;
    assert_eq!((counts.received, counts.stored, counts.late), (3, 2, 1), "{rejects:?}");
    // 50 of 254; and 09:12:08 in Rome is 08:12:08 UTC.
    assert!(rows.iter().any(|r| r.contains("street_light") && r.contains("19.68")), "{rows:?}");
    assert!(rows.iter().any(|r| r.contains("58.1") && r.contains("2023-02-03T08:12:08")), "{rows:?}");
    assert!(rows.iter().any(|r| r.contains("super-car-engine") && r.contains("21.5") && r.contains("2026-03-01T10:00:00")), "{rows:?}");
}

#[tokio::test]
async fn sensorthings_samples_are_stored() {
    let (counts, rows, rejects) = outcome_of(include_str!("../../mappings/sensorthings.toml"), &["sensorthings-mqtt"]).await;
    assert_eq!((counts.received, counts.late), (1, 1), "{rejects:?}");
    assert!(rows[0].contains("station-1") && rows[0].contains("21.5"), "{rows:?}");
}

#[test]
fn every_example_fits_its_contracts() {
    let files =
        [("influx.toml", include_str!("../../mappings/influx.toml")), ("sparkplug.toml", include_str!("../../mappings/sparkplug.toml"))];
    assert!(crate::mapping::route::Router::new(contracts(), Mappings::parse(files).unwrap()).is_ok());
}
