use super::*;
use crate::{Mappings, testing};
use proptest::prelude::*;
use schemas::{Tenant, Timestamp};
use serde_json::json;
use std::path::PathBuf;

const AT: &str = "2024-03-03T08:00:00Z";

fn router(mappings: &str) -> Arc<Router> {
    Arc::new(Router::new(testing::contracts(), Mappings::parse([("mine.toml", mappings)]).unwrap()).unwrap())
}

fn sample(topic: &str, payload: &Value) -> Sample {
    let payload = if let Value::String(text) = payload { text.clone() } else { payload.to_string() };
    Sample {
        tenant: Tenant::new("bologna").unwrap(),
        topic: topic.into(),
        payload: payload.into(),
        reason: "unknown_topic".into(),
        message: "no mapping".into(),
        received_at: Timestamp::parse(AT).unwrap(),
    }
}

fn run(samples: &[Sample]) -> Vec<Suggestion> {
    run_with(samples, "")
}

fn run_with(samples: &[Sample], mappings: &str) -> Vec<Suggestion> {
    suggest(samples, &router(mappings), &Options { zone: "Europe/Rome".into() })
}

fn one(samples: &[Sample]) -> Suggestion {
    let mut all = run(samples);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

fn guess<'a>(s: &'a Suggestion, field: &str) -> &'a FieldGuess {
    s.fields.iter().find(|f| f.field == field).unwrap_or_else(|| panic!("no {field} in {s:#?}"))
}

/// The whole promise: the text is a mapping file that reads the samples.
fn decodes(s: &Suggestion, samples: &[Sample]) {
    let mappings = s.mapping.as_deref().unwrap_or_else(|| panic!("no mapping: {s:#?}"));
    let refs: Vec<&Sample> = samples.iter().collect();
    let contracts = match &s.contract {
        None => testing::contracts(),
        Some(new) => testing::contracts().with(Contract::parse("new.yaml", &new.text).unwrap()),
    };
    let verdict = check(mappings, &contracts, &refs).unwrap();
    assert_eq!(verdict.decoded, samples.len(), "{mappings}\n{:?}", verdict.refused);
    assert_eq!((s.decoded, s.missing.len()), (s.checked, 0), "{s:#?}");
}

fn product(s: &Suggestion) -> &str {
    s.product.as_ref().map_or("", ProductId::as_str)
}

#[test]
fn a_weather_mast_is_known_by_its_names_units_and_ranges() {
    let samples: Vec<Sample> = (1..=3)
        .map(|i| {
            let body = json!({"ts": 1_709_452_000 + i, "temp_c": 215, "umidita": 0.45 + f64::from(i) / 100.0, "wind_kmh": 36, "press": 101_320,
                "rssi": -70, "lat": 44.49, "lon": 11.34});
            sample(&format!("campo/meteo/st-0{i}"), &body)
        })
        .collect();
    let s = one(&samples);
    assert_eq!((product(&s), s.topic.as_str(), s.devices, s.state), ("weather", "campo/meteo/{device}", 3, State::Mapping));
    // A unit in the name is believed, so 215 °C has no place in the contract: it is said, not scaled.
    assert!(s.fields.iter().all(|f| f.field != "temperature"));
    assert!(s.left_over.iter().any(|l| l.pointer == "/temp_c" && l.why.as_deref().is_some_and(|w| w.contains("215"))), "{s:#?}");
    assert_eq!(guess(&s, "humidity").scale, 100.0);
    assert!((guess(&s, "wind_speed").scale - 1.0 / 3.6).abs() < 1e-9);
    assert_eq!(guess(&s, "pressure").scale, 0.01);
    assert_eq!(s.time.as_ref().unwrap().format, "epoch_s");
    assert_eq!(s.place, Some(("/lon".into(), "/lat".into())));
    decodes(&s, &samples);
    let row = &s.preview[0];
    assert_eq!((row.entity.as_str(), row.values["pressure"].as_f64()), ("urn:ngsi-ld:WeatherObserved:bologna:st-01", Some(1_013.2)));
}

#[test]
fn the_range_tells_the_scale_when_no_unit_does() {
    let samples = [
        sample("gw/t1/data", &json!({"time": AT, "temp": 215, "hum": 45})),
        sample("gw/t2/data", &json!({"time": AT, "temp": 198, "hum": 255})),
    ];
    let s = one(&samples);
    assert_eq!((product(&s), guess(&s, "temperature").scale, s.topic.as_str()), ("weather", 0.1, "gw/{device}/data"));
    assert!(guess(&s, "temperature").why.contains("215 means 21.500"), "{:?}", guess(&s, "temperature"));
    assert_eq!(guess(&s, "humidity").absent, [255.0]);
    decodes(&s, &samples);
}

#[test]
fn particles_noise_parking_and_bins_find_their_contracts() {
    let cases = [
        (
            "air/AQ-17",
            json!({"timestamp": 1_709_452_000_123_i64, "pm2_5": 12.5, "PM10": 20, "no2_ugm3": 31, "co_ugm3": 400}),
            "air_quality",
        ),
        ("rumore/fono3", json!({"data_ora": "2024-03-03T08:15:00", "Leq_dBA": 61.2, "LAmax": 75.0}), "noise"),
        ("sosta/p4", json!({"timestamp": AT, "posti_liberi": 12, "posti_totali": 120}), "parking"),
        ("igiene/cassonetto/778", json!({"when": AT, "riempimento": 45, "batteria": 88, "temp": 12.0}), "waste_container"),
        ("acqua/reno/12", json!({"time": AT, "livello_cm": 152, "portata": 12.0}), "water_level"),
        ("luci/palo-9", json!({"time": AT, "potenza": 43.0, "energia_wh": 125_000, "dim": 70}), "street_light"),
    ];
    for (topic, body, want) in cases {
        let samples = [sample(topic, &body)];
        let s = one(&samples);
        assert_eq!((product(&s), s.state), (want, State::Mapping), "{topic}: {s:#?}");
        decodes(&s, &samples);
    }
    let s = one(&[sample("air/AQ-17", &json!({"timestamp": 1_709_452_000_123_i64, "pm2_5": 12.5, "co_ugm3": 400}))]);
    assert_eq!((guess(&s, "co").scale, s.time.as_ref().unwrap().format), (0.001, "epoch_ms"));
    let s = one(&[sample("rumore/fono3", &json!({"data_ora": "2024-03-03T08:15:00", "Leq_dBA": 61.2}))]);
    assert_eq!(s.preview[0].observed_at, "2024-03-03T07:15:00Z", "local times are of the city's zone");
}

#[test]
fn a_unit_that_no_scale_converts_is_left_over_with_the_reason() {
    let s = one(&[sample("air/AQ-1", &json!({"time": AT, "no2_ppb": 12.0, "pm10": 20.0}))]);
    assert!(s.fields.iter().all(|f| f.field != "no2"));
    assert!(s.left_over.iter().any(|l| l.why.as_deref().is_some_and(|w| w.contains("ppb") && w.contains("µg/m³"))), "{s:#?}");
}

#[test]
fn lists_of_observations_are_read_one_by_one() {
    let body = json!({"gateway": "g1", "sent": AT, "readings": [
        {"sensor": "a1", "time": AT, "temperature": 21.0, "humidity": 40}, {"sensor": "b2", "time": AT, "temperature": 22.0, "humidity": 41}]});
    let samples = [sample("hub/7", &body)];
    let s = one(&samples);
    assert!(s.mapping.as_deref().unwrap().contains("each = \"/readings\""), "{s:#?}");
    let ids: Vec<&str> = s.preview.iter().map(|r| r.entity.as_str()).collect();
    assert_eq!(ids, ["urn:ngsi-ld:WeatherObserved:bologna:a1", "urn:ngsi-ld:WeatherObserved:bologna:b2"]);
}

#[test]
fn an_unknown_key_of_the_convention_is_taken_up_and_the_others_stay() {
    let mut s = sample("portico/bologna/noise/n1", &json!({"observed_at": AT, "laeq": 61.0, "lmax": 70.0, "quality": "valid"}));
    s.reason = "unknown_field".into();
    let samples = [s];
    let s = one(&samples);
    assert_eq!((product(&s), guess(&s, "lamax").pointer.as_str(), s.topic.as_str()), ("noise", "/lmax", "portico/bologna/noise/{device}"));
    decodes(&s, &samples);
    let text = s.mapping.as_deref().unwrap();
    assert!(text.contains("topic = \"portico/bologna/noise/n1\"") && text.contains("la90 = \"/la90\""), "{text}");
    assert!(!text.contains("unknown_fields"), "every key has its place, so a new one is told again: {text}");
    assert_eq!(s.preview[0].entity, "urn:ngsi-ld:NoiseLevelObserved:bologna:n1");
}

#[test]
fn what_is_in_force_already_only_waits() {
    let mapping = "[[mapping]]\nname = \"m\"\ntopic = \"gw/{d}/data\"\nproduct = \"weather\"\nentity = \"{d}\"\nobserved_at = \"/time\"\nfields.temperature = \"/temp\"\n";
    let samples = [sample("gw/t1/data", &json!({"time": AT, "temp": 21.5}))];
    let s = run_with(&samples, mapping).remove(0);
    assert_eq!((s.state, s.decoded, product(&s)), (State::Ready, 1, "weather"));
    assert!(s.in_force.unwrap().contains("mine.toml"));
}

#[test]
fn a_new_key_under_a_mapping_in_force_is_read_by_one_that_comes_before_it() {
    let mapping = "[[mapping]]\nname = \"m\"\ntopic = \"gw/{d}/data\"\nproduct = \"weather\"\nentity = \"{d}\"\nobserved_at = \"/time\"\nfields.temperature = \"/temp\"\n";
    let mut samples = [
        sample("gw/t1/data", &json!({"time": AT, "temp": 21.5, "hum": 40})),
        sample("gw/t2/data", &json!({"time": AT, "temp": 20.5, "hum": 41})),
    ];
    samples.iter_mut().for_each(|s| s.reason = "unknown_field".into());
    let s = run_with(&samples, mapping).remove(0);
    assert_eq!((s.state, product(&s), s.in_force.as_deref()), (State::Mapping, "weather", Some("mine.toml: mapping[0] 'm'")));
    let accepted = s.mapping.unwrap();
    assert!(
        accepted.contains("topic = \"gw/t1/data\"") && accepted.contains("entity = \"urn:ngsi-ld:WeatherObserved:bologna:t2\""),
        "other devices keep their mapping: {accepted}"
    );
    let both = Mappings::parse([("0-accepted.toml", accepted.as_str()), ("mine.toml", mapping)]).unwrap();
    let refs: Vec<&Sample> = samples.iter().collect();
    let router = Arc::new(Router::new(testing::contracts(), both).unwrap());
    assert_eq!(reads(router, &refs), [true, true]);
}

#[test]
fn the_object_of_a_network_server_is_told_from_its_envelope() {
    let Some(path) = shared("fixtures/chirpstack_v4/event_up.json") else { return };
    let mut event = read_json(&path);
    event["object"] = json!({"temperature": 21.5, "humidity": 40.0, "battery": 88});
    let mut s = sample("application/17c82e96-be03-4f38-aef3-f83d48582d97/device/0101010101010101/event/up", &event);
    s.received_at = Timestamp::parse("2022-07-18T09:34:16Z").unwrap();
    let s = one(&[s]);
    assert_eq!((product(&s), s.decoded, guess(&s, "temperature").pointer.as_str()), ("weather", 1, "/object/temperature"), "{s:#?}");
    assert_eq!(s.preview[0].entity, "urn:ngsi-ld:WeatherObserved:bologna:0101010101010101");
}

#[test]
fn two_kinds_of_device_on_one_tree_do_not_take_each_others_messages() {
    let noise = |i: u32| sample(&format!("s/dev-{i}"), &json!({"type": "fono", "time": AT, "laeq": 60.0, "lamax": 70.5}));
    let bin = |i: u32| sample(&format!("s/dev-{i}"), &json!({"type": "bin", "time": AT, "fill_level": 30, "battery": 50, "fw": "1"}));
    let samples = [noise(1), noise(2), bin(3), bin(4)];
    let all = run(&samples);
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|s| s.mapping.as_deref().is_some_and(|m| m.contains("when = { \"/type\" ="))), "{all:#?}");
    let both: String = all.iter().filter_map(|s| s.mapping.clone()).collect::<Vec<_>>().join("\n");
    let refs: Vec<&Sample> = samples.iter().collect();
    assert_eq!(check(&both, &testing::contracts(), &refs).unwrap().decoded, 4);
    assert_ne!(all[0].id, all[1].id);
}

#[test]
fn devices_that_nothing_but_their_name_tells_apart_are_listed_one_by_one() {
    let noise = |i: u32| sample(&format!("s/dev-{i}/up"), &json!({"time": AT, "laeq": 60.0, "lamax": 70.5}));
    let bin = |i: u32| sample(&format!("s/dev-{i}/up"), &json!({"time": AT, "fill_level": 30, "battery": 50, "fw": "1"}));
    let samples = [noise(1), noise(2), bin(3)];
    let all = run(&samples);
    let both: String = all.iter().filter_map(|s| s.mapping.clone()).collect::<Vec<_>>().join("\n");
    assert!(both.contains("topic = \"s/dev-1/up\"") && both.contains("entity = \"dev-1\"") && !both.contains("{device}"), "{both}");
    let refs: Vec<&Sample> = samples.iter().collect();
    assert_eq!(check(&both, &testing::contracts(), &refs).unwrap().decoded, 3);
}

#[test]
fn a_new_kind_of_thing_gets_a_contract_that_validates() {
    let samples = [
        sample("irrigazione/aiuola-1", &json!({"time": AT, "soil_moisture_pct": 31.5, "valve_open": true, "tension_kpa": 12})),
        sample("irrigazione/aiuola-2", &json!({"time": AT, "soil_moisture_pct": 28.0, "valve_open": false, "tension_kpa": 14})),
    ];
    let s = one(&samples);
    assert_eq!((s.state, product(&s)), (State::Contract, "irrigazione"));
    let contract = Contract::parse("x.yaml", &s.contract.as_ref().unwrap().text).unwrap();
    let units: Vec<_> = contract.fields.iter().map(|f| (f.name.as_str(), f.unit.as_deref())).collect();
    assert_eq!(units, [("soil_moisture", Some("%")), ("tension", Some("kPa")), ("valve_open", None)]);
    decodes(&s, &samples);
}

#[test]
fn what_cannot_be_read_says_why() {
    for (topic, payload) in
        [("a/1", json!("hello")), ("a/1", json!({"name": "x"})), ("a/{b}", json!({"temp": 1})), ("a/1", json!("\u{0}\u{1}"))]
    {
        let s = one(&[sample(topic, &payload)]);
        assert_eq!(s.state, State::Incomplete);
        assert!(!s.missing.is_empty() && s.mapping.is_none(), "{s:#?}");
    }
}

fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PORTICO_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let full = root.join("data").join(path);
    if full.exists() {
        return Some(full);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is absent; set PORTICO_SHARED", full.display());
    eprintln!("skipped: {} is absent", full.display());
    None
}

fn read_json(path: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn published_conventions_are_read_or_say_what_is_missing() {
    let Some(path) = shared("fixtures/mqtt_conventions/samples.json") else { return };
    let file = read_json(&path);
    let all: Vec<Suggestion> = file
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|s| {
            let payload = s.get("payload").or_else(|| s.get("payload_text"))?;
            let mut sample = sample(s["topic"].as_str().unwrap(), payload);
            sample.received_at = Timestamp::parse("2026-03-03T08:00:00Z").unwrap();
            Some(one(&[sample]))
        })
        .collect();
    assert!(all.len() >= 8);
    for s in &all {
        assert!(s.decoded > 0 || !s.missing.is_empty(), "{s:#?}");
        println!("{} -> {:?} {} {:?} {:?}", s.topic, s.state, product(s), s.format, s.missing);
    }
    let by = |topic: &str| all.iter().find(|s| s.topic.starts_with(topic)).unwrap();
    let senml = by("city/senml");
    assert_eq!((product(senml), senml.format, senml.decoded), ("weather", Some("senml"), 1), "{senml:#?}");
    let tasmota = by("tele/");
    assert_eq!((product(tasmota), tasmota.decoded), ("weather", 1), "{tasmota:#?}");
    assert_eq!(tasmota.preview[0].values["temperature"], 19.6);
}

#[test]
fn smart_data_models_find_their_products() {
    let wanted = [
        ("Weather/WeatherObserved", "weather"),
        ("Environment/AirQualityObserved", "air_quality"),
        ("Environment/NoiseLevelObserved", "noise"),
        ("Environment/WaterObserved", "water_level"),
        ("Parking/OffStreetParking", "parking"),
        ("Streetlighting/Streetlight", "street_light"),
        ("Transportation/TrafficFlowObserved", "traffic_count"),
    ];
    for (model, want) in wanted {
        let Some(path) = shared(&format!("smart_data_models/{model}/examples/example.json")) else { return };
        let mut sample = sample("orion/entities", &read_json(&path));
        sample.received_at = Timestamp::parse("2026-03-03T08:00:00Z").unwrap();
        let s = one(&[sample]);
        assert_eq!((product(&s), s.decoded), (want, 1), "{model}: {s:#?}");
    }
}

#[test]
fn every_smart_data_model_gets_an_honest_answer() {
    let Some(root) = shared("smart_data_models") else { return };
    let (mut read, mut all) = (0, 0);
    for domain in std::fs::read_dir(root).unwrap().filter_map(|d| std::fs::read_dir(d.unwrap().path()).ok()) {
        for model in domain {
            let file = model.unwrap().path().join("examples/example.json");
            let Ok(text) = std::fs::read(&file) else { continue };
            let mut sample = sample("orion/x-1", &json!({}));
            sample.payload = text.into();
            let s = one(&[sample]);
            assert!(s.decoded > 0 || !s.missing.is_empty(), "{}: {s:#?}", file.display());
            read += usize::from(s.decoded > 0);
            all += 1;
        }
    }
    println!("{read} of {all} examples decode with what was suggested");
    assert!(all >= 70 && read * 3 >= all, "{read} of {all}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_on_any_topic_end(topic in "\\PC{0,40}", payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut s = sample(&topic, &json!({}));
        s.payload = payload.into();
        prop_assert!(run(&[s]).len() <= 1);
    }

    #[test]
    fn any_flat_object_is_read_or_says_why(keys in proptest::collection::btree_map("[a-zA-Z_0-9.à]{1,12}", -1e6f64..1e6, 1..12)) {
        let mut body = json!(keys);
        body["time"] = AT.into();
        for s in run(&[sample("x/dev-1", &body)]) {
            prop_assert!(s.decoded == 1 || !s.missing.is_empty(), "{:#?}", s);
        }
    }
}
