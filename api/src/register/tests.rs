use crate::testing::{FakeCity, get, request, send};
use serde_json::{Value, json};

const PARKING: &str = "/api/register/urn:ngsi-ld:OffStreetParking:bologna:a";

fn entry() -> Value {
    json!({"class": "Sensore di parcheggio", "owner": "Comune di Bologna", "purpose_it": "Conta i posti liberi", "personal_data": false,
        "calibrated_on": "2024-01-10", "calibration_due": "2025-01-10", "contact_person": "Ufficio 3"})
}

#[tokio::test]
async fn an_entry_is_one_whole_row_about_the_devices_own_urn() {
    let city = FakeCity::new();
    let router = city.router();
    let answer = send(&router, "admin", request("PUT", PARKING, entry().to_string())).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent = city.ingested.lock()[0].clone();
    let row: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!((sent.product.as_str(), sent.tenant.as_ref().unwrap().as_str()), ("sensor_register", "bologna"));
    assert_eq!(
        (row["id"].as_str(), row["observed_at"].as_str()),
        (Some("urn:ngsi-ld:OffStreetParking:bologna:a"), Some("2024-03-03T08:00:00Z"))
    );
    // What is left out is empty from now on, so that the newest row of the twin is the whole entry.
    assert_eq!((row["notes"].as_str(), row["personal_data"].as_bool()), (Some(""), Some(false)));
    let noted = &city.audited.lock()[0];
    assert_eq!((noted.action, noted.outcome), ("register", "ok"));
}

#[tokio::test]
async fn a_wrong_entry_names_the_field_and_the_rule() {
    let city = FakeCity::new();
    let router = city.router();
    for (field, value, says) in [
        ("owner", json!(""), "the register needs 'Owner'"),
        ("personal_data", Value::Null, "is missing"),
        ("personal_data", json!("no"), "true or false"),
        ("installed_on", json!("3 marzo"), "write it as 2024-03-03"),
        ("installed_on", json!("2024-02-30"), "not a day"),
        ("calibration_due", json!("2023-01-01"), "before 'calibrated_on'"),
        ("class", json!("x".repeat(100)), "at most 80"),
        ("ownr", json!("x"), "not a field"),
    ] {
        let mut bad = entry();
        bad[field] = value;
        let answer = send(&router, "admin", request("PUT", PARKING, bad.to_string())).await;
        assert_eq!(answer.status, 400, "{field}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(says), "{}", answer.text());
    }
    assert!(city.ingested.lock().is_empty());
}

#[tokio::test]
async fn a_device_that_has_not_spoken_yet_may_be_entered() {
    let city = FakeCity::new();
    let router = city.router();
    let put = async |uri: &str| send(&router, "admin", request("PUT", uri, entry().to_string())).await.status.as_u16();
    assert_eq!(put("/api/register/urn:ngsi-ld:Device:imola:new").await, 200);
    assert_eq!(city.ingested.lock()[0].tenant.as_ref().unwrap().as_str(), "imola");
    assert_eq!(put("/api/register/urn:x:y").await, 400);
    assert_eq!(put("/api/register/urn:x:y?tenant=bologna").await, 200);
    assert_eq!(put("/api/register/nothing").await, 400);
}

#[tokio::test]
async fn the_register_never_stands_in_for_the_sensors_own_data() {
    let city = FakeCity::new();
    let text = |t: &str| schemas::Value::Text(t.into());
    let id = "urn:ngsi-ld:WeatherObserved:bologna:w";
    city.put("bologna.weather", &[(id, 11.3, 44.5, &[("temperature", schemas::Value::Float(20.0))])]);
    city.put("bologna.sensor_register", &[(id, 11.3, 44.5, &[("class", text("Stazione meteo")), ("contact_person", text("Interno 5"))])]);
    let router = city.router();
    let plain = get(&router, "viewer", &format!("/api/twin/entities/{id}")).await.json();
    let asked = get(&router, "viewer", &format!("/api/twin/entities/{id}?product=sensor_register")).await.json();
    assert_eq!((plain["product"].as_str(), asked["product"].as_str()), (Some("weather"), Some("sensor_register")));
    assert!(asked["attributes"].to_string().contains("Interno 5"));
    assert_eq!(get(&router, "", &format!("/api/twin/entities/{id}?product=sensor_register")).await.status, 401, "not public here");
}
