use super::*;
use crate::testing::{FakeCity, request, send, table};
use axum::{body::Body, http::Request};

/// Route, and the expected status for nobody, gateway, viewer (of bologna), analyst, admin.
type Case = (&'static str, &'static str, &'static str, [u16; 5]);

const ROLES: [&str; 5] = ["", "gateway", "viewer", "analyst", "admin"];
const PARKING: &str = "/api/twin/entities/urn:ngsi-ld:OffStreetParking:bologna:a";
const BIN: &str = "/api/twin/entities/urn:ngsi-ld:Bin:bologna:1";
const MODENA: &str = "/api/twin/entities/urn:ngsi-ld:NoiseLevelObserved:modena:1";
const ACCEPT: &str = r#"{"tenant":"bologna","id":"0a","mapping":"[[mapping]]"}"#;
const ENTRY: &str = r#"{"class":"Sensore di parcheggio","owner":"Comune","purpose_it":"Posti liberi","personal_data":false}"#;

const CASES: &[Case] = &[
    ("GET", "/healthz", "", [200; 5]),
    ("GET", "/readyz", "", [200; 5]),
    ("GET", "/api/products", "", [200; 5]),
    ("GET", "/api/twin/entities", "", [200; 5]),
    ("GET", "/api/twin/entities?product=parking", "", [200; 5]),
    ("GET", "/api/twin/entities?product=noise", "", [401, 200, 200, 200, 200]),
    ("GET", "/api/twin/h3?product=parking", "", [200; 5]),
    ("GET", "/api/twin/h3?product=noise", "", [401, 200, 200, 200, 200]),
    ("GET", "/api/twin/tiles/10/544/370.mvt?product=parking", "", [200; 5]),
    ("GET", "/api/twin/tiles/10/544/370.mvt?product=noise", "", [401, 200, 200, 200, 200]),
    ("GET", "/api/twin/events?product=noise&bbox=9,9,8,8", "", [401, 400, 400, 400, 400]),
    ("GET", PARKING, "", [200; 5]),
    ("GET", BIN, "", [404, 404, 200, 200, 200]),
    ("GET", MODENA, "", [404, 404, 404, 200, 200]),
    ("GET", "/api/twin/entities/urn:ngsi-ld:OffStreetParking:bologna:a/history", "", [200; 5]),
    ("GET", "/api/twin/entities/urn:ngsi-ld:Bin:bologna:1/history", "", [404, 404, 200, 200, 200]),
    // An internal field: only for the administration of that tenant.
    ("GET", "/api/twin/h3?product=bins&field=weight", "", [400, 400, 200, 200, 200]),
    ("GET", "/api/twin/h3?product=bins&tenant=modena&field=weight", "", [400, 400, 400, 200, 200]),
    // A personal field: for nobody.
    ("GET", "/api/twin/h3?product=bins&field=citizen", "", [400; 5]),
    ("POST", "/api/sql", "SELECT 1", [401, 403, 403, 200, 200]),
    ("POST", "/api/ingest/parking", "{}", [401, 200, 403, 403, 200]),
    ("GET", "/api/quarantine/suggestions", "", [401, 403, 403, 200, 200]),
    ("POST", "/api/quarantine/accept", ACCEPT, [401, 403, 403, 403, 200]),
    ("POST", "/api/quarantine/replay", r#"{"tenant":"bologna"}"#, [401, 403, 403, 403, 200]),
    ("PUT", "/api/register/urn:ngsi-ld:OffStreetParking:bologna:a", ENTRY, [401, 403, 403, 403, 200]),
    // The city of these tests has no signals.
    ("POST", "/api/signals/urn:ngsi-ld:TrafficSignal:bologna:1/command", "{}", [401, 403, 403, 403, 404]),
    ("GET", "/api/ledger", "", [401, 403, 403, 200, 200]),
    ("GET", "/api/status", "", [401, 403, 403, 200, 200]),
    ("GET", "/metrics", "", [401, 403, 403, 403, 200]),
    ("GET", "/api/session", "", [200; 5]),
];

#[tokio::test]
async fn every_route_answers_every_role_as_declared() {
    let router = FakeCity::new().router();
    for (method, uri, body, expected) in CASES {
        for (user, expected) in ROLES.iter().zip(expected) {
            let answer = send(&router, user, request(method, uri, *body)).await;
            assert_eq!(answer.status.as_u16(), *expected, "{method} {uri} as '{user}': {}", answer.text());
        }
    }
}

#[tokio::test]
async fn every_api_route_is_in_the_table() {
    let source = include_str!("../router.rs");
    let routes = source.lines().filter_map(|l| l.trim().strip_prefix(".route(\"")).filter_map(|l| l.split('"').next());
    for route in routes.filter(|r| r.starts_with("/api/")) {
        let start = route.split("/{").next().unwrap();
        assert!(CASES.iter().any(|(_, uri, ..)| uri.starts_with(start)), "{route} has no line");
    }
}

#[test]
fn clearance_is_by_table() {
    let public = [table("modena.bins")].into();
    let viewer = crate::testing::principal("viewer").unwrap();
    let class = |p: &Principal, t: &str| p.clearance(&table(t), &public);
    assert_eq!(class(&viewer, "bologna.bins"), Some(Classification::Internal));
    assert_eq!(class(&viewer, "modena.bins"), Some(Classification::Open));
    assert_eq!(class(&viewer, "modena.noise"), None);
    assert_eq!(class(&Principal::public(), "bologna.bins"), None);
    assert!(!covers(Classification::Internal, Classification::Personal));
}

#[tokio::test]
async fn wrong_credentials_are_refused_and_counted() {
    let city = FakeCity::new();
    let mut config = crate::ApiConfig::default();
    config.limits.sign_in_failures_per_minute_max = 2;
    let router = city.router_with(config);
    let wrong = || send(&router, "nobody-knows", request("GET", "/api/products", ""));
    assert_eq!(wrong().await.status, 401);
    assert_eq!(wrong().await.header("www-authenticate"), "Bearer realm=\"portico\"");
    let third = wrong().await;
    assert_eq!(third.status, 429);
    assert_eq!(third.header("retry-after"), "60");
    assert_eq!(send(&router, "admin", request("GET", "/api/products", "")).await.status, 429, "right ones wait too");
    city.advance_secs(60);
    assert_eq!(send(&router, "admin", request("GET", "/api/products", "")).await.status, 200);
}

#[tokio::test]
async fn basic_works_and_malformed_headers_are_explained() {
    let router = FakeCity::new().router();
    let with = |value: &str| Request::builder().uri("/api/status").header("authorization", value).body(Body::empty()).unwrap();
    // admin:admin
    assert_eq!(send(&router, "", with("Basic YWRtaW46YWRtaW4=")).await.status, 200);
    for bad in ["Basic !!", "Basic YWRtaW4=", "Digest x", "Bearer"] {
        let answer = send(&router, "", with(bad)).await;
        assert_eq!(answer.status, 401, "{bad}");
        assert!(answer.json()["hint"].as_str().unwrap().contains("Basic <base64"), "{bad}");
    }
}

#[tokio::test]
async fn a_cookie_changes_state_only_from_our_own_pages() {
    let router = FakeCity::new().router();
    let post = |headers: &[(&str, &str)]| {
        let mut r =
            Request::builder().method("POST").uri("/api/sql").header("cookie", "a=b; portico_session=analyst").header("host", "city.it");
        for (name, value) in headers {
            r = r.header(*name, *value);
        }
        r.body(Body::from("SELECT 1")).unwrap()
    };
    let cases: [(&[(&str, &str)], u16); 6] = [
        (&[("sec-fetch-site", "same-origin")], 200),
        (&[("origin", "https://city.it")], 200),
        (&[("sec-fetch-site", "cross-site")], 403),
        (&[("sec-fetch-site", "same-site"), ("origin", "https://city.it")], 403),
        (&[("origin", "https://evil.it")], 403),
        (&[], 403),
    ];
    for (headers, expected) in cases {
        assert_eq!(send(&router, "", post(headers)).await.status.as_u16(), expected, "{headers:?}");
    }
    // A stale cookie leaves the public map open.
    let stale = Request::builder().uri("/api/products").header("cookie", "portico_session=old").body(Body::empty()).unwrap();
    assert_eq!(send(&router, "", stale).await.status, 200);
}
