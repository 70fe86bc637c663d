//! The pages and their assets, embedded in the binary.

use crate::{error::ApiError, identity, router::App};
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use std::{borrow::Cow, fmt::Write as _};

/// The built front end (`build.rs` puts it there).
#[derive(rust_embed::RustEmbed)]
#[folder = "$OUT_DIR/ui"]
struct Ui;

/// `GET /`
pub(crate) async fn map_it(headers: HeaderMap) -> Response {
    page("index.it.html", &headers)
}

/// `GET /en`
pub(crate) async fn map_en(headers: HeaderMap) -> Response {
    page("index.en.html", &headers)
}

/// `GET /login`
pub(crate) async fn login_it(headers: HeaderMap) -> Response {
    page("login.it.html", &headers)
}

/// `GET /en/login`
pub(crate) async fn login_en(headers: HeaderMap) -> Response {
    page("login.en.html", &headers)
}

/// `GET /devices`
pub(crate) async fn devices_it(headers: HeaderMap) -> Response {
    page("devices.it.html", &headers)
}

/// `GET /en/devices`
pub(crate) async fn devices_en(headers: HeaderMap) -> Response {
    page("devices.en.html", &headers)
}

fn page(name: &str, headers: &HeaderMap) -> Response {
    embedded(name, headers).unwrap_or_else(|| {
        ApiError::not_found("this build carries no pages")
            .with_hint("build it with node installed, or set PORTICO_UI to a folder of built pages")
            .into_response()
    })
}

/// `GET /assets/...`, and small files that browsers ask for at the root.
pub(crate) async fn asset(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    // The lookup is in a table of embedded names: a path with '..' is simply not in it.
    if path.contains("..") || path.contains('%') {
        return missing(&Method::GET, &uri, &headers);
    }
    embedded(path, &headers).unwrap_or_else(|| missing(&Method::GET, &uri, &headers))
}

/// Everything that no route knows.
pub(crate) async fn fallback(State(_): State<App>, request: Request) -> Response {
    missing(request.method(), request.uri(), request.headers())
}

fn missing(method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
    let path = uri.path();
    if path.starts_with("/api/") || !identity::wants_html(method, headers) {
        let shown: String = path.chars().take(200).collect();
        return ApiError::not_found(format!("there is nothing at '{shown}'")).into_response();
    }
    let english = path == "/en" || path.starts_with("/en/");
    let mut response = match Ui::get(if english { "404.en.html" } else { "404.it.html" }) {
        Some(file) => html(file.data),
        None => html(Cow::Borrowed(if english { NOT_FOUND_EN.as_bytes() } else { NOT_FOUND_IT.as_bytes() })),
    };
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

fn html(data: Cow<'static, [u8]>) -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], bytes_of(data)).into_response()
}

fn bytes_of(data: Cow<'static, [u8]>) -> Body {
    match data {
        Cow::Borrowed(bytes) => Body::from(bytes),
        Cow::Owned(bytes) => Body::from(bytes),
    }
}

const NOT_FOUND_IT: &str = "<!doctype html><html lang=\"it\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>Pagina non trovata</title><h1>Pagina non trovata</h1><p><a href=\"/\">Torna alla mappa</a></p></html>";
const NOT_FOUND_EN: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>Page not found</title><h1>Page not found</h1><p><a href=\"/en\">Back to the map</a></p></html>";

/// An embedded file with its validator: `br` when the build made one and the client takes it.
fn embedded(path: &str, headers: &HeaderMap) -> Option<Response> {
    let brotli = accepts_brotli(headers).then(|| Ui::get(&format!("{path}.br"))).flatten();
    let encoded = brotli.is_some();
    let file = brotli.or_else(|| Ui::get(path))?;
    let mut etag = String::from("\"");
    for byte in &file.metadata.sha256_hash()[..12] {
        // Writing to a String cannot fail.
        let _ = write!(etag, "{byte:02x}");
    }
    etag.push('"');
    let same = headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains(&etag));
    let mut response = if same { StatusCode::NOT_MODIFIED.into_response() } else { bytes_of(file.data).into_response() };
    let out = response.headers_mut();
    let cache = if is_hashed(path) { "public, max-age=31536000, immutable" } else { "no-cache" };
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(value) = HeaderValue::from_str(&etag) {
        out.insert(header::ETAG, value);
    }
    if encoded && !same {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
    }
    Some(response)
}

fn accepts_brotli(headers: &HeaderMap) -> bool {
    let text = headers.get(header::ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or_default();
    text.split(',').any(|e| {
        let (name, quality) = e.split_once(";q=").unwrap_or((e, "1"));
        name.trim() == "br" && quality.trim().parse::<f32>().is_ok_and(|q| q > 0.0)
    })
}

/// esbuild's names: `map-3QK5VJ2A.js`. Such a file never changes under its name.
fn is_hashed(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let hash = name.split('.').next().and_then(|stem| stem.rsplit_once('-')).map_or("", |(_, hash)| hash);
    hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "geojson" => "application/geo+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webp" => "image/webp",
        "jpg" | "jpeg" => "image/jpeg",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests;
