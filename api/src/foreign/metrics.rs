//! Prometheus remote write and OpenTelemetry metrics.

use super::{refused, take};
use crate::{body, city::Protocol, error::ApiError, identity::Caller, params::clip, router::App};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::json;

/// `POST /api/v1/write`, remote write 1.0. A sender tries again on 5xx only, so a partial write is a 400 with what was refused.
pub(super) async fn prometheus(State(app): State<App>, caller: Caller, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    if headers.get(header::CONTENT_ENCODING).is_none_or(|v| v != "snappy") {
        return Err(ApiError::MediaType {
            got: "a body that is not snappy".into(),
            accepted: "content-encoding: snappy (remote write 1.0)",
        });
    }
    let v2 = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).is_some_and(|t| t.contains("io.prometheus.write.v2"));
    if v2 {
        return Err(ApiError::MediaType {
            got: "remote write 2.0".into(),
            accepted: "application/x-protobuf;proto=prometheus.WriteRequest",
        });
    }
    let receipt = take(&app, caller, Protocol::PrometheusWrite, &headers, body).await?;
    if receipt.counts.quarantined == 0 {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok((StatusCode::BAD_REQUEST, format!("partial write: {}\n", refused(&receipt))).into_response())
}

/// `POST /v1/metrics`. What was refused is told as a partial success, which a sender must not send again (OTLP 1.x, "Partial Success").
pub(super) async fn otlp(State(app): State<App>, caller: Caller, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let json = match body::media_type(&headers).as_deref() {
        Some("application/x-protobuf") => false,
        Some("application/json") => true,
        other => {
            return Err(ApiError::MediaType { got: clip(other.unwrap_or("none")), accepted: "application/x-protobuf, application/json" });
        }
    };
    let receipt = take(&app, caller, Protocol::OtlpMetrics { json }, &headers, body).await?;
    let n = receipt.counts.quarantined;
    let text = if n > 0 { refused(&receipt) } else { String::new() };
    if json {
        let answer =
            if n > 0 { json!({ "partialSuccess": { "rejectedDataPoints": n.to_string(), "errorMessage": text } }) } else { json!({}) };
        return Ok(axum::Json(answer).into_response());
    }
    let body = if n > 0 { partial_success(n, &text) } else { Vec::new() };
    Ok(([(header::CONTENT_TYPE, "application/x-protobuf")], body).into_response())
}

/// `ExportMetricsServiceResponse { partial_success = 1 { rejected_data_points = 1, error_message = 2 } }`: three fields, written by hand.
fn partial_success(rejected: u64, text: &str) -> Vec<u8> {
    let mut inner = vec![0x08];
    varint(rejected, &mut inner);
    inner.push(0x12);
    varint(text.len() as u64, &mut inner);
    inner.extend_from_slice(text.as_bytes());
    let mut out = vec![0x0a];
    varint(inner.len() as u64, &mut out);
    out.extend_from_slice(&inner);
    out
}

fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}
