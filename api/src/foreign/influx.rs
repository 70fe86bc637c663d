//! InfluxDB: `POST /write` (1.x), `POST /api/v2/write` (2.x), and what clients ask before they write.
//!
//! A partial write is answered as InfluxDB does: good lines are stored, the status is 400 or 422 with the lines that were not, so that an
//! agent logs them and does not send the batch again. Databases, buckets and organisations are labels; the sender's tenant is what counts.

use super::{refused, take};
use crate::{
    city::{Credentials, IngestReceipt, Protocol},
    error::ApiError,
    identity::{self, Caller},
    params::clip,
    router::App,
};
use axum::{
    extract::{FromRequestParts as _, RawQuery, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use schemas::{Classified as _, Kind};
use serde_json::{Value, json};
use std::borrow::Cow;

/// The generation whose `/write` and `/ping` these are; clients look at it before they choose features.
const VERSION: HeaderValue = HeaderValue::from_static("1.8.10");
const NAME_LEN_MAX: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generation {
    One,
    Two,
}

type Pairs<'q> = Vec<(Cow<'q, str>, Cow<'q, str>)>;

/// Parameters that this door does not know are left alone: agents send more than InfluxDB needs.
fn pairs(query: Option<&str>) -> Pairs<'_> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes()).take(32).collect()
}

fn value<'p>(pairs: &'p Pairs<'_>, name: &str) -> Option<&'p str> {
    pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_ref()).filter(|v| !v.is_empty())
}

pub(super) async fn write(State(app): State<App>, request: Request) -> Response {
    answer(Generation::One, receive(&app, request, Generation::One).await)
}

pub(super) async fn write_v2(State(app): State<App>, request: Request) -> Response {
    answer(Generation::Two, receive(&app, request, Generation::Two).await)
}

async fn receive(app: &App, request: Request, generation: Generation) -> Result<IngestReceipt, ApiError> {
    let (mut parts, body) = request.into_parts();
    let query = parts.uri.query().map(str::to_owned);
    let pairs = pairs(query.as_deref());
    let caller = caller(app, &mut parts, &pairs, generation).await?;
    let name = if generation == Generation::One { "db" } else { "bucket" };
    let db = value(&pairs, name).ok_or_else(|| ApiError::query(name, "is required; it becomes a level of the topic of each line"))?;
    if db.len() > NAME_LEN_MAX {
        return Err(ApiError::query(name, format!("has {} bytes; at most {NAME_LEN_MAX} are taken", db.len())));
    }
    let db = match value(&pairs, "rp") {
        // As 2.x maps 1.x: a retention policy other than the default is a bucket of its own.
        Some(rp) if generation == Generation::One && rp != "autogen" && rp.len() <= NAME_LEN_MAX => format!("{db}/{rp}"),
        _ => db.to_owned(),
    };
    let protocol = Protocol::Lines { db, precision: precision(value(&pairs, "precision"), generation)? };
    take(app, caller, protocol, &parts.headers, body).await
}

fn precision(text: Option<&str>, generation: Generation) -> Result<&'static str, ApiError> {
    Ok(match text {
        None | Some("ns" | "n") => "ns",
        Some("us" | "u" | "µ") => "us",
        Some("ms") => "ms",
        Some("s") => "s",
        Some("m") if generation == Generation::One => "m",
        Some("h") if generation == Generation::One => "h",
        Some(other) => return Err(ApiError::query("precision", format!("'{}' is not one of ns, us, ms, s", clip(other)))),
    })
}

/// `Authorization` as everywhere else, or the parameters `u` and `p` of 1.x.
async fn caller(app: &App, parts: &mut Parts, pairs: &Pairs<'_>, generation: Generation) -> Result<Caller, ApiError> {
    match (generation, value(pairs, "u"), parts.headers.contains_key(header::AUTHORIZATION)) {
        (Generation::One, Some(user), false) => {
            let ip = identity::client_ip(parts, app.config.client_ip_header.as_deref());
            let password = value(pairs, "p").unwrap_or_default().to_owned();
            let principal = identity::prove(app, ip, Credentials::Password { user: user.to_owned(), password }).await?;
            Ok(Caller { principal, ip })
        }
        _ => Caller::from_request_parts(parts, app).await,
    }
}

fn answer(generation: Generation, result: Result<IngestReceipt, ApiError>) -> Response {
    match result {
        Ok(receipt) if receipt.counts.quarantined == 0 => marked(StatusCode::NO_CONTENT.into_response()),
        Ok(receipt) => {
            let text = format!("partial write: {} dropped={}", refused(&receipt), receipt.counts.quarantined);
            let (status, code) = match generation {
                Generation::One => (StatusCode::BAD_REQUEST, ""),
                Generation::Two if receipt.counts.quarantined == receipt.counts.received => (StatusCode::BAD_REQUEST, "invalid"),
                Generation::Two => (StatusCode::UNPROCESSABLE_ENTITY, "unprocessable entity"),
            };
            told(generation, status, code, &text, receipt.rejects.first().map(|r| r.line), HeaderMap::new())
        }
        Err(error) => refusal(generation, error),
    }
}

/// An error in the shape of InfluxDB, with the status and headers that it has everywhere here.
fn refusal(generation: Generation, error: ApiError) -> Response {
    let hidden = matches!(error.kind(), Kind::Internal | Kind::Corrupt);
    let text = if hidden { "the request failed for a reason that is in the log".to_owned() } else { error.to_string() };
    let (parts, _) = error.into_response().into_parts();
    let mut headers = HeaderMap::new();
    if let Some(after) = parts.headers.get(header::RETRY_AFTER) {
        headers.insert(header::RETRY_AFTER, after.clone());
    }
    if parts.status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"portico\""));
    }
    let code = match parts.status.as_u16() {
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not found",
        413 => "request too large",
        422 => "unprocessable entity",
        429 => "too many requests",
        503 => "unavailable",
        500.. => "internal error",
        _ => "invalid",
    };
    told(generation, parts.status, code, &text, None, headers)
}

fn told(generation: Generation, status: StatusCode, code: &str, text: &str, line: Option<usize>, headers: HeaderMap) -> Response {
    let mut body: Value = match generation {
        Generation::One => json!({ "error": text }),
        Generation::Two => json!({ "code": code, "message": text }),
    };
    if let Some(line) = line {
        body["line"] = line.into();
    }
    let mut response = (status, headers, axum::Json(body)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A header holds visible ASCII; what does not fit is in the body.
    let ascii: String = text.chars().filter(|c| (' '..='~').contains(c)).take(256).collect();
    if let Ok(value) = HeaderValue::from_str(&ascii) {
        response.headers_mut().insert(HeaderName::from_static("x-influxdb-error"), value);
    }
    marked(response)
}

fn marked(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("x-influxdb-version"), VERSION);
    headers.insert(HeaderName::from_static("x-influxdb-build"), HeaderValue::from_static("Portico"));
    response
}

/// `GET` or `HEAD /ping`: that somebody is here, without saying more.
pub(super) async fn ping(RawQuery(query): RawQuery) -> Response {
    let verbose = value(&pairs(query.as_deref()), "verbose").is_some_and(|v| v != "false" && v != "0");
    marked(if verbose { axum::Json(json!({ "version": "1.8.10" })).into_response() } else { StatusCode::NO_CONTENT.into_response() })
}

/// `GET /health` of 2.x.
pub(super) async fn health(State(app): State<App>) -> Response {
    let (status, word, message) = match app.city.ready() {
        Ok(()) => (StatusCode::OK, "pass", "ready for writes".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, "fail", why),
    };
    let body = json!({ "name": "influxdb", "status": word, "message": message, "checks": [], "version": "1.8.10" });
    marked((status, axum::Json(body)).into_response())
}

/// Agents of 1.x create their database before they write; databases are labels here, so that is always done. Queries are SQL.
pub(super) async fn query(State(app): State<App>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let query = parts.uri.query().map(str::to_owned);
    let mut pairs = pairs(query.as_deref());
    let caller = match caller(&app, &mut parts, &pairs, Generation::One).await {
        Ok(caller) => caller,
        Err(error) => return refusal(Generation::One, error),
    };
    let form = crate::body::read(body, 64 << 10).await.unwrap_or_default();
    pairs.extend(form_urlencoded::parse(&form).take(32));
    let creates = value(&pairs, "q").is_some_and(|q| q.trim_start().to_ascii_uppercase().starts_with("CREATE DATABASE"));
    if !creates {
        let error = ApiError::new(Kind::Invalid, "InfluxQL is not read here; ask in SQL at /api/sql or over the PostgreSQL wire");
        return refusal(Generation::One, error);
    }
    match caller.require(crate::access::Action::Ingest) {
        Ok(()) => marked(axum::Json(json!({ "results": [{ "statement_id": 0 }] })).into_response()),
        Err(error) => refusal(Generation::One, error),
    }
}
