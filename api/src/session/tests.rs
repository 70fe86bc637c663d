use crate::testing::{Answer, FakeCity, request, send};
use axum::{Router, body::Body};
use std::sync::atomic::Ordering;

async fn post(router: &Router, kind: &str, body: &str, origin: &str) -> Answer {
    let mut r = request("POST", "/api/session", Body::from(body.to_owned()));
    r.headers_mut().insert("content-type", kind.parse().unwrap());
    if !origin.is_empty() {
        r.headers_mut().insert("sec-fetch-site", origin.parse().unwrap());
    }
    send(router, "", r).await
}

#[tokio::test]
async fn a_sign_in_gives_a_closed_cookie_and_a_sign_out_takes_it_back() {
    let city = FakeCity::new();
    let router = city.router_with(crate::ApiConfig { tls: true, ..Default::default() });
    let answer = post(&router, "application/json", r#"{"user":"viewer","password":"viewer"}"#, "same-origin").await;
    assert_eq!(answer.json(), serde_json::json!({"user": "viewer", "role": "viewer"}));
    assert_eq!(answer.header("set-cookie"), "portico_session=viewer; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600; Secure");
    let with_cookie = |method: &str, site: &str| {
        let mut r = request(method, "/api/session", Body::empty());
        r.headers_mut().insert("cookie", "portico_session=viewer".parse().unwrap());
        r.headers_mut().insert("sec-fetch-site", site.parse().unwrap());
        r
    };
    assert_eq!(send(&router, "", with_cookie("GET", "same-origin")).await.json()["role"], "viewer");
    assert_eq!(send(&router, "", with_cookie("DELETE", "cross-site")).await.status, 403);
    assert_eq!(city.signed_out.load(Ordering::SeqCst), 0);
    let out = send(&router, "", with_cookie("DELETE", "same-origin")).await;
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(city.signed_out.load(Ordering::SeqCst), 1);
    let actions: Vec<_> = city.audited.lock().iter().map(|e| (e.action, e.outcome)).collect();
    assert_eq!(actions, [("sign_in", "ok"), ("sign_out", "ok")]);
}

#[tokio::test]
async fn forms_work_without_scripts() {
    let router = FakeCity::new().router();
    let kind = "application/x-www-form-urlencoded";
    let good = post(&router, kind, "user=admin&password=admin&language=en", "same-origin").await;
    assert_eq!((good.status.as_u16(), good.header("location")), (303, "/en"));
    assert!(good.header("set-cookie").starts_with("portico_session=admin"));
    let bad = post(&router, kind, "user=admin&password=no", "same-origin").await;
    assert_eq!((bad.status.as_u16(), bad.header("location"), bad.header("set-cookie")), (303, "/login?failed=1", ""));
}

#[tokio::test]
async fn wrong_or_foreign_sign_ins_are_refused_without_an_echo() {
    let city = FakeCity::new();
    let router = city.router();
    let json = "application/json";
    for (body, origin, status) in [
        (r#"{"user":"admin","password":"wrong-secret"}"#, "", 401),
        (r#"{"user":"admin","password":""}"#, "", 401),
        (r#"{"user":"admin","password":"admin"}"#, "cross-site", 403),
        (r#"{"user":"admin","pasword":"wrong-secret"}"#, "", 400),
        (r#"{"user":"admin","password":12345678}"#, "", 400),
    ] {
        let answer = post(&router, json, body, origin).await;
        assert_eq!(answer.status.as_u16(), status, "{body}");
        assert!(!answer.text().contains("secret") && !answer.text().contains("12345678"), "{}", answer.text());
    }
    assert_eq!(post(&router, "text/plain", "x", "").await.status, 415);
    assert_eq!(city.audited.lock()[0].outcome, "unauthenticated");
}
