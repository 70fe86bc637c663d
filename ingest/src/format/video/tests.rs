//! Fixtures of the makers through the pipeline: what becomes of them, and what must never be found in what was written.

use super::*;
use crate::{
    Group, Mappings, RawMessage, Sink,
    camera::Key,
    pipeline::{Outcome, Pipeline},
    testing::{MemorySink, contracts, publisher},
};
use arrow_array::{Array, cast::AsArray};
use serde_json::{Value, json};
use std::{collections::BTreeSet, path::PathBuf};

mod fixtures;
mod privacy;

const MAPPINGS: &str = include_str!("../../../mappings/video.toml");
const CAMERAS: &str = include_str!("../../../cameras/example.toml");
const NOW: &str = "2026-08-01T00:00:00Z";

/// Streams of the fixtures that the example does not name.
fn cameras() -> Arc<Register> {
    let text = CAMERAS.replace("\"CAMERA_ID\"]", "\"CAMERA_ID\", \"driveway_cam\", \"driveway\", \"cam-xml\"]");
    Arc::new(Register::parse([("cameras.toml", text.as_str())], Key::new([7; 32])).unwrap())
}

struct City {
    sink: Arc<MemorySink>,
    pipeline: Pipeline,
}

impl City {
    fn new(mappings: Mappings) -> Self {
        let sink = Arc::new(MemorySink::default());
        let pipeline = Pipeline::start(crate::testing::keeping_all(), contracts(), mappings, Arc::clone(&sink) as Arc<dyn Sink>).unwrap();
        Self { sink, pipeline }
    }

    fn with_register() -> Self {
        Self::new(mappings().with_cameras(&cameras()))
    }

    async fn send(&self, messages: Vec<RawMessage>) -> Outcome {
        let received_at = Timestamp::parse(NOW).unwrap();
        let group = Group { publisher: publisher(), messages, rejects: Vec::new(), received_at };
        self.pipeline.submit_group(group).await.unwrap().outcome().await.unwrap()
    }

    /// Values of a column of a product, over all frames; absent ones as `-`.
    fn column(&self, product: &str, name: &str) -> Vec<String> {
        let frames = self.sink.frames.lock();
        let parts = frames.iter().flat_map(|f| &f.parts).filter(|p| p.table.product.as_str() == product);
        let mut out = Vec::new();
        for part in parts {
            let column = part.rows.column_by_name(name).unwrap();
            out.extend((0..column.len()).map(|i| match column.as_string_opt::<i32>() {
                _ if column.is_null(i) => "-".to_owned(),
                Some(texts) => texts.value(i).to_owned(),
                None => match column.as_primitive_opt::<arrow_array::types::Float64Type>() {
                    Some(numbers) => numbers.value(i).to_string(),
                    None => column.as_primitive::<arrow_array::types::Int64Type>().value(i).to_string(),
                },
            }));
        }
        out
    }
}

fn mappings() -> Mappings {
    Mappings::parse([("video.toml", MAPPINGS)]).unwrap()
}

fn message(topic: &str, payload: impl AsRef<[u8]>) -> RawMessage {
    RawMessage { topic: topic.to_owned().into(), payload: payload.as_ref().to_vec().into() }
}

#[test]
fn classes_of_all_makers_are_one_vocabulary_and_parts_of_people_are_no_objects() {
    for (word, want) in [
        ("Human", Some(Class::Person)),
        ("person", Some(Class::Person)),
        ("sedan", Some(Class::Car)),
        ("Bike", Some(Class::Bicycle)),
        ("OtherVehicle", Some(Class::Other)),
        ("Vehicle", Some(Class::Other)),
        ("Face", None),
        ("HumanFace", None),
        ("Head", None),
        ("license_plate", None),
        ("LicensePlate", None),
    ] {
        assert_eq!(Class::of(word), want, "{word}");
    }
}

#[test]
fn times_without_an_offset_are_utc_and_offsets_may_lack_their_colon() {
    let want = Timestamp::parse("2025-10-06T01:21:33.856Z").unwrap();
    for text in ["2025-10-05T21:21:33.856-0400", "2025-10-05T21:21:33.856-04:00", "2025-10-06T01:21:33.856", "2025-10-06T01:21:33.856Z"] {
        assert_eq!(time(text), Some(want), "{text}");
    }
    for text in ["", "2016-9-10T12:24:57.321", "yesterday", "2025-10-05", "+0100", "é0100"] {
        assert_eq!(time(text), None, "{text}");
    }
}

#[test]
fn errors_never_quote_the_message() {
    for payload in ["{\"type\":\"AB123CD\"}", "{\"after\":{\"id\":{\"AB123CD\":1}}}", "\"AB123CD\"", "AB123CD"] {
        let e = json::<Vec<u8>>("a message", payload.as_bytes()).unwrap_err();
        assert!(!e.to_string().contains("AB123CD"), "{e}");
    }
}
