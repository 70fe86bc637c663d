use super::*;
use crate::testing::{FakeCity, get, request, send};

#[tokio::test]
async fn every_page_is_there_and_obeys_the_content_security_policy() {
    let router = FakeCity::new().router();
    for (uri, language) in [("/", "it"), ("/en", "en"), ("/login", "it"), ("/en/login", "en")] {
        let page = get(&router, "", uri).await;
        assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"), "{uri}");
        assert_eq!(page.header("cache-control"), "no-cache");
        let text = page.text();
        assert!(text.contains(&format!("<html lang=\"{language}\"")), "{uri}");
        assert!(!text.contains("<style") && !text.contains(" style=\"") && !text.contains(" onclick="), "{uri} has inline style or script");
        assert!(
            text.split("<script").skip(1).all(|s| s.split('>').next().is_some_and(|tag| tag.contains("src="))),
            "{uri} has an inline script"
        );
        let mut again = request("GET", uri, "");
        again.headers_mut().insert("if-none-match", page.header("etag").parse().unwrap());
        let again = send(&router, "", again).await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{uri}");
        // What a page asks for is in the binary.
        for link in text.split(['"', '\'']).filter(|l| l.starts_with("/assets/")) {
            assert_eq!(get(&router, "", link).await.status, 200, "{uri} links to {link}");
        }
    }
}

#[tokio::test]
async fn every_embedded_file_has_a_type() {
    let router = FakeCity::new().router();
    for file in Ui::iter().filter(|f| f.starts_with("assets/") && !f.ends_with(".br")) {
        let answer = get(&router, "", &format!("/{file}")).await;
        assert_eq!(answer.status, 200, "{file}");
        assert_ne!(answer.header("content-type"), "application/octet-stream", "{file}");
        if Ui::get(&format!("{file}.br")).is_some() {
            let mut r = request("GET", &format!("/{file}"), "");
            r.headers_mut().insert("accept-encoding", "gzip, br;q=0.9".parse().unwrap());
            let small = send(&router, "", r).await;
            assert_eq!(small.header("content-encoding"), "br", "{file}");
            assert!(small.body.len() < answer.body.len(), "{file}");
        }
    }
}

#[test]
fn only_names_with_a_hash_are_kept_for_ever() {
    assert!(is_hashed("assets/map-4ZDTBF6D.js") && is_hashed("assets/titillium-web-600-F00B110D.woff2"));
    assert!(!is_hashed("assets/licences.txt") && !is_hashed("index.it.html") && !is_hashed("assets/map-worker.js"));
}

#[test]
fn a_zero_quality_means_no() {
    let with = |v: &str| HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_str(v).unwrap())]);
    assert!(accepts_brotli(&with("gzip, br")) && accepts_brotli(&with("br;q=0.5")));
    assert!(!accepts_brotli(&with("br;q=0")) && !accepts_brotli(&with("gzip")));
}
