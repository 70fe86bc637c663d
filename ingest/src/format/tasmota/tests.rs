use super::*;
use crate::format::tests::{City, samples};
use proptest::prelude::*;
use schemas::{Tenant, Timestamp};

const HOME: &str = include_str!("../../../mappings/home.toml");

#[tokio::test]
async fn each_sensor_is_an_observation_and_again_changes_nothing() {
    let toml = HOME.replace("entity = \"{device}\"\neach = \"/sensors\"", "entity = \"/name\"\neach = \"/sensors\"");
    let city = City::new(&toml);
    let payload = br#"{"Time":"2026-03-01T10:59:00","DS18B20-1":{"Id":"01","Temperature":19.5},"DS18B20-2":{"Id":"02","Temperature":-3},"TempUnit":"C"}"#;
    for _ in 0..3 {
        city.send(&[("tele/a/SENSOR", payload)]).await;
    }
    assert_eq!((city.sink.rows().len(), city.sink.counts().duplicate), (2, 4));
    assert!(city.sink.rows()[0].contains("ds18b20-1") && city.sink.rows()[0].contains("2026-03-01T09:59:00"), "{:?}", city.sink.rows());
}

#[tokio::test]
async fn another_unit_is_refused_and_not_taken_for_celsius() {
    let city = City::new(HOME);
    let sample = samples("tasmota").remove(0);
    let fahrenheit = String::from_utf8(sample.1).unwrap().replace("\"C\"", "\"F\"");
    let outcome = city.send(&[(&sample.0, fahrenheit.as_bytes()), ("tele/x/LWT", b"Online"), (&sample.0, b"[]")]).await;
    assert_eq!((outcome.counts.quarantined, outcome.counts.dropped), (2, 1));
    assert!(outcome.rejects[0].text.contains("'F'"), "{}", outcome.rejects[0].text);
}

proptest! {
    #[test]
    fn no_bytes_panic(payload in proptest::collection::vec(any::<u8>(), 0..60)) {
        let tenant = Tenant::new("bologna").unwrap();
        let _ = Tasmota.translate(Incoming { tenant: &tenant, topic: "tele/a/SENSOR", payload: &payload, received_at: Timestamp(0) }, &mut Vec::new());
    }
}
