use crate::testing::{Answer, FakeCity, request, send};
use axum::{Router, body::Body};
use std::io::Write as _;

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    e.write_all(data).unwrap();
    e.finish().unwrap()
}

async fn post(router: &Router, uri: &str, headers: &[(&'static str, &str)], body: impl Into<Body>) -> Answer {
    let mut r = request("POST", uri, body);
    for (name, value) in headers {
        r.headers_mut().insert(*name, value.parse().unwrap());
    }
    send(router, "gateway", r).await
}

#[tokio::test]
async fn lines_are_handed_on_and_the_receipt_comes_back() {
    let city = FakeCity::new();
    let answer = post(&city.router(), "/api/ingest/parking", &[("content-type", "application/x-ndjson")], "{}\n{}\n").await;
    assert_eq!(
        answer.json(),
        serde_json::json!({"received": 2, "stored": 1, "duplicate": 0, "late": 0, "quarantined": 1, "dropped": 0,
            "rejects": [{"line": 2, "reason": "range", "field": "free", "message": "free is below 0"}]})
    );
    let seen = &city.ingested.lock()[0];
    assert_eq!((seen.principal.name.as_str(), seen.product.as_str(), seen.content_type), ("gateway", "parking", "application/x-ndjson"));
}

#[tokio::test]
async fn gzip_is_undone_within_a_limit() {
    let city = FakeCity::new();
    let mut config = crate::ApiConfig::default();
    (config.limits.ingest_bytes_max, config.limits.ingest_inflated_bytes_max) = (10_000, 100_000);
    let router = city.router_with(config);
    let gz = [("content-encoding", "gzip"), ("content-type", "application/json; charset=utf-8")];
    // Two members, as concatenated files have.
    let body = [gzip(b"[1,"), gzip(b"2]")].concat();
    assert_eq!(post(&router, "/api/ingest/parking", &gz, body).await.status, 200);
    assert_eq!(city.ingested.lock()[0].body.as_ref(), b"[1,2]");
    let bomb = gzip(&vec![b' '; 5_000_000]);
    assert!(bomb.len() < 10_000);
    let answer = post(&router, "/api/ingest/parking", &gz, bomb).await;
    assert_eq!(answer.status, 413);
    assert!(answer.text().contains("100000 bytes"), "{}", answer.text());
    assert_eq!(post(&router, "/api/ingest/parking", &[], vec![b'x'; 10_001]).await.status, 413);
    assert_eq!(post(&router, "/api/ingest/parking", &gz, "not gzip").await.status, 400);
    assert_eq!(city.ingested.lock().len(), 1, "nothing of that came through");
}

#[tokio::test]
async fn what_cannot_be_taken_is_explained() {
    let router = FakeCity::new().router();
    for (uri, headers, body, status, word) in [
        ("/api/ingest/parkin", ("accept", "*/*"), "{}", 404, "did you mean 'parking'?"),
        ("/api/ingest/parking?x=1", ("accept", "*/*"), "{}", 400, "takes no parameters"),
        ("/api/ingest/parking", ("accept", "*/*"), " \n", 400, "one JSON message per line"),
        ("/api/ingest/parking", ("content-type", "text/csv"), "a,b", 415, "application/x-ndjson"),
        ("/api/ingest/parking", ("content-encoding", "zstd"), "a", 415, "gzip, identity"),
    ] {
        let answer = post(&router, uri, &[headers], body).await;
        assert_eq!(answer.status.as_u16(), status, "{uri} {headers:?}");
        assert!(answer.text().contains(word), "{uri}: {}", answer.text());
    }
}
