use super::*;
use crate::format::tests::City;
use proptest::prelude::*;
use schemas::{Tenant, Timestamp};
use serde_json::{Value, json};

fn translate(topic: &str, payload: &[u8]) -> Result<Value, Reject> {
    let tenant = Tenant::new("bologna").unwrap();
    let mut out = Vec::new();
    match SensorThings.translate(Incoming { tenant: &tenant, topic, payload, received_at: Timestamp(0) }, &mut out)? {
        Translated::Document => Ok(serde_json::from_slice(&out).unwrap()),
        _ => Ok(Value::Null),
    }
}

#[test]
fn an_observation_names_its_datastream_in_the_topic_or_the_body() {
    let body =
        br#"{"phenomenonTime":"2023-02-03T09:00:00Z/2023-02-03T10:00:00Z","resultTime":null,"result":21.5,"parameters":{"a":1},"x":[]}"#;
    let want = json!({"datastream": "1", "observations": [
        {"datastream": "1", "time": "2023-02-03T09:00:00Z", "end": "2023-02-03T10:00:00Z", "result": 21.5, "parameters": {"a": 1}}]});
    assert_eq!(translate("v1.1/Datastreams(1)/Observations", body).unwrap(), want);
    assert_eq!(translate("v1.1/Datastreams('a b')/Observations", body).unwrap()["datastream"], "a b");
    assert_eq!(translate("v1.1/Observations", br#"{"result":1,"Datastream":{"@iot.id":7}}"#).unwrap()["datastream"], "7");
    assert_eq!(translate("v1.1/Observations", br#"{"result":1}"#).unwrap_err().field.as_deref(), Some("Datastream"));
    let bad = translate("v1.1/Datastreams(1)/Observations", br#"{"phenomenonTime":5}"#).unwrap_err();
    assert_eq!((bad.reason, bad.field.as_deref()), (Reason::BadTime, Some("phenomenonTime")));
}

const ARRAYS: &[u8] = br#"[
    {"Datastream":{"@iot.id":1},"components":["phenomenonTime","result","FeatureOfInterest/id"],"dataArray@iot.count":2,
     "dataArray":[["2026-03-01T09:00:00Z",20,1],["2026-03-01T09:10:00Z",65,1]]},
    {"Datastream":{"@iot.id":"b"},"components":["result","phenomenonTime"],"dataArray":[[-3.5,"2026-03-01T09:00:00Z"]]}]"#;

#[tokio::test]
async fn data_arrays_are_spread_and_again_changes_nothing() {
    let city = City::new(include_str!("../../../mappings/sensorthings.toml"));
    for _ in 0..3 {
        let outcome = city.send(&[("v1.1/CreateObservations", ARRAYS)]).await;
        assert_eq!(outcome.rejects.iter().map(|r| r.reason).collect::<Vec<_>>(), ["out_of_range"]);
    }
    assert_eq!((city.sink.rows().len(), city.sink.counts().duplicate), (2, 4));
    let uneven = br#"{"Datastream":{"@iot.id":1},"components":["result"],"dataArray":[[1],[1,2]]}"#;
    assert!(
        translate("v1.1/CreateObservations", uneven).unwrap_err().message.contains("row 1 of 'dataArray' has 2 values for 1 components")
    );
}

proptest! {
    #[test]
    fn no_bytes_panic(payload in prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..60),
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, b)| { let mut p = ARRAYS.to_vec(); let at = at.index(p.len()); p[at] = b; p }),
    ]) {
        for topic in ["v1.1/Datastreams(1)/Observations", "v1.1/CreateObservations", "Datastreams("] {
            let _ = translate(topic, &payload);
        }
    }
}
