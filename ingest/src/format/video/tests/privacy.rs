//! GOV-1: what fixtures say about people is found in nothing that was written, whatever becomes of the message.

use super::{fixtures::messages, *};
use crate::xml;

/// Keys whose texts say who or what somebody is.
const KEYS: &[&str] = &[
    "sub_label",
    "sub_labels",
    "recognized_license_plate",
    "plate",
    "description",
    "attribute",
    "name",
    "make",
    "model",
    "color",
    "license",
    "licenseState",
    "Gender",
    "acme:ColorName",
    "Category",
];
/// Elements whose texts do.
const ELEMENTS: &[&str] =
    &["Gender", "ColorName", "Category", "PlateNumber", "PlateType", "CountryCode", "IssuingEntity", "Brand", "Model", "Data"];

fn texts(value: &Value, out: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => drop(out.insert(text.clone())),
        Value::Array(list) => list.iter().for_each(|v| texts(v, out)),
        Value::Object(map) => map.values().for_each(|v| texts(v, out)),
        _ => {}
    }
}

fn sensitive(value: &Value, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                if KEYS.contains(&key.as_str()) {
                    texts(inner, out);
                }
                sensitive(inner, out);
            }
        }
        Value::Array(list) => list.iter().for_each(|v| sensitive(v, out)),
        _ => {}
    }
}

/// Plates, names, genders, colours and clothes of all fixtures. Texts of one or two letters would be found in anything.
fn forbidden(all: &[(String, RawMessage)]) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for (_, message) in all {
        if let Ok(value) = serde_json::from_slice::<Value>(&message.payload) {
            sensitive(&value, &mut out);
        }
        if let Ok(tree) = xml::whole(&message.payload) {
            let telling = tree.root().inside().filter(|e| ELEMENTS.contains(&e.name()) && e.children().next().is_none());
            out.extend(telling.map(|e| e.text().to_owned()));
        }
    }
    out.retain(|text| text.len() >= 3 && text.parse::<f64>().is_err());
    for must in ["ABC12345", "John Smith", "123ABC", "XX1234", "6DZG261", "Male", "black", "Yellow", "LongSleeve", "Volvo", "Bob"] {
        assert!(out.contains(must), "{must} is not in {out:?}");
    }
    out
}

/// Every byte that a sink got: all buffers of all columns, names of tables, the ledger.
fn written(sink: &MemorySink) -> Vec<u8> {
    fn data(array: &arrow_array::ArrayRef, out: &mut Vec<u8>) {
        let data = array.to_data();
        data.buffers().iter().for_each(|b| out.extend_from_slice(b.as_slice()));
        assert!(data.child_data().is_empty(), "a nested column; search its children too");
    }
    let mut out = Vec::new();
    for frame in sink.frames.lock().iter() {
        out.extend_from_slice(format!("{:?}", frame.ledger).as_bytes());
        for part in &frame.parts {
            out.extend_from_slice(part.table.to_string().as_bytes());
            part.rows.columns().iter().for_each(|c| data(c, &mut out));
        }
    }
    out.to_ascii_lowercase()
}

fn search(sink: &MemorySink, forbidden: &BTreeSet<String>, when: &str) {
    let bytes = written(sink);
    assert!(bytes.len() > 500, "{when}: nothing was written");
    for text in forbidden {
        let needle = text.to_ascii_lowercase();
        let found = bytes.windows(needle.len()).position(|w| w == needle.as_bytes());
        assert!(
            found.is_none(),
            "{when}: '{text}' was written: {}",
            String::from_utf8_lossy(&bytes[found.unwrap().saturating_sub(80)..][..120])
        );
    }
}

#[tokio::test]
async fn nothing_about_a_person_is_written_whatever_becomes_of_the_message() {
    let Some(all) = messages() else { return };
    let forbidden = forbidden(&all);
    let sent: Vec<RawMessage> = all.iter().map(|(_, m)| m.clone()).collect();

    let city = City::with_register();
    let outcome = city.send(sent.clone()).await;
    assert!(outcome.counts.stored + outcome.counts.late >= 14 && outcome.counts.quarantined > 0, "{:?}", outcome.counts);
    search(&city.sink, &forbidden, "registered");

    // Refused at the door: no register at all, or streams that are not in it.
    let city = City::new(mappings());
    let outcome = city.send(sent.clone()).await;
    assert_eq!((outcome.counts.stored, outcome.counts.late), (0, 0));
    search(&city.sink, &forbidden, "unregistered");

    // No mapping reads the topics.
    let city = City::new(Mappings::builtin());
    let known: Vec<RawMessage> = sent.iter().filter(|m| crate::camera::is_protected_topic(&m.topic)).cloned().collect();
    assert!(known.len() >= 12);
    city.send(known).await;
    search(&city.sink, &forbidden, "unmapped");

    // Broken, cut, in the wrong format, and in the way of the built-in convention.
    let city = City::with_register();
    let mut broken = Vec::new();
    for m in &sent {
        broken.push(RawMessage { topic: m.topic.clone(), payload: m.payload.slice(..m.payload.len() * 9 / 10) });
        let damaged = String::from_utf8_lossy(&m.payload).replace("\"after\"", "\"afterwards\"").replace("UtcTime=\"2", "UtcTime=\"x");
        broken.push(message(std::str::from_utf8(&m.topic).unwrap(), damaged));
        for topic in ["frigate/events", "deepstream/CAMERA_ID", "onvif-xml/cam-xml", "portico/bologna/video_event/front_door"] {
            broken.push(RawMessage { topic: topic.into(), payload: m.payload.clone() });
        }
        broken.push(message("frigate/events", [m.payload.as_ref(), &vec![b' '; 300_000]].concat()));
    }
    city.send(broken).await;
    search(&city.sink, &forbidden, "broken");
    assert_eq!(schemas::invariant::violations(schemas::invariant::Id::Gov1), 0);
}

#[tokio::test]
async fn a_stream_without_an_entry_is_refused_with_a_reason_a_citizen_can_read() {
    let city = City::with_register();
    let payload = r#"{"type":"end","after":{"id":"1.2-a","camera":"hidden_cam","label":"person","start_time":1,"end_time":2,"recognized_license_plate":"AB123CD"}}"#;
    let outcome = city.send(vec![message("frigate/events", payload)]).await;
    let [refused] = outcome.rejects.as_slice() else { panic!("{outcome:?}") };
    assert_eq!(refused.reason, "no_register_entry");
    assert!(
        refused.text.starts_with("the camera 'hidden_cam' is not in the city's register of cameras, so nothing of what it sent was kept.")
    );
    let quarantined = city.sink.quarantined();
    let text = |name: &str| quarantined[0].column_by_name(name).unwrap().as_string::<i32>().value(0).to_owned();
    assert!(text("message").ends_with("(the payload is not kept: it may hold personal data)"));
    assert!(quarantined[0].column_by_name("payload").unwrap().as_binary::<i32>().value(0).is_empty());
    assert_eq!(city.sink.counts().imbalance(), 0);
}

#[tokio::test]
async fn what_happened_before_the_entry_is_refused_although_it_comes_today() {
    let city = City::with_register();
    let old = r#"{"type":"new","after":{"id":"1.2-a","camera":"front_door","label":"person","start_time":1500000000.5,"end_time":null}}"#;
    let outcome = city.send(vec![message("frigate/events", old), message("portico/bologna/video_event/front_door", "{}")]).await;
    let said: Vec<_> =
        outcome.rejects.iter().map(|r| (r.reason, r.text.contains("2018-01-01T00:00:00Z") || r.text.contains("'front_door'"))).collect();
    assert_eq!(said, [("no_register_entry", true), ("no_register_entry", true)]);
    assert_eq!(city.sink.rows(), [""; 0]);
}

#[tokio::test]
async fn frames_and_events_of_one_document_become_rows_of_two_contracts() {
    let city = City::with_register();
    let text = "<m:MetadataStream xmlns:m='u'><m:VideoAnalytics><m:Frame UtcTime='2020-10-10T12:24:57.321'><m:Object ObjectId='15'><m:Appearance>\
        <m:Shape><m:BoundingBox left='-0.5' top='0.5' right='0.5' bottom='-0.5'/></m:Shape></m:Appearance></m:Object></m:Frame></m:VideoAnalytics>\
        <m:Event><NotificationMessage><Topic>tns1:RuleEngine/CountAggregation/Counter</Topic><Message><m:Message UtcTime='2020-10-10T12:24:57Z'>\
        <Source><SimpleItem Name='Rule' Value='MyImportantFence1'/></Source><Data><SimpleItem Name='Count' Value='7'/></Data></m:Message></Message>\
        </NotificationMessage></m:Event></m:MetadataStream>";
    let outcome = city.send(vec![message("onvif-xml/cam-xml", text)]).await;
    assert_eq!((outcome.rejects, outcome.counts.received), (vec![], 2));
    assert_eq!((city.column("video_track", "y"), city.column("video_count", "total")), (vec!["0.75".to_owned()], vec!["7".to_owned()]));
}

#[tokio::test]
async fn a_zone_that_the_assessment_does_not_cover_is_refused() {
    let city = City::with_register();
    let payload = r#"{"UtcTime":"2020-01-01T00:00:00Z","Source":{"Rule":"Mr Bianchi's door"},"Data":{"ObjectId":"1"}}"#;
    let outcome = city.send(vec![message("MyDevice/onvif-ej/RuleEngine/LineDetector/Crossed/&1", payload)]).await;
    assert_eq!((outcome.rejects[0].reason, outcome.rejects[0].text.contains("Bianchi")), ("no_register_entry", false));
}

#[test]
fn contracts_of_cameras_are_filled_by_formats_of_cameras_only() {
    let toml = "[[mapping]]\nname = \"a\"\ntopic = \"a/{b}\"\nproduct = \"video_event\"\nentity = \"{b}\"\nobserved_at = \"/t\"\nfields.event = \"/e\"\n";
    let parse = |toml: &str| crate::mapping::route::Router::new(contracts(), Mappings::parse([("m.toml", toml)]).unwrap());
    let e = parse(toml).unwrap_err().to_string();
    assert!(e.contains("'video_event' is filled by formats of cameras only"), "{e}");
    parse(&toml.replace("product", "format = \"frigate\"\nproduct")).unwrap();
}
