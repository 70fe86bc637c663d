//! Reading request bodies within limits.

use crate::error::ApiError;
use axum::{body::Body, http::HeaderMap};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use schemas::Kind;
use std::io::Read as _;

/// The whole body, at most `bytes_max` bytes.
pub(crate) async fn read(body: Body, bytes_max: usize) -> Result<Bytes, ApiError> {
    let mut stream = body.into_data_stream();
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|e| ApiError::new(Kind::Cancelled, format!("the body broke off: {e}")))?;
        if first.len() + whole.len() + chunk.len() > bytes_max {
            return Err(ApiError::TooLarge { bytes_max });
        }
        // Most bodies come in one chunk, which then needs no copy.
        if whole.is_empty() && first.is_empty() {
            first = chunk;
        } else {
            whole.extend_from_slice(&std::mem::take(&mut first));
            whole.extend_from_slice(&chunk);
        }
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

/// The media type of the body in lower case, without its parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(axum::http::header::CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Undoes `Content-Encoding: gzip` (several members allowed); `bytes_max` bounds the result, so that a bomb stops early.
pub(crate) async fn inflate(headers: &HeaderMap, body: Bytes, bytes_max: usize) -> Result<Bytes, ApiError> {
    let encoding = headers.get(axum::http::header::CONTENT_ENCODING).map(|v| v.to_str().unwrap_or("?").trim().to_ascii_lowercase());
    match encoding.as_deref() {
        None | Some("identity" | "") => Ok(body),
        Some("gzip" | "x-gzip") => {
            let task = tokio::task::spawn_blocking(move || gunzip(&body, bytes_max));
            task.await.map_err(|e| ApiError::internal(format!("gunzip: {e}")))?
        }
        Some(other) => {
            Err(ApiError::MediaType { got: format!("content-encoding {}", crate::params::clip(other)), accepted: "gzip, identity" })
        }
    }
}

fn gunzip(body: &[u8], bytes_max: usize) -> Result<Bytes, ApiError> {
    let mut out = Vec::with_capacity(body.len().saturating_mul(4).min(bytes_max));
    let mut reader = flate2::read::MultiGzDecoder::new(body).take(bytes_max as u64 + 1);
    reader.read_to_end(&mut out).map_err(|e| ApiError::body("gzip", format!("cannot be decompressed: {e}")))?;
    if out.len() > bytes_max {
        return Err(ApiError::TooLarge { bytes_max });
    }
    Ok(out.into())
}
