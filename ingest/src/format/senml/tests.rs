use super::*;
use schemas::Tenant;
use serde_json::json;

fn translate(pack: &Value) -> Result<Value, Reject> {
    let tenant = Tenant::new("bologna").expect("tenant");
    let received_at = Timestamp::parse("2026-03-01T10:00:00Z").expect("time");
    let payload = pack.to_string();
    let mut out = Vec::new();
    SenMl.translate(Incoming { tenant: &tenant, topic: "city/senml/dev", payload: payload.as_bytes(), received_at }, &mut out)?;
    Ok(serde_json::from_slice(&out).expect("a document"))
}

#[test]
fn base_fields_hold_until_replaced() {
    let pack = json!([
        {"bn": "urn:dev:ow:10e2073a01080063:", "bt": 1_320_067_464, "bu": "%RH", "n": "humidity", "v": 20},
        {"bu": "deg", "n": "longitude", "v": 24.30621},
        {"n": "latitude", "v": 60.07965},
        {"n": "humidity", "u": "%RH", "t": 60, "v": 20.3}
    ]);
    let document = translate(&pack).expect("translated");
    assert_eq!(
        document["by_time"],
        json!([
            {"device": "urn:dev:ow:10e2073a01080063", "time": 1_320_067_464.0,
             "values": {"humidity": 20.0, "longitude": 24.30621, "latitude": 60.07965}},
            {"device": "urn:dev:ow:10e2073a01080063", "time": 1_320_067_524.0, "values": {"humidity": 20.3}}
        ])
    );
    assert_eq!(document["records"][2]["unit"], "deg");
    assert_eq!(document["records"][3]["unit"], "%RH");
}

#[test]
fn base_value_and_relative_time_are_added() {
    let document = translate(&json!([{"n": "d:t", "bv": 20, "v": 1.5, "t": -30}])).expect("translated");
    assert_eq!(document["records"][0]["v"], 21.5);
    let now = Timestamp::parse("2026-03-01T09:59:30Z").expect("time").micros() as f64 / 1e6;
    assert_eq!(document["records"][0]["time"], now);
}

#[test]
fn what_must_be_understood_is_refused() {
    for (pack, field) in [
        (json!([{"n": "a", "v": 1, "x_": 2}]), "x_"),
        (json!([{"bver": 11, "n": "a", "v": 1}]), "bver"),
        (json!([{"n": "-a", "v": 1}]), "n"),
        (json!([{"n": "a", "v": 1, "vs": "x"}]), "v"),
    ] {
        assert_eq!(translate(&pack).expect_err("refused").field.as_deref(), Some(field));
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60), at in proptest::prelude::any::<proptest::sample::Index>(), b in proptest::prelude::any::<u8>()) {
        let tenant = Tenant::new("bologna").expect("tenant");
        let mut pack = br#"[{"bn":"urn:a:","bt":1320067464,"bv":1.5,"n":"h","v":20},{"n":"h","t":60,"vs":"x"}]"#.to_vec();
        let at = at.index(pack.len());
        pack[at] = b;
        for payload in [bytes, pack] {
            drop(SenMl.translate(Incoming { tenant: &tenant, topic: "x", payload: &payload, received_at: Timestamp(0) }, &mut Vec::new()));
        }
    }
}
