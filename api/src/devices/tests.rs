use crate::testing::{FakeCity, get, request, send};
use serde_json::{Value, json};

#[tokio::test]
async fn suggestions_are_those_of_the_callers_tenants() {
    let city = FakeCity::new();
    let router = city.router();
    let all = get(&router, "analyst", "/api/quarantine/suggestions?hours=5").await.json();
    assert_eq!(
        (all["suggestions"].as_array().unwrap().len(), all["may_accept"].as_bool(), all["waiting"].as_u64()),
        (2, Some(false), Some(7))
    );
    let own = get(&router, "modena_analyst", "/api/quarantine/suggestions").await.json();
    assert_eq!(own["suggestions"], json!([{"id": "0a", "tenant": "modena"}]));
    let asked = get(&router, "admin", "/api/quarantine/suggestions?tenant=bologna").await.json();
    assert_eq!((asked["suggestions"].as_array().unwrap().len(), asked["may_accept"].as_bool()), (1, Some(true)));
    assert_eq!(city.waiting.lock()[0].hours, 5);
    assert_eq!(get(&router, "analyst", "/api/quarantine/suggestions?hours=0").await.status, 400);
}

#[tokio::test]
async fn accepting_is_checked_noted_and_told_in_words_when_it_fails() {
    let city = FakeCity::new();
    let router = city.router();
    let accept = async |body: Value| send(&router, "admin", request("POST", "/api/quarantine/accept", body.to_string())).await;
    let good = json!({"tenant": "bologna", "id": "0a", "mapping": "[[mapping]]"});
    let done = accept(good.clone()).await;
    assert_eq!((done.status.as_u16(), done.json()["in_force"].as_bool()), (200, Some(true)));
    let mut with = good.clone();
    with["contract"] = json!({"product": "soil", "text": "x"});
    assert_eq!(accept(with).await.json()["in_force"], false);
    assert_eq!(city.accepted.lock()[1].contract.as_ref().unwrap().product.as_str(), "soil");
    for (field, value, says) in [
        ("id", json!("../x"), "not the id"),
        ("id", json!(5), "must be a text"),
        ("mapping", json!(" "), "TOML"),
        ("tenant", json!("Bologna"), "tenant"),
        ("maping", json!("x"), "not a field"),
        ("contract", json!({"product": "A b", "text": ""}), "contract.product"),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        let answer = accept(bad).await;
        assert_eq!(answer.status, 400, "{field}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(says), "{}", answer.text());
    }
    let wrong = accept(json!({"tenant": "bologna", "id": "0a", "mapping": "wrong"})).await;
    assert_eq!((wrong.status.as_u16(), wrong.json()["detail"].as_str()), (400, Some("mapping[0]: topic: is missing")));
    let noted: Vec<_> = city.audited.lock().iter().map(|e| (e.action, e.object.clone(), e.outcome)).collect();
    assert_eq!(noted[0], ("accept_mapping", "bologna 0a".to_owned(), "ok"));
    assert_eq!(noted.last().unwrap().2, "invalid");
}

#[tokio::test]
async fn a_replay_goes_on_until_nothing_is_left() {
    let city = FakeCity::new();
    let router = city.router();
    let body = json!({"tenant": "bologna", "topic": "gw/{d}/data", "messages_max": 3}).to_string();
    let answer = send(&router, "admin", request("POST", "/api/quarantine/replay", body)).await.json();
    assert_eq!((answer["replayed"].as_u64(), answer["left"].as_u64(), answer["stored"].as_u64()), (Some(3), Some(2), Some(3)));
    assert_eq!(answer["skipped"]["cut"], 1);
    assert_eq!(city.replayed.lock()[0].topic.as_deref(), Some("gw/{d}/data"));
    for bad in [json!({"tenant": "bologna", "messages_max": 0}), json!({"messages_max": 1}), json!([])] {
        assert_eq!(send(&router, "admin", request("POST", "/api/quarantine/replay", bad.to_string())).await.status, 400, "{bad}");
    }
}
