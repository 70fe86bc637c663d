use super::*;
use crate::format::named;
use proptest::prelude::*;
use schemas::{Tenant, Timestamp};
use serde_json::json;
use std::path::PathBuf;

mod envelopes;
mod through_pipeline;

/// The shared data, or `None` (named in the output) where it is absent and nobody claims to be the CI.
pub(super) fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PORTICO_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let full = root.join("data").join(path);
    if full.exists() {
        return Some(full);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is absent; set PORTICO_SHARED", full.display());
    eprintln!("skipped: {} is absent; set PORTICO_SHARED", full.display());
    None
}

fn translate(format: &str, topic: &str, payload: &[u8]) -> Result<Option<Value>, Reject> {
    let tenant = Tenant::new("bologna").unwrap();
    let received_at = Timestamp::parse("2026-03-01T10:00:00Z").unwrap();
    let mut out = Vec::new();
    let incoming = Incoming { tenant: &tenant, topic, payload, received_at };
    let translated = named(format).unwrap().format.translate(incoming, &mut out)?;
    Ok((translated == Translated::Document).then(|| serde_json::from_slice(&out).expect("a document")))
}

fn document(topic: &str, payload: &Value) -> Value {
    translate("lorawan", topic, payload.to_string().as_bytes()).expect("translated").expect("a document")
}

/// An event of ChirpStack v4 from its documentation.
fn chirpstack(event: &str) -> Option<Value> {
    let path = shared(&format!("fixtures/chirpstack_v4/event_{event}.json"))?;
    Some(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
}

const TOPIC: &str = "application/17c82e96-be03-4f38-aef3-f83d48582d97/device/0101010101010101/event/";

#[test]
fn an_uplink_of_chirpstack_v4_with_its_defaults_left_out() {
    let Some(up) = chirpstack("up") else { return };
    let document = document(&format!("{TOPIC}up"), &up);
    assert_eq!(
        document,
        json!({
            "event": "up", "id": "3ac7e3c4-4401-4b8d-9386-a5c902f9202d", "time": "2022-07-18T09:34:15.775023242+00:00", "simulated": false,
            "device": {"eui": "0101010101010101", "name": "Test device", "application": "Test application",
                       "profile": "Test device-profile", "tags": {"key": "value"}},
            "f_port": 1, "f_cnt": 0, "data": "aa", "dr": 1, "spreading_factor": 11, "bandwidth": 125_000, "frequency": 867_100_000,
            "gateway": {"id": "0016c001f153a14c", "rssi": -36.0, "snr": 10.5},
            "gateways": [{"id": "0016c001f153a14c", "rssi": -36.0, "snr": 10.5}]
        })
    );
    // Over HTTP there is no topic that says what it is.
    assert_eq!(self::document("webhook/bologna/chirpstack", &up), document);
}

#[test]
fn status_and_location_are_documents_and_the_others_are_nothing() {
    for (event, pointer, want) in [
        ("status", "/status", Some(json!({"battery": 88.3, "external_power": false, "margin": 10.0}))),
        ("location", "/location", Some(json!({"lon": -8.839375, "lat": 37.344214, "alt": 2.0, "source": "UNKNOWN"}))),
        ("join", "", None),
        ("ack", "", None),
        ("txack", "", None),
        ("log", "", None),
        ("integration", "", None),
    ] {
        let Some(payload) = chirpstack(event) else { return };
        for topic in [format!("{TOPIC}{event}"), "webhook/bologna/chirpstack".to_owned()] {
            let document = translate("chirpstack_v4", &topic, payload.to_string().as_bytes()).expect("translated");
            assert_eq!(document.as_ref().and_then(|d| d.pointer(pointer)).filter(|_| want.is_some()), want.as_ref(), "{event} on {topic}");
            assert_eq!(document.is_some(), want.is_some(), "{event} on {topic}");
        }
    }
}

#[test]
fn a_battery_level_counts_only_when_it_was_measured() {
    let status = |more: Value| {
        let mut payload = json!({"deviceInfo": {"devEui": "0101010101010101"}, "time": "2022-07-18T09:35:06Z", "margin": 3});
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        document(&format!("{TOPIC}status"), &payload)["status"].clone()
    };
    assert_eq!(status(json!({"externalPowerSource": true, "batteryLevel": 0.0})), json!({"external_power": true, "margin": 3.0}));
    assert_eq!(status(json!({"batteryLevelUnavailable": true})), json!({"external_power": false, "margin": 3.0}));
    assert_eq!(status(json!({})), json!({"battery": 0.0, "external_power": false, "margin": 3.0}));
}

/// Made with the Python package of ChirpStack's own protobuf definitions from the JSON fixtures, two gateways and an object added.
const UP: &str = "CiQzYWM3ZTNjNC00NDAxLTRiOGQtOTM4Ni1hNWM5MDJmOTIwMmQSDAiX0tSWBhCK1cfxAhrSAQokNTJmMTRjZDQtYzZmMS00ZmJkLThmODctNDAyNWUxZDQ5MjQyEgpDaGlycFN0YWNrGiQxN2M4MmU5Ni1iZTAzLTRmMzgtYWVmMy1mODNkNDg1ODJkOTciEFRlc3QgYXBwbGljYXRpb24qJDE0ODU1YmY3LWQxMGQtNGFlZS1iNjE4LWViZmNiNjRkYzdhZDITVGVzdCBkZXZpY2UtcHJvZmlsZToLVGVzdCBkZXZpY2VCEDAxMDEwMTAxMDEwMTAxMDFKDAoDa2V5EgV2YWx1ZSIIMDAxODk0NDAwATisAkABSAFSAapaRgoRCgR0ZW1wEgkRAAAAAADgakAKGAoFZmxhZ3MSDzINCgIgAQoCCAAKAxoBeAoXCgpmaWxsX2xldmVsEgkRAAAAAACARUBidQoQMDAxNmMwMDFmMTUzYTE0YxDP3u/aDzDc//////////8BPQAAKEFiEgkfhetRuD5GQBGuR+F6FK4mQGoEE3OWOXobChJyZWdpb25fY29tbW9uX25hbWUSBUVVODY4ehQKC3JlZ2lvbl9uYW1lEgVldTg2OGIqChAwMDE2YzAwMWYxNTNhMTRkGgYIl9LUlgYw2P//////////AT0AAERBahII4Mq7nQMSChoICMjQBxALKAE=";
const STATUS: &str = "CiRiZjJhOTc0Ni0xYzhiLTQ5YmUtYTkyZS1mMGI4OWM4NTM0ZTQSDAjK0tSWBhCekI66AxrEAQokNTJmMTRjZDQtYzZmMS00ZmJkLThmODctNDAyNWUxZDQ5MjQyEgpDaGlycFN0YWNrGiQxN2M4MmU5Ni1iZTAzLTRmMzgtYWVmMy1mODNkNDg1ODJkOTciEFRlc3QgYXBwbGljYXRpb24qJDE0ODU1YmY3LWQxMGQtNGFlZS1iNjE4LWViZmNiNjRkYzdhZDITVGVzdCBkZXZpY2UtcHJvZmlsZToLVGVzdCBkZXZpY2VCEDAxMDEwMTAxMDEwMTAxMDEoCkWambBC";
const LOCATION: &str = "CiQ2M2Q4NzBiOS1iNzY5LTRkODgtOGIzMy04ZTQzZjU4ODUxYTcSCwj/29SWBhCrt64cGtIBCiQ1MmYxNGNkNC1jNmYxLTRmYmQtOGY4Ny00MDI1ZTFkNDkyNDISCkNoaXJwU3RhY2saJDE3YzgyZTk2LWJlMDMtNGYzOC1hZWYzLWY4M2Q0ODU4MmQ5NyIQVGVzdCBhcHBsaWNhdGlvbiokMTQ4NTViZjctZDEwZC00YWVlLWI2MTgtZWJmY2I2NGRjN2FkMhNUZXN0IGRldmljZS1wcm9maWxlOgtUZXN0IGRldmljZUIQMDEwMTAxMDEwMTAxMDEwMUoMCgNrZXkSBXZhbHVlIhsJpWlQNA+sQkAR9ihcj8KtIcAZAAAAAAAAAEA=";

#[test]
fn protobuf_gives_the_document_that_json_gives() {
    for format in ["chirpstack_v4_protobuf", "lorawan"] {
        let read = |event: &str, bytes: &str| {
            translate(format, &format!("{TOPIC}{event}"), &BASE64.decode(bytes).unwrap()).expect("translated").expect("a document")
        };
        let up = read("up", UP);
        let (first, second) = (
            json!({"id": "0016c001f153a14c", "rssi": -36.0, "snr": 10.5, "lon": 11.34, "lat": 44.49}),
            json!({"id": "0016c001f153a14d", "rssi": -40.0, "snr": 12.25, "time": "2022-07-18T09:34:15Z"}),
        );
        assert_eq!(
            up,
            json!({
                "event": "up", "id": "3ac7e3c4-4401-4b8d-9386-a5c902f9202d", "time": "2022-07-18T09:34:15.775023242Z", "simulated": false,
                "device": {"eui": "0101010101010101", "name": "Test device", "application": "Test application",
                           "profile": "Test device-profile", "tags": {"key": "value"}},
                "f_port": 1, "f_cnt": 300, "data": "aa", "confirmed": true,
                "dr": 1, "spreading_factor": 11, "bandwidth": 125_000, "frequency": 867_100_000,
                "gateway": second, "gateways": [first, second],
                "object": {"fill_level": 43.0, "temp": 215.0, "flags": [true, null, "x"]}
            })
        );
        assert_eq!(read("status", STATUS)["status"], json!({"battery": 88.3, "external_power": false, "margin": 10.0}));
        assert_eq!(read("location", LOCATION)["location"], json!({"lon": -8.839375, "lat": 37.344214, "alt": 2.0, "source": "UNKNOWN"}));
    }
    assert_eq!(translate("chirpstack_v4_protobuf", &format!("{TOPIC}join"), &[10, 1, 65]).expect("translated"), None);
}

#[test]
fn the_things_stack_writes_frequency_as_text_and_leaves_zeros_out() {
    let Some(path) = shared("fixtures/tts_v3/up_doc.json") else { return };
    let message: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut payload = message["payload"].clone();
    payload["simulated"] = true.into();
    payload["uplink_message"].as_object_mut().unwrap().remove("f_cnt");
    let document = document(message["topic"].as_str().unwrap(), &payload);
    assert_eq!(document["device"], json!({"eui": "0004a30b001c0530", "id": "dev1", "name": "dev1", "application": "app1"}));
    assert_eq!(document["simulated"], true);
    assert_eq!((&document["f_cnt"], document.get("f_port")), (&json!(0), None));
    assert_eq!((&document["frequency"], &document["dr"]), (&json!(868_300_000), &json!(5)));
    assert_eq!(document["object"], json!({"temperature": 1.0, "luminosity": 0.64}));
    assert_eq!(document["location"]["source"], "SOURCE_REGISTRY");
    let join = shared("fixtures/tts_v3/join_doc.json").unwrap();
    let join: Value = serde_json::from_slice(&std::fs::read(join).unwrap()).unwrap();
    assert_eq!(translate("lorawan", "v3/a/devices/d/join", join["payload"].to_string().as_bytes()).expect("translated"), None);
}

#[test]
fn what_cannot_be_read_names_the_field() {
    let info = json!({"devEui": "0101010101010101"});
    for (payload, field) in [
        (json!({"deviceInfo": {"devEui": "01"}, "rxInfo": [], "data": ""}), "deviceInfo.devEui"),
        (json!({"deviceInfo": info, "rxInfo": [], "data": "&&"}), "data"),
        (json!({"deviceInfo": info, "rxInfo": [], "data": BASE64.encode([0; 600])}), "data"),
        (json!({"deviceInfo": info, "rxInfo": [], "joinServerContext": {"sessionKeyId": "1"}}), "joinServerContext"),
        (json!({"cmd": "rx", "EUI": "0101010101010101", "encdata": "00"}), "encdata"),
        (json!({"cmd": "rx", "EUI": "0101010101010101", "data": "0"}), "data"),
        (json!({"DevEUI_uplink": {"DevEUI": "0101010101010101", "FPort": 300}}), "FPort"),
        (json!({"devEUI": "0101010101010101", "data": "", "objectJSON": "{"}), "objectJSON"),
    ] {
        let reject = translate("lorawan", "x", payload.to_string().as_bytes()).expect_err("refused");
        assert_eq!(reject.field.as_deref(), Some(field), "{payload}");
    }
    let many: Vec<Value> = (0..300).map(|_| json!({"gatewayId": "a"})).collect();
    let payload = json!({"deviceInfo": {"devEui": "0101010101010101"}, "rxInfo": many});
    assert_eq!(translate("lorawan", "x", payload.to_string().as_bytes()).expect_err("refused").reason, Reason::TooLarge);
    assert!(translate("lorawan", "x", b"{\"a\":1}").expect_err("refused").message.contains("ThingPark"));
}

#[test]
fn thingpark_mixes_numbers_and_texts() {
    let payload = json!({"DevEUI_uplink": {
        "Time": "2024-11-28T21:08:22.138+00:00", "DevEUI": "70B3D57BA000156B", "FPort": "1", "FCntUp": "26", "payload_hex": "0AFF",
        "LrrRSSI": "-114.0", "LrrSNR": "4.75", "SpFact": "9", "Lrrid": "B", "LrrLAT": "44.5", "LrrLON": "11.3", "Frequency": 868.1,
        "Lrrs": {"Lrr": [{"Lrrid": "A", "LrrRSSI": "-90", "LrrSNR": "9"}, {"Lrrid": "B", "LrrRSSI": "-114.0", "LrrSNR": "4.75"}]},
        "CustomerData": "{\"alr\":{\"pro\":\"DL/TBRG\"}}", "BatteryLevel": "254", "Margin": "7"
    }});
    let document = document("x", &payload);
    // The server chose B although A heard it better.
    assert_eq!(document["gateway"], json!({"id": "B", "rssi": -114.0, "snr": 4.75, "lon": 11.3, "lat": 44.5}));
    assert_eq!(document["status"], json!({"battery": 100.0, "margin": 7.0}));
    assert_eq!((&document["data"], &document["frequency"]), (&json!("0aff"), &json!(868_100_000)));
    assert_eq!(document["device"]["profile"], "DL/TBRG");
    let location =
        json!({"DevEUI_location": {"DevEUI": "70B3D57BA000156B", "DevLAT": "44.5", "DevLON": 11.3, "Time": "2024-11-28T21:08:22Z"}});
    assert_eq!(self::document("x", &location)["location"], json!({"lon": 11.3, "lat": 44.5, "source": "UNKNOWN"}));
    assert_eq!(translate("thingpark", "x", br#"{"DevEUI_downlink_Sent": {"DevEUI": "70B3D57BA000156B"}}"#).expect("translated"), None);
}

fn formats() -> impl Strategy<Value = (&'static str, String)> {
    let formats = vec!["lorawan", "chirpstack_v4", "chirpstack_v4_protobuf", "chirpstack_v3", "tts_v3", "loriot", "thingpark"];
    (proptest::sample::select(formats), proptest::sample::select(vec!["up", "status", "location", "join", ""]))
        .prop_map(|(format, event)| (format, format!("{TOPIC}{event}")))
}

proptest! {
    #[test]
    fn any_bytes_never_panic((format, topic) in formats(), payload in proptest::collection::vec(any::<u8>(), 0..300)) {
        drop(translate(format, &topic, &payload));
    }

    #[test]
    fn damaged_protobuf_never_panics(
        event in proptest::sample::select(vec![("up", UP), ("status", STATUS), ("location", LOCATION)]),
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), end in any::<prop::sample::Index>(),
    ) {
        let mut bytes = BASE64.decode(event.1).unwrap();
        for (at, byte) in cuts {
            let n = bytes.len();
            bytes[at.index(n)] = byte;
        }
        bytes.truncate(end.index(bytes.len()) + 1);
        drop(translate("lorawan", &format!("{TOPIC}{}", event.0), &bytes));
    }
}
