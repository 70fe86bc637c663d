use crate::testing::{FakeCity, request};
use axum::{Router, body::BodyDataStream};
use futures::StreamExt as _;
use schemas::Value;
use tower::ServiceExt as _;

const A: &str = "urn:ngsi-ld:OffStreetParking:bologna:a";

async fn open(router: &Router, user: &str, query: &str) -> Result<BodyDataStream, u16> {
    let mut r = request("GET", &format!("/api/twin/events?{query}"), "");
    if !user.is_empty() {
        r.headers_mut().insert("authorization", format!("Bearer {user}").parse().unwrap());
    }
    let response = router.clone().oneshot(r).await.unwrap();
    if response.status() != 200 {
        return Err(response.status().as_u16());
    }
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    Ok(response.into_body().into_data_stream())
}

async fn next(stream: &mut BodyDataStream) -> String {
    String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap()
}

fn data(event: &str) -> serde_json::Value {
    serde_json::from_str(event.lines().find_map(|l| l.strip_prefix("data: ")).unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn changes_arrive_merged_and_filtered() {
    let city = FakeCity::new();
    let mut stream = open(&city.router(), "", "bbox=11.3,44.4,11.4,44.6").await.unwrap();
    let bin = [("fill", Value::Float(1.0)), ("weight", Value::Float(2.0))];
    // Neither hidden tables nor places outside the box; two changes of one entity come as one.
    city.advance_secs(1);
    city.put("bologna.bins", &[("urn:ngsi-ld:Bin:bologna:1", 11.34, 44.49, &bin)]);
    city.put("modena.bins", &[("urn:ngsi-ld:Bin:modena:1", 10.92, 44.64, &bin)]);
    city.put("bologna.parking", &[(A, 11.34, 44.49, &[("free", Value::Int(1)), ("occupied", Value::Int(8))])]);
    city.advance_secs(1);
    city.put("bologna.parking", &[(A, 11.34, 44.49, &[("free", Value::Int(2))])]);
    let event = next(&mut stream).await;
    assert!(event.starts_with("event: change"), "{event}");
    let json = data(&event);
    assert_eq!((json["id"].as_str(), json["product"].as_str(), json["lon"].as_f64()), (Some(A), Some("parking"), Some(11.34)));
    assert_eq!(json["values"], serde_json::json!({"free": 2, "occupied": 8}));
    assert_eq!(json["observed_at"], "2024-03-03T08:00:02Z");
    assert!(next(&mut stream).await.starts_with(": heartbeat"), "nothing else was sent");
}

#[tokio::test(start_paused = true)]
async fn fields_are_cut_to_the_callers_clearance() {
    let city = FakeCity::new();
    let (router, bin) =
        (city.router(), [("fill", Value::Float(1.0)), ("weight", Value::Float(2.0)), ("citizen", Value::Text("Mario".into()))]);
    let mut public = open(&router, "", "product=bins").await.unwrap();
    let mut staff = open(&router, "modena_analyst", "product=bins").await.unwrap();
    city.advance_secs(1);
    city.put("modena.bins", &[("urn:ngsi-ld:Bin:modena:1", 10.92, 44.64, &bin)]);
    assert_eq!(data(&next(&mut public).await)["values"], serde_json::json!({"fill": 1.0}));
    assert_eq!(data(&next(&mut staff).await)["values"], serde_json::json!({"fill": 1.0, "weight": 2.0}));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_told_how_much_it_missed() {
    let city = FakeCity::new();
    let mut stream = open(&city.router(), "", "product=parking").await.unwrap();
    // The channel of the fake city holds four.
    for n in 0..7 {
        city.advance_secs(1);
        city.put("bologna.parking", &[(A, 11.34, 44.49, &[("free", Value::Int(n))])]);
    }
    let event = next(&mut stream).await;
    assert!(event.starts_with("event: lagged"), "{event}");
    assert_eq!(data(&event)["skipped"], 3);
    assert_eq!(data(&next(&mut stream).await)["values"]["free"], 6, "and then goes on with the newest");
}

#[tokio::test(start_paused = true)]
async fn streams_are_counted_end_after_their_lifetime_and_give_their_place_back() {
    let city = FakeCity::new();
    let mut config = crate::ApiConfig::default();
    config.limits.events_per_client_max = 2;
    let router = city.router_with(config);
    let one = open(&router, "", "").await.unwrap();
    let mut two = open(&router, "", "").await.unwrap();
    assert_eq!(open(&router, "", "").await.err(), Some(429));
    drop(one);
    assert!(open(&router, "", "").await.is_ok());
    let mut beats = 0;
    while let Some(Ok(chunk)) = two.next().await {
        assert!(chunk.starts_with(b": heartbeat"));
        beats += 1;
    }
    assert!((230..=240).contains(&beats), "an hour of 15 s: {beats}");
}
