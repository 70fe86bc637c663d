use super::*;
use proptest::prelude::*;
use schemas::{Tenant, Timestamp};

fn translate(payload: &[u8]) -> Result<Value, Reject> {
    let tenant = Tenant::new("bologna").unwrap();
    let mut out = Vec::new();
    NgsiLd.translate(Incoming { tenant: &tenant, topic: "ngsi-ld/X", payload, received_at: Timestamp(0) }, &mut out)?;
    Ok(serde_json::from_slice(&out).unwrap())
}

const ENTITY: &str = r#"{"id":"urn:x","type":"X","@context":[],"location":{"type":"Point","coordinates":[11.3,44.5,54]},
    "a":{"type":"Property","value":1.5,"unitCode":"CEL","observedAt":"2026-03-01T10:00:00Z","accuracy":{"value":0.1}},
    "b":{"value":{"@type":"DateTime","@value":"2026-03-01T09:00:00Z"}},"c":{"object":"urn:y","observedAt":"2026-03-01T10:00:00Z"},
    "d":[{"value":1,"datasetId":"urn:d"},{"value":2}],"e":[1,2],"f":true,"g":{"h":1},"area":{"type":"Polygon","coordinates":[]}}"#;

#[test]
fn every_way_of_writing_an_attribute_is_read() {
    let want = json!({"id": "urn:x", "type": "X", "location": [11.3, 44.5],
        "static": {"b": "2026-03-01T09:00:00Z", "d": 2, "e": [1, 2], "f": true, "g": {"h": 1}},
        "observations": [{"time": "2026-03-01T10:00:00Z", "values": {"a": 1.5, "c": "urn:y"}, "units": {"a": "CEL"}}]});
    assert_eq!(translate(ENTITY.as_bytes()).unwrap(), want);
    let simple = translate(br#"{"id":"x","type":"X","a":1}"#).unwrap();
    assert_eq!(simple["observations"], json!([{"values": {"a": 1}, "units": {}}]));
    assert_eq!(translate(br#"{"id":"x"}"#).unwrap_err().field.as_deref(), Some("type"));
    assert_eq!(translate(br#"{"id":"x","type":"X","a":{"value":1,"observedAt":5}}"#).unwrap_err().reason, Reason::BadTime);
    assert_eq!(translate(b"[]").unwrap_err().reason, Reason::NotJson);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40), at in any::<prop::sample::Index>(), b in any::<u8>()) {
        let _ = translate(&bytes);
        let mut entity = ENTITY.as_bytes().to_vec();
        let at = at.index(entity.len());
        entity[at] = b;
        let _ = translate(&entity);
    }
}
