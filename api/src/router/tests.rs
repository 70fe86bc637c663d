use crate::{
    MetricsAccess,
    testing::{FakeCity, get, request, send},
};
use axum::extract::ConnectInfo;
use std::{net::SocketAddr, time::Duration};

#[tokio::test]
async fn problems_have_the_members_of_rfc_9457() {
    let router = FakeCity::new().router();
    let answer = get(&router, "", "/api/twin/entities?bbbox=1").await;
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(
        answer.json(),
        serde_json::json!({"type": "urn:portico:problem:invalid", "title": "The request is not valid", "status": 400,
            "detail": "parameter 'bbbox': is not a parameter of this address", "kind": "invalid", "hint": "did you mean 'bbox'?"})
    );
    for (method, uri, status) in [("GET", "/api/nothing", 404), ("PUT", "/api/sql", 405), ("GET", "/nothing", 404)] {
        let answer = send(&router, "", request(method, uri, "")).await;
        assert_eq!(answer.status.as_u16(), status, "{uri}");
        assert_eq!(answer.json()["status"], status, "{uri}");
    }
}

#[tokio::test]
async fn browsers_get_a_page_where_nothing_is() {
    let router = FakeCity::new().router();
    for (uri, word) in [("/nothing", "lang=\"it\""), ("/en/nothing", "lang=\"en\"")] {
        let mut r = request("GET", uri, "");
        r.headers_mut().insert("accept", "text/html,*/*".parse().unwrap());
        let answer = send(&router, "", r).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (404, "text/html; charset=utf-8"));
        assert!(answer.text().contains(word), "{}", answer.text());
    }
    for uri in ["/assets/../Cargo.toml", "/assets/%2e%2e/x", "/assets/none.js"] {
        assert_eq!(get(&router, "", uri).await.status, 404, "{uri}");
    }
}

#[tokio::test]
async fn every_answer_keeps_browsers_safe() {
    let config = crate::ApiConfig { tile_hosts: vec!["https://tiles.example.it".into()], tls: true, ..Default::default() };
    let router = FakeCity::new().router_with(config);
    for uri in ["/", "/api/products", "/nothing"] {
        let answer = get(&router, "", uri).await;
        let csp = answer.header("content-security-policy");
        assert!(csp.contains("script-src 'self';") && csp.contains("img-src 'self' data: blob: https://tiles.example.it;"), "{csp}");
        assert!(!csp.contains("unsafe"), "{csp}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("strict-transport-security"), "max-age=31536000");
        assert_eq!(answer.header("access-control-allow-origin"), "");
        assert_eq!(answer.header("x-request-id").len(), 16);
    }
    let city: std::sync::Arc<dyn crate::City> = FakeCity::new();
    let bad = crate::ApiConfig { tile_hosts: vec!["https://a; script-src *".into()], ..Default::default() };
    assert!(crate::router(std::sync::Arc::clone(&city), bad).is_err());
    let bad = crate::ApiConfig { cors_origins: vec!["*".into()], ..Default::default() };
    assert!(crate::router(city, bad).is_err());
}

#[tokio::test]
async fn only_configured_origins_may_read() {
    let config = crate::ApiConfig { cors_origins: vec!["https://portal.example.it".into()], ..Default::default() };
    let router = FakeCity::new().router_with(config);
    for (origin, allowed) in [("https://portal.example.it", "https://portal.example.it"), ("https://other.it", "")] {
        let mut r = request("GET", "/api/products", "");
        r.headers_mut().insert("origin", origin.parse().unwrap());
        let answer = send(&router, "", r).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed);
        assert_eq!(answer.header("access-control-allow-credentials"), "", "cookies stay at home");
    }
}

#[tokio::test]
async fn a_panic_is_a_problem_and_says_nothing_of_the_inside() {
    let city = FakeCity::new();
    let mut r = request("POST", "/api/sql", "panic");
    r.headers_mut().insert("x-request-id", "abc-1".parse().unwrap());
    let answer = send(&city.router(), "admin", r).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-request-id")), (500, "abc-1"));
    assert_eq!(answer.json()["kind"], "internal");
    assert!(!answer.text().contains("asked for"), "{}", answer.text());
}

#[tokio::test]
async fn answers_are_compressed_when_asked() {
    let router = FakeCity::new().router();
    let mut r = request("GET", "/api/products", "");
    r.headers_mut().insert("accept-encoding", "br, gzip".parse().unwrap());
    let small = send(&router, "", r).await;
    let plain = get(&router, "", "/api/products").await;
    assert_eq!((small.header("content-encoding"), plain.header("content-encoding")), ("gzip", ""));
    assert!(small.body.len() < plain.body.len() / 2);
}

#[tokio::test(start_paused = true)]
async fn a_full_door_says_try_again() {
    let city = FakeCity::new();
    let mut config = crate::ApiConfig::default();
    config.limits.sql_concurrency_max = 1;
    config.limits.queue_timeout = Duration::from_secs(1);
    let router = city.router_with(config);
    let mut endless = request("POST", "/api/sql", "endless");
    endless.headers_mut().insert("authorization", "Bearer analyst".parse().unwrap());
    let held = tower::ServiceExt::oneshot(router.clone(), endless).await.unwrap();
    let answer = send(&router, "analyst", request("POST", "/api/sql", "five")).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
    drop(held);
}

#[tokio::test]
async fn metrics_are_for_this_machine_or_an_administrator() {
    let from = async |config: &crate::ApiConfig, address: &str, forwarded: bool, user: &str| {
        let mut r = request("GET", "/metrics", "");
        r.extensions_mut().insert(ConnectInfo(address.parse::<SocketAddr>().unwrap()));
        if forwarded {
            r.headers_mut().insert("x-forwarded-for", "127.0.0.1".parse().unwrap());
        }
        send(&FakeCity::new().router_with(config.clone()), user, r).await
    };
    let local = crate::ApiConfig::default();
    let admin = crate::ApiConfig { metrics: MetricsAccess::Admin, ..Default::default() };
    let answer = from(&local, "127.0.0.1:1", false, "").await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "portico_up 1\n"));
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for (config, address, forwarded, user, status) in [
        (&local, "[::ffff:127.0.0.1]:1", false, "", 200),
        (&local, "10.0.0.1:1", false, "", 401),
        (&local, "127.0.0.1:1", true, "", 401),
        (&admin, "127.0.0.1:1", false, "", 401),
        (&admin, "10.0.0.1:1", false, "admin", 200),
    ] {
        assert_eq!(from(config, address, forwarded, user).await.status.as_u16(), status, "{address} {forwarded} {user}");
    }
}

#[tokio::test]
async fn the_ledger_and_the_status_keep_to_the_callers_tenants() {
    let city = FakeCity::new();
    let router = city.router();
    let all = get(&router, "analyst", "/api/ledger?hours=48").await.json();
    assert_eq!((all["rows"].as_array().unwrap().len(), all["imbalance"].as_i64()), (2, Some(2)));
    let own = get(&router, "modena_analyst", "/api/ledger").await.json();
    assert_eq!(own["rows"].as_array().unwrap().len(), 1);
    assert_eq!((own["rows"][0]["tenant"].as_str(), own["rows"][0]["imbalance"].as_i64()), (Some("modena"), Some(2)));
    assert_eq!(get(&router, "analyst", "/api/ledger?hours=0").await.status, 400);
    let status = get(&router, "modena_analyst", "/api/status").await.json();
    assert_eq!(status["tables"].as_array().unwrap().len(), 1);
    assert_eq!((status["position"].as_u64(), status["simulated"].as_bool()), (Some(4), Some(true)));
}

#[tokio::test]
async fn readiness_says_why_not() {
    let city = FakeCity::new();
    let router = city.router();
    assert_eq!(get(&router, "", "/readyz").await.status, 200);
    city.advance_secs(1);
    let answer = get(&router, "", "/readyz").await;
    assert_eq!((answer.status.as_u16(), answer.json()["detail"].as_str()), (503, Some("the log is being read")));
    assert_eq!(get(&router, "", "/healthz").await.status, 200);
}
