use super::{
    json::{JsonError, Reader as Json, Token},
    *,
};
use crate::{Mappings, testing};
use proptest::prelude::*;
use schemas::Quality;

/// 2024-03-03T08:00:00Z
const NOW: &str = "2024-03-03T08:00:00Z";

fn decoder(mappings: &str) -> Decoder {
    let mappings = Mappings::parse([("test.toml", mappings)]).unwrap();
    let router = Router::new(testing::contracts(), mappings).unwrap();
    Decoder::new(Arc::new(router), testing::limits())
}

fn decode(decoder: &mut Decoder, topic: &str, payload: &[u8]) -> Decoded {
    let message = RawMessage { topic: topic.to_owned().into(), payload: payload.to_vec().into() };
    let mut out = Decoded::default();
    let receipt = Receipt { tenant: &Tenant::new("bologna").unwrap(), received_at: Timestamp::parse(NOW).unwrap() };
    decoder.message(receipt, 0, &message, &mut out);
    out
}

/// Topic below `portico/`, payload, reason, field.
const BAD: &[(&str, &str, &str, &str)] = &[
    ("bologna/air_quality/a", "", "not_json", ""),
    ("bologna/air_quality/a", "21.5;ok", "not_json", ""),
    ("bologna/air_quality/a", "21.5", "not_an_object", ""),
    ("bologna/air_quality/a", "[1,2]", "not_an_object", ""),
    ("bologna/air_quality/a", "[1,2", "not_json", ""),
    ("bologna/air_quality/a", r#"{"observed_at":"2024-03-03T07:00:00Z","no2":1}}"#, "not_json", ""),
    ("bologna/air_quality/a", r#"{"observed_at":"2024-03-03T07:00:00Z","no2":1,}"#, "not_json", ""),
    ("bologna/air_quality/a", r#"{"observed_at":"2024-03-03T07:00:00Z","no2":01}"#, "not_json", ""),
    ("bologna/air_quality/a", r#"{"observed_at":"2024-03-03T07:00:00Z","no2":NaN}"#, "not_finite", ""),
    ("bologna/air_quality/a", r#"{"observed_at":"2024-03-03T07:00:00Z","no2":-Infinity}"#, "not_finite", ""),
    ("bologna/air_quality/a", r#"{"observed_at":"2024-03-03T07:00:00Z","no2":1e999}"#, "out_of_range", "no2"),
    ("bologna/air_quality/a", r#"{"observed_at":"2024-03-03T07:00:00Z","no2":5000}"#, "out_of_range", "no2"),
    ("bologna/air_quality/a", r#"{"observed_at":"2024-03-03T07:00:00Z","no2":1,"no2":2}"#, "duplicate_key", "no2"),
    ("bologna/air_quality/a", r#"{"observed_at":"2024-03-03T07:00:00Z","no2":"12"}"#, "wrong_type", "no2"),
    ("bologna/air_quality/a", r#"{"observed_at":"2024-03-03T07:00:00Z","no2":{"value":12}}"#, "wrong_type", "no2"),
    ("bologna/air_quality/a", r#"{"observed_at":"2024-03-03T07:00:00Z","n02":12}"#, "unknown_field", "n02"),
    ("bologna/air_quality/a", r#"{"observed_at":"2024-03-03T07:00:00Z"}"#, "missing_field", ""),
    ("bologna/air_quality/a", r#"{"observed_at":"2024-03-03T07:00:00Z","period":"PT1H","no2":null}"#, "missing_field", ""),
    (
        "bologna/air_quality/a",
        r#"{"observed_at":"2024-03-03T07:00:00Z","period":"PT1H and far too long","no2":1}"#,
        "out_of_range",
        "period",
    ),
    ("bologna/air_quality/a", r#"{"no2":12}"#, "bad_time", "observed_at"),
    ("bologna/air_quality/a", r#"{"observed_at":"yesterday","no2":12}"#, "bad_time", "observed_at"),
    ("bologna/air_quality/a", r#"{"observed_at":"2024-02-30T00:00:00Z","no2":12}"#, "bad_time", "observed_at"),
    ("bologna/air_quality/a", r#"{"observed_at":true,"no2":12}"#, "bad_time", "observed_at"),
    ("bologna/air_quality/a", r#"{"observed_at":"2024-03-03T08:06:00Z","no2":12}"#, "future", "observed_at"),
    ("bologna/air_quality/a", r#"{"observed_at":"1969-12-31T23:59:59Z","no2":12}"#, "too_old", "observed_at"),
    // The contract keeps 3650 days.
    ("bologna/air_quality/a", r#"{"observed_at":"2014-03-05T23:59:59Z","no2":12}"#, "too_old", "observed_at"),
    (
        "bologna/air_quality/a",
        r#"{"observed_at":"2024-03-03T07:00:00Z","no2":12,"lon":113473933293812.00,"lat":44.5}"#,
        "bad_position",
        "lon",
    ),
    ("bologna/air_quality/a", r#"{"observed_at":"2024-03-03T07:00:00Z","no2":12,"lon":11.3}"#, "bad_position", "lat"),
    ("bologna/air_quality/a", r#"{"observed_at":"2024-03-03T07:00:00Z","no2":12,"lon":"east","lat":44.5}"#, "bad_position", "lon"),
    ("bologna/air_quality/a", r#"{"observed_at":"2024-03-03T07:00:00Z","no2":12,"id":"  "}"#, "bad_entity", "id"),
    ("bologna/air_quality/a", r#"{"observed_at":"2024-03-03T07:00:00Z","no2":12,"id":"urn:no spaces:a"}"#, "bad_entity", "id"),
    ("bologna/air_quality/a", r#"{"observed_at":"2024-03-03T07:00:00Z","no2":12,"id":{}}"#, "bad_entity", "id"),
    ("bologna/air_quality", r#"{"observed_at":"2024-03-03T07:00:00Z","no2":12}"#, "bad_entity", "id"),
    ("bologna/air_quality/a", r#"{"observed_at":"2024-03-03T07:00:00Z","no2":12,"quality":"good"}"#, "out_of_range", "quality"),
    (
        "bologna/traffic_class_count/a",
        r#"{"observed_at":"2024-03-03T07:00:00Z","direction":1,"vehicle_class":2}"#,
        "missing_field",
        "transits",
    ),
    (
        "bologna/traffic_class_count/a",
        r#"{"observed_at":"2024-03-03T07:00:00Z","direction":1.5,"vehicle_class":2,"transits":3}"#,
        "wrong_type",
        "direction",
    ),
    (
        "bologna/traffic_class_count/a",
        r#"{"observed_at":"2024-03-03T07:00:00Z","direction":1,"vehicle_class":2,"transits":99999999999999999999}"#,
        "out_of_range",
        "transits",
    ),
    ("bologna/air/a", "{}", "no_contract", ""),
    ("imola/air_quality/a", "{}", "unknown_topic", ""),
    ("bologna", "{}", "unknown_topic", ""),
];

#[test]
fn every_bad_payload_has_its_reason() {
    let mut decoder = decoder("");
    for (topic, payload, reason, field) in BAD {
        let out = decode(&mut decoder, &format!("portico/{topic}"), payload.as_bytes());
        let [refusal] = out.refusals.as_slice() else { panic!("{payload}: {out:?}") };
        assert_eq!(
            (refusal.reject.reason.code(), refusal.reject.field.as_deref().unwrap_or("")),
            (*reason, *field),
            "{payload}: {}",
            refusal.reject.message
        );
        assert_eq!(out.blocks.iter().map(|b| b.rows.len() + b.slots.len()).sum::<usize>(), 0, "{payload}");
    }
}

#[test]
fn every_reason_of_decoding_is_in_the_table_or_here() {
    let mut decoder = decoder("");
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    let large = format!(r#"{{"observed_at":"2024-03-03T07:00:00Z","no2":1{}}}"#, " ".repeat(300_000));
    let mut seen: Vec<&str> = BAD.iter().map(|b| b.2).collect();
    for (payload, want) in [(deep, "too_deep"), (large, "too_large")] {
        let out = decode(&mut decoder, "portico/bologna/air_quality/a", payload.as_bytes());
        assert_eq!(out.refusals[0].reject.reason.code(), want);
        seen.push(want);
    }
    let out = decode(&mut decoder, "portico/bologna/air_quality/a", b"{\"\xff\":1}");
    assert_eq!(out.refusals[0].reject.reason, Reason::NotJson);
    // Conflicts are found by the dedup; foreign formats and codecs have tests of their own.
    let elsewhere = [Reason::Conflict, Reason::NoRegisterEntry, Reason::NotFormat, Reason::NoBirth, Reason::CodecFailed];
    let missing: Vec<_> = Reason::ALL.iter().filter(|r| !seen.contains(&r.code()) && !elsewhere.contains(r)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_good_message_fills_its_slots() {
    let mut decoder = decoder("");
    let payload = br#"{"observed_at":"2024-03-03T08:15:00.5+01:00","no2":41.30000000000001,"period":"PT1H","lon":11.3428,"lat":44.4938,"quality":"valid"}"#;
    let out = decode(&mut decoder, "portico/bologna/air_quality/Porta San Felice", payload);
    let block = &out.blocks[0];
    let row = &block.rows[0];
    assert_eq!(&*row.entity.id, "urn:ngsi-ld:AirQualityObserved:bologna:porta-san-felice");
    assert_eq!(row.observed_at.to_rfc3339(), "2024-03-03T07:15:00.5Z");
    assert_eq!((row.quality, row.late), (Quality::Valid, false));
    let (no2, _) = block.table.contract.field("no2").unwrap();
    assert_eq!(block.slots_of(0)[no2], Slot::Float(41.300_000_000_000_01));
    assert_eq!(row.place.unwrap().1, Position::new(11.3428, 44.4938).unwrap().cell().0);
}

#[test]
fn old_rows_are_late_and_whole_floats_are_integers() {
    let mut decoder = decoder("");
    let payload = br#"{"observed_at":1709424000,"direction":1.0,"vehicle_class":2e0,"transits":30,"id":"\u0053 7"}"#;
    let out = decode(&mut decoder, "portico/bologna/traffic_class_count", payload);
    assert!(out.blocks[0].rows[0].late, "{out:?}");
    assert_eq!(out.blocks[0].slots_of(0)[1..4], [Slot::Int(1), Slot::Int(2), Slot::Int(30)]);
    assert_eq!(&*out.blocks[0].rows[0].entity.id, "urn:ngsi-ld:TrafficFlowObserved:bologna:s-7");
}

#[test]
fn the_first_day_that_the_contract_keeps_is_accepted() {
    let payload = br#"{"observed_at":"2014-03-06T00:00:00Z","no2":12}"#;
    let out = decode(&mut decoder(""), "portico/bologna/air_quality/a", payload);
    assert!(out.blocks[0].rows[0].late, "{out:?}");
}

const SEVERAL: &str = r#"
[[mapping]]
name = "several"
topic = "hub/{hub}"
product = "air_quality"
entity = "^/station"
each = "/readings"
observed_at = { pointer = "/t", format = "epoch_s" }
lon = "^/where/0"
lat = "^/where/1"
quality = { pointer = "/ok", table = { "1" = "valid", "0" = "suspect" } }
[mapping.fields]
no2 = { pointer = "/v", scale = 0.1, absent = [-9999, "n/a"] }
co = { pointer = "/co", number_in_text = true }
period = { value = "PT1H" }
"#;

#[test]
fn a_list_of_observations_is_judged_one_by_one() {
    let mut decoder = decoder(SEVERAL);
    let payload = br#"{"readings":[{"t":1709450000,"v":412,"ok":1},{"t":1709450060,"v":-9999,"co":"0.4"},{"t":"x","v":1},{"t":1709450120,"v":1,"w":2}],
        "where":[11.34,44.49,54],"station":"S1"}"#;
    let out = decode(&mut decoder, "hub/7", payload);
    let block = &out.blocks[0];
    assert_eq!(block.rows.len(), 2);
    let field = |row: usize, name: &str| block.slots_of(row)[block.table.contract.field(name).unwrap().0];
    assert_eq!((field(0, "no2"), field(1, "no2"), field(1, "co")), (Slot::Float(41.2), Slot::Null, Slot::Float(0.4)));
    assert!(block.rows.iter().all(|r| r.place.is_some() && r.entity.id.ends_with(":s1")));
    assert_eq!(block.rows[0].quality, Quality::Valid);
    let reasons: Vec<_> = out.refusals.iter().map(|r| r.reject.reason.code()).collect();
    assert_eq!(reasons, ["bad_time", "unknown_field"]);
}

#[test]
fn a_broken_or_empty_list_leaves_no_rows() {
    let mut decoder = decoder(SEVERAL);
    let out = decode(&mut decoder, "hub/7", br#"{"station":"S1","readings":[{"t":1709450000,"v":412}"#);
    assert_eq!((out.refusals.len(), out.refusals[0].reject.reason), (1, Reason::NotJson));
    let out = decode(&mut decoder, "hub/7", br#"{"station":"S1","readings":[]}"#);
    assert_eq!((out.refusals.len(), out.dropped), (0, 1));
    let out = decode(&mut decoder, "hub/7", br#"{"station":"S1"}"#);
    assert_eq!(out.refusals[0].reject.reason, Reason::MissingField);
}

const CLOCKLESS: &str = r#"
[[mapping]]
name = "clockless"
topic = "z/{name}"
product = "weather"
entity = "{name}"
observed_at = { pointer = "/t", or = "receipt" }
unknown_fields = "drop"
[mapping.fields]
humidity = { pointer = "/h", unit_in_text = "%" }
temperature = { pointer = "/c", unit_in_text = "°C", scale = 2 }
"#;

#[test]
fn what_has_no_time_no_value_or_a_unit_is_read_as_its_mapping_says() {
    let mut decoder = decoder(CLOCKLESS);
    let out = decode(&mut decoder, "z/a", r#"{"h":"45 %","c":" -1.5°C ","linkquality":9}"#.as_bytes());
    let (block, row) = (&out.blocks[0], &out.blocks[0].rows[0]);
    assert_eq!(row.observed_at.to_rfc3339(), NOW);
    let slot = |name: &str| block.slots_of(0)[block.table.contract.field(name).unwrap().0];
    assert_eq!((slot("humidity"), slot("temperature")), (Slot::Float(45.0), Slot::Float(-3.0)));
    let out = decode(&mut decoder, "z/a", br#"{"t":"2024-03-03T07:00:00Z","h":50}"#);
    assert_eq!(out.blocks[0].rows[0].observed_at.to_rfc3339(), "2024-03-03T07:00:00Z");
    let out = decode(&mut decoder, "z/a", br#"{"linkquality":9}"#);
    assert_eq!((out.dropped, out.refusals.len(), out.blocks[0].rows.len(), out.blocks[0].slots.len()), (1, 0, 0, 0));
    for (payload, reason) in [
        (r#"{"h":"45"}"#, "wrong_type"),
        (r#"{"h":"45 dB"}"#, "wrong_type"),
        (r#"{"h":"inf%"}"#, "wrong_type"),
        (r#"{"h":"101%"}"#, "out_of_range"),
        (r#"{"t":"soon","h":1}"#, "bad_time"),
    ] {
        let out = decode(&mut decoder, "z/a", payload.as_bytes());
        assert_eq!(out.refusals[0].reject.reason.code(), reason, "{payload}");
    }
}

fn value(reader: &mut Json<'_>, token: Token<'_>) -> Result<serde_json::Value, JsonError> {
    let mut first = true;
    Ok(match token {
        Token::Null => serde_json::Value::Null,
        Token::Bool(b) => b.into(),
        // serde_json keeps the sign of a whole zero by making it a float.
        Token::Number("-0") => (-0.0).into(),
        Token::Number(text) => text.parse::<i64>().map_or_else(|_| text.parse::<f64>().unwrap().into(), Into::into),
        Token::Text(text) => text.into_owned().into(),
        Token::Object => {
            let mut map = serde_json::Map::new();
            while let Some(key) = reader.key(&mut first)? {
                let token = reader.value()?;
                map.insert(key.into_owned(), value(reader, token)?);
            }
            map.into()
        }
        Token::Array => {
            let mut list = Vec::new();
            while reader.element(&mut first)? {
                let token = reader.value()?;
                list.push(value(reader, token)?);
            }
            list.into()
        }
    })
}

fn read(text: &[u8]) -> Result<serde_json::Value, JsonError> {
    let mut reader = Json::new(text, 64)?;
    let token = reader.value()?;
    let value = value(&mut reader, token)?;
    reader.end()?;
    Ok(value)
}

/// Fragments that make near-JSON likely.
fn near_json() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just(":"),
        Just("\"a\""),
        Just("\"\\u00e8\\n\""),
        Just("\"\\ud83d\\ude00\""),
        Just("\"\\ud83d\""),
        Just("\"\\x\""),
        Just("1"),
        Just("-0"),
        Just("01"),
        Just("1.5"),
        Just("1."),
        Just("2e3"),
        Just("2e"),
        Just("-"),
        Just("null"),
        Just("nul"),
        Just("true"),
        Just(" "),
        Just("\n"),
        Just("\u{1}"),
        Just("\""),
        Just("\\"),
        Just("è"),
    ];
    prop_oneof![
        proptest::collection::vec(piece, 0..12).prop_map(|p| p.concat()),
        json(3).prop_map(|v| v.to_string()),
        (json(3), any::<prop::sample::Index>(), any::<char>()).prop_map(|(v, at, c)| {
            let mut text: Vec<char> = v.to_string().chars().collect();
            let at = at.index(text.len());
            text[at] = c;
            text.into_iter().collect()
        }),
    ]
}

fn json(depth: u32) -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1_000_000i32..1_000_000).prop_map(|n| serde_json::Value::from(f64::from(n) / 64.0)),
        ".*".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(depth, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            proptest::collection::btree_map("[a-z\"\\\\é]{0,4}", inner, 0..4)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn the_reader_agrees_with_serde_json(text in near_json()) {
        match (read(text.as_bytes()), serde_json::from_str::<serde_json::Value>(&text)) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
            (Err(_), Err(_)) => {}
            // A number beyond a double is the contract's matter: it is not finite.
            (Ok(_), Err(e)) if e.to_string().starts_with("number out of range") => {}
            (ours, theirs) => prop_assert!(false, "{text:?}: {ours:?} against {theirs:?}"),
        }
    }

    #[test]
    fn no_bytes_make_it_panic_and_none_vanish(payload in prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..64),
        near_json().prop_map(String::into_bytes),
        (json(2), json(2), json(2)).prop_map(|(t, no2, id)| serde_json::json!({"observed_at": t, "no2": no2, "id": id}).to_string().into_bytes()),
        (json(1), json(2)).prop_map(|(t, v)| serde_json::json!({"station": "s", "readings": [{"t": t, "v": v}, v]}).to_string().into_bytes()),
    ]) {
        let mut decoder = decoder(SEVERAL);
        for topic in ["portico/bologna/air_quality/a", "hub/1"] {
            let out = decode(&mut decoder, topic, &payload);
            let n_rows: usize = out.blocks.iter().map(|b| b.rows.len()).sum();
            prop_assert!(n_rows + out.refusals.len() + out.dropped as usize >= 1);
            for block in &out.blocks {
                prop_assert_eq!(block.slots.len(), block.rows.len() * block.table.contract.fields.len());
            }
        }
    }
}
