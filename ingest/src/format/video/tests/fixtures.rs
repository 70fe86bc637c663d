//! What becomes of each fixture.

use super::*;
use proptest::prelude::*;

/// The folder of fixtures, or `None` (named in the output) where it is absent and nobody claims to be the CI.
pub(super) fn shared() -> Option<PathBuf> {
    let root = std::env::var_os("PORTICO_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let full = root.join("data/fixtures");
    if full.exists() {
        return Some(full);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is absent; set PORTICO_SHARED", full.display());
    eprintln!("skipped: {} is absent", full.display());
    None
}

/// Files of the folders of cameras, as the messages that their devices would send.
pub(super) fn messages() -> Option<Vec<(String, RawMessage)>> {
    let root = shared()?;
    let mut out = Vec::new();
    for folder in ["frigate", "onvif", "axis", "deepstream"] {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(root.join(folder)).unwrap().map(|e| e.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let bytes = std::fs::read(&path).unwrap();
            let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let body = value.get("payload").map_or(bytes, |p| p.to_string().into_bytes());
            let topic = match (value.get("topic").and_then(Value::as_str), folder) {
                (Some(topic), _) => topic.replace("SERIAL", "B8A44F941234"),
                (None, "axis") => "axis/B8A44F941234/scene/1".into(),
                (None, "deepstream") => "deepstream/CAMERA_ID".into(),
                (None, _) if name.starts_with("mj_") => "MyDevice/onvif-mj/VideoAnalytics/profile0/module0".into(),
                _ => "onvif-xml/cam-xml".into(),
            };
            out.push((name, message(&topic, body)));
        }
    }
    assert!((41..53).contains(&out.len()), "{} fixtures", out.len());
    Some(out)
}

/// One fixture, with its payload changed.
fn fixture(name: &str, change: impl FnOnce(&mut Value)) -> Option<RawMessage> {
    let (_, found) = messages()?.into_iter().find(|(n, _)| n == name).unwrap();
    let mut value: Value = serde_json::from_slice(&found.payload).unwrap();
    change(&mut value);
    Some(RawMessage { topic: found.topic, payload: value.to_string().into() })
}

/// The life of one Frigate event: new, two updates, end.
fn life() -> Option<[RawMessage; 4]> {
    let step = |kind: &str, end: Value| {
        fixture("frigate_events_1.json", |v| {
            v["type"] = kind.into();
            v["after"]["end_time"] = end.clone();
            v["before"]["sub_label"] = json!(["Maria Rossi", 0.9]);
        })
    };
    Some([step("new", Value::Null)?, step("update", Value::Null)?, step("update", 1.into())?, step("end", json!(1_607_123_975.5))?])
}

#[tokio::test]
async fn a_frigate_event_counts_once_whatever_comes_again_and_in_any_order() {
    let Some(life) = life() else { return };
    let mut expect = None;
    for turn in 0..10usize {
        let city = City::with_register();
        // Everything twice, in an order that changes with the turn.
        let mut messages: Vec<RawMessage> = life.iter().chain(&life).cloned().collect();
        messages.rotate_left(turn % 8);
        if turn % 2 == 1 {
            messages.reverse();
        }
        for message in messages {
            city.send(vec![message]).await;
        }
        let mut events = city.column("video_event", "event");
        events.sort();
        assert_eq!(events, ["end", "start", "visited", "visited"]);
        let counts = city.sink.counts();
        assert_eq!((counts.quarantined, counts.duplicate, counts.dropped, counts.imbalance()), (0, 4, 4, 0));
        let rows = city.sink.rows();
        assert_eq!(expect.get_or_insert_with(|| rows.clone()), &rows, "turn {turn}");
    }
}

#[tokio::test]
async fn an_end_that_was_revised_does_not_count_twice() {
    let Some(life) = life() else { return };
    let city = City::with_register();
    let mut revised: Value = serde_json::from_slice(&life[3].payload).unwrap();
    revised["after"]["top_score"] = json!(0.99);
    revised["after"]["sub_label"] = json!(["John Smith", 0.99]);
    city.send(vec![life[3].clone(), message("frigate/events", revised.to_string())]).await;
    let events = city.column("video_event", "event");
    assert_eq!(events.iter().filter(|e| *e == "end").count(), 1);
    assert_eq!(city.sink.counts().quarantined, 1);
    let quarantined = city.sink.quarantined();
    assert!(quarantined[0].column_by_name("payload").unwrap().as_binary::<i32>().value(0).is_empty());
}

#[tokio::test]
async fn the_end_of_an_event_has_its_dwell_place_and_zones() {
    let Some(life) = life() else { return };
    let city = City::with_register();
    city.send(vec![life[3].clone()]).await;
    let end = city.column("video_event", "event").iter().position(|e| e == "end").unwrap();
    let of = |name: &str| city.column("video_event", name).swap_remove(end);
    assert_eq!(
        (of("entity_id"), of("object_class")),
        ("urn:ngsi-ld:CameraEventObserved:bologna:porta-saragozza-1".into(), "person".into())
    );
    let dwell: f64 = of("dwell").parse().unwrap();
    assert!((dwell - 20.024_623).abs() < 1e-6);
    // The box 432..544 wide and down to 854, beyond the image of 1280 x 720.
    assert_eq!((of("x"), of("y")), ((488.0 / 1280.0).to_string(), "1".into()));
    assert!(of("lon").starts_with("11.329") && of("lat").starts_with("44.49"));
    let mut zones = city.column("video_event", "zone");
    zones.sort();
    assert_eq!(zones, ["-", "driveway", "yard"]);
}

#[tokio::test]
async fn a_frigate_review_is_kept_at_its_end() {
    let Some(end) = fixture("frigate_reviews_1.json", |v| {
        v["type"] = "end".into();
        v["after"]["end_time"] = json!(1_718_987_189.308_396);
    }) else {
        return;
    };
    let Some(update) = fixture("frigate_reviews_1.json", |_| {}) else { return };
    let city = City::with_register();
    city.send(vec![update, end]).await;
    let of = |name: &str| city.column("video_event", name);
    assert_eq!((of("event"), of("objects"), of("severity"), of("object_class")), (one("review"), one("3"), one("alert"), one("-")));
    assert_eq!(of("dwell"), one("60"));
}

fn one(text: &str) -> Vec<String> {
    vec![text.to_owned()]
}

/// Sends the named fixtures and gives the columns of a product.
async fn columns(names: &[&str], product: &str, columns: &[&str]) -> Option<Vec<Vec<String>>> {
    let all = messages()?;
    let city = City::with_register();
    let chosen: Vec<RawMessage> = all.into_iter().filter(|(n, _)| names.contains(&n.as_str())).map(|(_, m)| m).collect();
    assert_eq!(chosen.len(), names.len());
    let outcome = city.send(chosen).await;
    assert_eq!(outcome.rejects, []);
    Some(columns.iter().map(|c| city.column(product, c)).collect())
}

#[tokio::test]
async fn axis_totals_are_one_row_per_class() {
    let Some(found) = columns(&["aoa_crossline_count.json"], "video_count", &["object_class", "total", "zone", "since"]).await else {
        return;
    };
    assert_eq!(found[0], ["all", "car", "bus"]);
    assert_eq!(found[1], ["21093", "18222", "0"]);
    assert_eq!((found[2][0].as_str(), found[3][0].as_str()), ("Device1Scenario1", "2022-12-06T22:01:25Z"));
}

#[tokio::test]
async fn an_axis_object_leaves_an_area() {
    let names = ["event", "object_class", "zone", "entity_id"];
    let Some(found) = columns(&["aoa_object_in_area.json", "io_port_source_in_topic.json"], "video_event", &names).await else { return };
    let entity = "urn:ngsi-ld:CameraEventObserved:bologna:viale-aldini-2";
    assert_eq!(found, [one("left"), one("person"), one("Device1ScenarioANY"), one(entity)]);
}

#[tokio::test]
async fn axis_scenes_are_track_points() {
    let names = ["scene_frame_v1.json", "scene_frame_v1_empty.json", "analytics_scene_description_v0_beta.json"];
    let Some(found) = columns(&names, "video_track", &["object_class", "y", "confidence"]).await else { return };
    assert_eq!(found[0], ["person", "bus", "person"]);
    assert_eq!(found[1], ["0.89332", "0.49932", "0.9853"]);
    assert_eq!(found[2], ["0.6", "0.7", "0.7"]);
}

#[tokio::test]
async fn the_image_of_onvif_is_turned_and_both_carriers_agree() {
    let of = ["object", "object_class", "x", "y", "confidence"];
    let Some(json) = columns(&["mj_videoanalytics.json", "mj_sensordata_25.json"], "video_track", &of).await else { return };
    let Some(xml) = columns(&["metadata_19.xml", "metadata_15.xml"], "video_track", &of).await else { return };
    assert_eq!(json, xml);
    assert_eq!((json[1].as_slice(), json[4].as_slice()), (&one("person")[..], &one("0.8")[..]));
    // 20 to 100 of 640 from the left; 30 of 480 from the bottom.
    let number = |i: usize| json[i][0].parse::<f64>().unwrap();
    assert!((number(2) - 60.0 / 640.0).abs() < 1e-6 && (number(3) - (1.0 - 30.0 / 480.0)).abs() < 1e-6, "{json:?}");
}

#[tokio::test]
async fn onvif_frames_keep_what_has_a_place_and_leave_plates_out() {
    let Some(found) = columns(&["metadata_03.xml", "metadata_04.xml"], "video_track", &["object", "object_class"]).await else { return };
    // Object 12 three times, not object 19, which is gone; then the vehicle, not its plate.
    assert_eq!(found[1], ["-", "-", "-", "other"]);
    assert_eq!((found[0][0] == found[0][2], found[0][0] == found[0][3]), (true, false));
    for plates in ["metadata_12.xml", "metadata_09.xml", "metadata_13.xml"] {
        let Some(found) = columns(&[plates], "video_track", &["object"]).await else { return };
        assert_eq!(found[0], [""; 0], "{plates}");
    }
}

#[tokio::test]
async fn an_onvif_line_is_crossed() {
    let Some(found) = columns(&["ej_linecrossed.json"], "video_event", &["event", "zone", "object"]).await else { return };
    assert_eq!((&found[0], &found[1]), (&one("crossed"), &one("MyImportantFence1")));
    assert_eq!(found[2][0].len(), 16);
    let city = City::with_register();
    let text = "<m:MetadataStream xmlns:m='u'><m:Event><NotificationMessage><Topic>tns1:RuleEngine/LineDetector/Crossed</Topic>\
        <Message><m:Message UtcTime='2008-10-10T12:24:57.321Z'><Source><SimpleItem Name='Rule' Value='MyImportantFence1'/></Source>\
        <Data><SimpleItem Name='ObjectId' Value='15'/></Data></m:Message></Message></NotificationMessage></m:Event></m:MetadataStream>";
    city.send(vec![message("onvif-xml/cam-xml", text)]).await;
    assert_eq!(city.column("video_event", "object"), found[2]);
}

#[tokio::test]
async fn deepstream_tells_unset_from_zero() {
    let of = ["object_class", "confidence", "x", "lon", "object"];
    let Some(found) = columns(&["full_schema.json"], "video_track", &of).await else { return };
    assert_eq!(found[..2], [one("car"), one("-")]);
    assert!((found[2][0].parse::<f64>().unwrap() - 654.0 / 1920.0).abs() < 1e-9 && found[3][0] == "-");
    assert_eq!(found[4][0].len(), 16);
    let city = City::with_register();
    let minimal = r##"{"version":"4.0","id":"0","@timestamp":"2021-03-31T20:11:07.742Z","sensorId":"CAMERA_ID",
        "objects":["17|597|481|711|569|Vehicle|#|sedan|Bugatti|M|blue|XX1234|CA|-0.1","18|1|2|3|4|Person|#|male|28|cap","19|1|2|3|4|face"]}"##;
    let outcome = city.send(vec![message("deepstream/CAMERA_ID", minimal)]).await;
    assert_eq!((outcome.rejects, city.column("video_track", "object_class")), (vec![], vec!["other".to_owned(), "person".into()]));
}

#[tokio::test]
async fn all_fixtures_ten_times_in_any_order_give_the_same_rows() {
    let Some(all) = messages() else { return };
    let mut expect: Option<Vec<String>> = None;
    for turn in 0..10usize {
        let city = City::with_register();
        let mut messages: Vec<RawMessage> = all.iter().map(|(_, m)| m.clone()).collect();
        let n = messages.len();
        // A permutation that differs by turn: the strides are primes above the number of fixtures.
        messages = (0..n).map(|i| messages[(i * [53, 59, 61, 67, 71][turn % 5] + turn) % n].clone()).collect();
        for chunk in messages.chunks(1 + turn) {
            city.send(chunk.to_vec()).await;
        }
        let rows = city.sink.rows();
        assert!(rows.len() >= 14, "{}", rows.len());
        assert_eq!(expect.get_or_insert_with(|| rows.clone()), &rows, "turn {turn}");
    }
}

/// The names of the formats, and a topic that each reads.
const FORMATS: &[(&str, &str)] = &[
    ("frigate", "frigate/events"),
    ("frigate", "frigate/reviews"),
    ("frigate", "frigate/triggers"),
    ("onvif_mj", "MyDevice/onvif-mj/VideoAnalytics/p/m"),
    ("onvif_ej", "MyDevice/onvif-ej/RuleEngine/LineDetector/Crossed"),
    ("onvif_xml", "onvif-xml/cam-xml"),
    ("axis_aoa", "axis/B8A44F941234/event/ObjectAnalytics/Device1Scenario1"),
    ("axis_scene", "axis/B8A44F941234/scene/1"),
    ("deepstream", "deepstream/CAMERA_ID"),
];

fn translate_all(payload: &[u8]) {
    let (tenant, received_at) = (schemas::Tenant::new("bologna").unwrap(), Timestamp::parse(NOW).unwrap());
    for (name, topic) in FORMATS {
        let format = crate::format::named(name).unwrap().format.with_cameras(&cameras()).unwrap();
        let mut out = Vec::new();
        drop(format.translate(Incoming { tenant: &tenant, topic, payload, received_at }, &mut out));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        translate_all(&bytes);
    }

    #[test]
    fn mutated_fixtures_never_panic(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), with in proptest::collection::vec(any::<u8>(), 0..4), cut in any::<bool>()) {
        if let Some(all) = messages() {
            let mut bytes = which.get(&all).1.payload.to_vec();
            let at = at.index(bytes.len());
            let end = if cut { bytes.len() } else { (at + with.len()).min(bytes.len()) };
            bytes.splice(at..end, with);
            translate_all(&bytes);
        }
    }
}

#[tokio::test]
async fn a_row_that_its_camera_no_longer_keeps_is_refused_although_its_contract_would_keep_it() {
    let sink = Arc::new(MemorySink::default());
    let text = CAMERAS.replacen("retention_days = 90", "retention_days = 30", 1);
    let register = Arc::new(Register::parse([("cameras.toml", text.as_str())], Key::new([7; 32])).unwrap());
    let config = crate::IngestConfig::default();
    let pipeline = Pipeline::start(config, contracts(), mappings().with_cameras(&register), Arc::clone(&sink) as Arc<dyn Sink>).unwrap();
    let city = City { sink, pipeline };
    let now = Timestamp::parse(NOW).unwrap();
    let event = |camera: &str, days: i64| {
        let start = (now.0 / 1_000_000 - days * 86_400) as f64;
        let after = json!({ "id": format!("{days}"), "camera": camera, "label": "person", "start_time": start });
        message("frigate/events", json!({ "type": "new", "after": after }).to_string())
    };
    city.send(vec![event("front_door", 30), event("front_door", 31), event("front_cam", 60)]).await;
    let counts = city.sink.counts();
    assert_eq!((counts.stored + counts.late, counts.quarantined), (1, 2), "the thirtieth day is kept, the thirty-first is not");
    let reasons = city.sink.quarantined();
    assert!(reasons[0].column_by_name("message").unwrap().as_string::<i32>().value(0).contains("keep 30 days"));
}
