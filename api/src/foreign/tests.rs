use crate::{
    ApiConfig,
    city::Protocol,
    foreign::Webhook,
    testing::{Answer, FakeCity, NOW, get, principal, request, send},
};
use axum::{Router, body::Body};
use ring::hmac;
use std::io::Write as _;

async fn post(router: &Router, uri: &str, user: &str, headers: &[(&'static str, &str)], body: impl Into<Body>) -> Answer {
    let mut r = request("POST", uri, body);
    for (name, value) in headers {
        r.headers_mut().insert(*name, value.parse().unwrap());
    }
    send(router, user, r).await
}

const LINE: &str = "weather,id=a temperature=1 1\n";

#[tokio::test]
async fn both_generations_of_influx_hand_lines_on() {
    let city = FakeCity::new();
    let router = city.router();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(LINE.as_bytes()).unwrap();
    let basic = [("authorization", "Basic Z2F0ZXdheTpnYXRld2F5"), ("content-encoding", "gzip")];
    for (uri, headers, body) in [
        ("/write?db=telegraf&u=gateway&p=gateway&consistency=any", &[][..], LINE.as_bytes().to_vec()),
        ("/write?db=telegraf&precision=ms&rp=week", &basic, gz.finish().unwrap()),
        ("/api/v2/write?org=city&bucket=b&precision=s", &[("authorization", "Token gateway")], LINE.as_bytes().to_vec()),
        ("/api/v2/write?org=city&bucket=b&precision=us", &[("authorization", "Token gateway:gateway")], LINE.as_bytes().to_vec()),
    ] {
        let answer = post(&router, uri, "", headers, body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.len(), answer.header("x-influxdb-version")),
            (204, 0, "1.8.10"),
            "{uri}: {}",
            answer.text()
        );
    }
    let seen: Vec<_> = city.foreign.lock().iter().map(|r| (r.protocol.clone(), r.body.clone(), r.principal.name.clone())).collect();
    assert!(seen.iter().all(|(_, body, name)| body == LINE.as_bytes() && name == "gateway"));
    let lines = |db: &str, precision| Protocol::Lines { db: db.into(), precision };
    let protocols: Vec<_> = seen.into_iter().map(|s| s.0).collect();
    assert_eq!(protocols, [lines("telegraf", "ns"), lines("telegraf/week", "ms"), lines("b", "s"), lines("b", "us")]);
}

#[tokio::test]
async fn partial_writes_and_refusals_have_the_shape_of_influx() {
    let router = FakeCity::new().router();
    let half = "weather,id=a temperature=1\nbad\n";
    let one = post(&router, "/write?db=d", "gateway", &[], half).await;
    assert_eq!(one.status, 400);
    assert_eq!(one.json()["error"], "partial write: line 2: not a line (not_format); refused=1 dropped=1");
    assert_eq!(one.json()["line"], 2);
    assert!(one.header("x-influxdb-error").starts_with("partial write"));
    let two = post(&router, "/api/v2/write?bucket=b", "gateway", &[], half).await;
    assert_eq!((two.status.as_u16(), &two.json()["code"], &two.json()["line"]), (422, &"unprocessable entity".into(), &2.into()));
    let all = post(&router, "/api/v2/write?bucket=b", "gateway", &[], "bad").await;
    assert_eq!((all.status.as_u16(), &all.json()["code"]), (400, &"invalid".into()));
    for (uri, user, status, word) in [
        ("/write", "gateway", 400, "'db'"),
        ("/write?db=d&precision=fortnight", "gateway", 400, "precision"),
        ("/api/v2/write?bucket=b&precision=h", "gateway", 400, "precision"),
        ("/write?db=d", "", 401, "sign-in"),
        ("/write?db=d&u=gateway&p=wrong", "", 401, "credentials"),
        ("/write?db=d", "viewer", 403, "sending data"),
    ] {
        let answer = post(&router, uri, user, &[], LINE).await;
        assert_eq!(answer.status.as_u16(), status, "{uri}");
        let json = answer.json();
        let text = json["error"].as_str().or_else(|| json["message"].as_str()).unwrap();
        assert!(text.contains(word), "{uri}: {text}");
    }
    let mut config = ApiConfig::default();
    config.limits.ingest_bytes_max = 10;
    let large = post(&FakeCity::new().router_with(config), "/api/v2/write?bucket=b", "gateway", &[], LINE).await;
    assert_eq!((large.status.as_u16(), &large.json()["code"]), (413, &"request too large".into()));
    assert_eq!(post(&router, "/write?db=d", "gateway", &[], "\n").await.status, 204, "nothing is nothing wrong");
}

#[tokio::test]
async fn what_clients_ask_before_they_write_is_answered() {
    let city = FakeCity::new();
    let router = city.router();
    let ping = get(&router, "", "/ping").await;
    assert_eq!((ping.status.as_u16(), ping.header("x-influxdb-build")), (204, "Portico"));
    assert_eq!(send(&router, "", request("HEAD", "/ping", "")).await.status, 204);
    assert_eq!(get(&router, "", "/ping?verbose=true").await.json()["version"], "1.8.10");
    let health = get(&router, "", "/health").await;
    assert_eq!((health.status.as_u16(), &health.json()["status"]), (200, &"pass".into()));
    let create = post(&router, "/query?q=CREATE+DATABASE+%22telegraf%22", "gateway", &[], "").await;
    assert_eq!(create.json(), serde_json::json!({"results": [{"statement_id": 0}]}));
    assert_eq!(post(&router, "/query", "gateway", &[], "q=CREATE+DATABASE+telegraf").await.status, 200);
    assert_eq!(post(&router, "/query?q=CREATE+DATABASE+x", "", &[], "").await.status, 401);
    let select = get(&router, "gateway", "/query?q=SELECT+1").await;
    assert!(select.status == 400 && select.text().contains("/api/sql"), "{}", select.text());
    city.advance_secs(1);
    assert_eq!(get(&router, "", "/health").await.json()["status"], "fail");
}

#[tokio::test]
async fn metrics_are_handed_on_with_their_own_answers() {
    let city = FakeCity::new();
    let router = city.router();
    let snappy = [("content-encoding", "snappy"), ("content-type", "application/x-protobuf")];
    assert_eq!(post(&router, "/api/v1/write", "gateway", &snappy, "x").await.status, 204);
    assert_eq!(post(&router, "/api/v1/write", "gateway", &snappy, "bad").await.status, 400);
    assert_eq!(post(&router, "/api/v1/write", "gateway", &[], "x").await.status, 415);
    let v2 = [("content-encoding", "snappy"), ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")];
    assert_eq!(post(&router, "/api/v1/write", "gateway", &v2, "x").await.status, 415);
    let (json, protobuf) = ([("content-type", "application/json")], [("content-type", "application/x-protobuf")]);
    assert_eq!(post(&router, "/v1/metrics", "gateway", &json, "{}").await.json(), serde_json::json!({}));
    let partial = post(&router, "/v1/metrics", "gateway", &json, "bad").await;
    assert_eq!((partial.status.as_u16(), &partial.json()["partialSuccess"]["rejectedDataPoints"]), (200, &"1".into()));
    let partial = post(&router, "/v1/metrics", "gateway", &protobuf, "bad").await;
    assert_eq!(
        (partial.header("content-type"), &partial.body[..5]),
        ("application/x-protobuf", &[0x0a, partial.body[1], 0x08, 1, 0x12][..])
    );
    assert_eq!(post(&router, "/v1/metrics", "gateway", &protobuf, "x").await.body, b"");
    assert_eq!(post(&router, "/v1/metrics", "gateway", &[], "x").await.status, 415);
    assert_eq!(post(&router, "/v1/metrics", "", &json, "{}").await.status, 401);
    let seen = city.foreign.lock();
    assert!(seen.iter().any(|r| r.protocol == Protocol::OtlpMetrics { json: false }) && seen[0].protocol == Protocol::PrometheusWrite);
}

#[tokio::test]
async fn observations_and_entities_are_handed_on() {
    let city = FakeCity::new();
    let router = city.router();
    for path in ["Observations", "Datastreams(1)/Observations", "CreateObservations"] {
        assert_eq!(post(&router, &format!("/sensorthings/v1.1/{path}"), "gateway", &[], "{}").await.status, 201, "{path}");
        assert_eq!(city.foreign.lock().last().unwrap().protocol, Protocol::SensorThings { path: path.into() });
    }
    for path in ["Things", "Datastreams(1)/+/Observations", "Datastreams(%2B)/Observations"] {
        assert_eq!(post(&router, &format!("/sensorthings/v1.1/{path}"), "gateway", &[], "{}").await.status, 404, "{path}");
    }
    let upsert = "/api/ingest/ngsi-ld/v1/entityOperations/upsert";
    assert_eq!(post(&router, upsert, "gateway", &[], "{}").await.status, 201);
    assert_eq!(post(&router, upsert, "gateway", &[], "bad").await.status, 400);
    assert_eq!(post(&router, upsert, "gateway", &[], "{}\nbad").await.status, 207);
    assert_eq!(post(&router, upsert, "viewer", &[], "{}").await.status, 403);
}

#[tokio::test]
async fn a_webhook_needs_a_signature_of_now() {
    let city = FakeCity::new();
    let secret = b"a secret of sixteen or more".to_vec();
    let webhook = |name: &str, user: &str| Webhook { name: name.into(), secret: secret.clone(), principal: principal(user).unwrap() };
    assert!(!format!("{:?}", webhook("a", "gateway")).contains("115"));
    let router =
        city.router_with(ApiConfig { webhooks: vec![webhook("bins", "gateway"), webhook("view", "viewer")], ..ApiConfig::default() });
    let sign = |secret: &[u8], stamp: &str, body: &str| {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), format!("{stamp}.{body}").as_bytes());
        format!("sha256={}", tag.as_ref().iter().map(|b| format!("{b:02x}")).collect::<String>())
    };
    let now = (NOW.0 / 1_000_000).to_string();
    let old = (NOW.0 / 1_000_000 - 301).to_string();
    let good = sign(&secret, &now, "{}");
    for (name, stamp, signature, body, status) in [
        ("bins", now.as_str(), good.as_str(), "{}", 200),
        ("bins", &now, &good, "{ }", 401),
        ("bins", &now, &sign(b"another secret of sixteen", &now, "{}"), "{}", 401),
        ("bins", &old, &sign(&secret, &old, "{}"), "{}", 401),
        ("bins", "9223372036854775807", &good, "{}", 401),
        ("bins", "-9223372036854775808", &good, "{}", 401),
        ("bins", "soon", &good, "{}", 401),
        ("bins", &now, "sha256=00", "{}", 401),
        ("bins", &now, &good.replace("sha256=", ""), "{}", 401),
        ("other", &now, &good, "{}", 404),
        ("view", &now, &good, "{}", 403),
    ] {
        let headers = [("x-portico-timestamp", stamp), ("x-portico-signature", signature)];
        let answer = post(&router, &format!("/api/ingest/webhook/{name}"), "", &headers, body.to_owned()).await;
        assert_eq!(answer.status.as_u16(), status, "{name} {stamp} {signature}: {}", answer.text());
    }
    assert_eq!(post(&router, "/api/ingest/webhook/bins", "", &[], "{}").await.status, 401);
    assert_eq!(city.foreign.lock().len(), 1);
}
