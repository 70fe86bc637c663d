//! `POST /api/sql`: a query in, rows out as they are made, in four formats.

mod encode;
mod normal;

use crate::{
    access::Action,
    body,
    city::{AuditEvent, SqlRequest, SqlStream},
    doors::{Door, Place},
    error::{ApiError, nearest},
    identity::Caller,
    params::{Params, clip},
    router::App,
};
use arrow_array::RecordBatch;
use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use encode::Encoder;
use futures::{StreamExt as _, stream::BoxStream};
use schemas::{Classified as _, Kind, RetryHint};
use std::time::Duration;
use tokio::sync::mpsc;

/// The longest query text, in bytes.
const SQL_LEN_MAX: usize = 256 << 10;
/// How much of a query the audit keeps, in characters.
const AUDIT_CHARS: usize = 2_000;
/// Encoded batches that wait for a slow reader.
const CHUNKS_AHEAD: usize = 2;
/// A reader that takes nothing for this long is given up, so that it does not hold a place for ever.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Table versions named in the answer's header.
const VERSIONS_IN_HEADER_MAX: usize = 32;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Csv,
    Arrow,
    Parquet,
}

impl Format {
    const NAMES: [&'static str; 4] = ["json", "csv", "arrow", "parquet"];

    fn from_name(name: &str) -> Result<Self, ApiError> {
        match name {
            "json" => Ok(Self::Json),
            "csv" => Ok(Self::Csv),
            "arrow" => Ok(Self::Arrow),
            "parquet" => Ok(Self::Parquet),
            other => {
                let hint = nearest(other, Self::NAMES)
                    .map_or_else(|| "use json, csv, arrow or parquet".to_owned(), |n| format!("did you mean '{n}'?"));
                Err(ApiError::query("format", format!("'{}' is not a format", clip(other))).with_hint(hint))
            }
        }
    }

    /// The first known type of an `Accept` header; JSON when it names none.
    fn from_accept(headers: &HeaderMap) -> Self {
        let text = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let types = text.split(',').map(|t| t.split(';').next().unwrap_or_default().trim());
        let known = types.filter_map(|t| match t {
            "application/json" => Some(Self::Json),
            "text/csv" => Some(Self::Csv),
            "application/vnd.apache.arrow.stream" => Some(Self::Arrow),
            "application/vnd.apache.parquet" => Some(Self::Parquet),
            _ => None,
        });
        known.into_iter().next().unwrap_or(Self::Json)
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// Runs the query in the body: JSON `{"sql": "...", "format": "csv"}`, or the bare text.
pub(crate) async fn run(
    State(app): State<App>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    caller.require(Action::Sql)?;
    let params = Params::parse(query.as_deref(), &["format"], &[])?;
    let wanted = params.text("format").map(Format::from_name).transpose()?;
    let text = body::read(body, app.config.limits.body_bytes_max).await?;
    let (sql, in_body) = read_request(&headers, &text)?;
    let format = in_body.or(wanted).unwrap_or_else(|| Format::from_accept(&headers));
    let place = app.doors.enter(Door::Sql).await?;
    let object = sql.chars().take(AUDIT_CHARS).collect();
    let actor = caller.principal.name.clone();
    let answer = answer(&app, caller, sql, format, place).await;
    let outcome = answer.as_ref().map_or_else(|e| e.kind().name(), |_| "ok");
    app.city.audit(AuditEvent { actor, action: "sql", object, outcome });
    answer
}

fn read_request(headers: &HeaderMap, body: &[u8]) -> Result<(String, Option<Format>), ApiError> {
    let text = std::str::from_utf8(body).map_err(|_| ApiError::body("sql", "is not UTF-8"))?;
    let (sql, format) = match body::media_type(headers).as_deref() {
        Some("application/json") => from_json(text)?,
        None | Some("text/plain" | "application/sql" | "application/x-www-form-urlencoded") => (text.to_owned(), None),
        Some(other) => return Err(ApiError::MediaType { got: clip(other), accepted: "application/json, text/plain, application/sql" }),
    };
    if sql.trim().is_empty() {
        return Err(ApiError::body("sql", "is empty; send a query, for example SELECT * FROM bologna.air_quality LIMIT 10"));
    }
    if sql.len() > SQL_LEN_MAX {
        return Err(ApiError::TooLarge { bytes_max: SQL_LEN_MAX });
    }
    Ok((sql, format))
}

fn from_json(text: &str) -> Result<(String, Option<Format>), ApiError> {
    let value: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)
        .map_err(|e| ApiError::body("json", format!("is not a JSON object: {e}")).with_hint(r#"send {"sql": "SELECT 1"}"#))?;
    let (mut sql, mut format) = (None, None);
    for (name, value) in value {
        match (name.as_str(), value) {
            ("sql", serde_json::Value::String(text)) => sql = Some(text),
            ("format", serde_json::Value::String(text)) => format = Some(Format::from_name(&text)?),
            ("sql" | "format", _) => return Err(ApiError::body(&name, "must be a text")),
            (other, _) => {
                let hint = nearest(other, ["sql", "format"])
                    .map_or_else(|| "known here: sql, format".to_owned(), |n| format!("did you mean '{n}'?"));
                return Err(ApiError::body(&clip(other), "is not a field of this request").with_hint(hint));
            }
        }
    }
    Ok((sql.ok_or_else(|| ApiError::body("sql", "is missing"))?, format))
}

async fn answer(app: &App, caller: Caller, sql: String, format: Format, place: Place) -> Result<Response, ApiError> {
    let limits = &app.config.limits;
    let rows_max = if format == Format::Json { limits.sql_json_rows_max } else { limits.sql_export_rows_max };
    // One row more than is given out tells whether there was more.
    let request = SqlRequest { sql, principal: caller.principal, rows_max: rows_max.saturating_add(1), timeout: limits.sql_timeout };
    let SqlStream { schema, mut batches, versions } = app.city.query(request).await?;
    let schema = normal::schema(&schema, format);
    // Most errors show with the first batch: they become a problem document, not a broken download.
    let first = batches.next().await.transpose()?;
    let encoder = Encoder::new(format, &schema, &versions)?;
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    let run = Run { format, schema, encoder: Some(encoder), rows_left: rows_max, rows_max, sender, _place: place };
    tokio::spawn(run.pump(first, batches));
    let mut response = Response::new(Body::from_stream(chunks(receiver)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let named: Vec<String> = versions.iter().take(VERSIONS_IN_HEADER_MAX).map(|(t, v)| format!("{t}={v}")).collect();
    if let Ok(value) = HeaderValue::from_str(&named.join(", ")) {
        headers.insert(HeaderName::from_static("x-portico-versions"), value);
    }
    headers.insert(HeaderName::from_static("x-portico-rows-max"), HeaderValue::from(rows_max));
    Ok(response)
}

/// `Ok(None)` is the end; a channel that closes without it is a broken download.
type Chunk = Result<Option<Bytes>, ApiError>;

fn chunks(receiver: mpsc::Receiver<Chunk>) -> impl futures::Stream<Item = Result<Bytes, ApiError>> + Send {
    futures::stream::unfold(Some(receiver), async |state| {
        let mut receiver = state?;
        match receiver.recv().await {
            Some(Ok(Some(bytes))) => Some((Ok(bytes), Some(receiver))),
            Some(Ok(None)) => None,
            Some(Err(e)) => Some((Err(e), None)),
            None => Some((Err(ApiError::new(Kind::Cancelled, "the reader was too slow")), None)),
        }
    })
}

/// A running answer. Dropping it drops the query.
struct Run {
    format: Format,
    schema: arrow_schema::SchemaRef,
    encoder: Option<Encoder>,
    rows_left: usize,
    rows_max: usize,
    sender: mpsc::Sender<Chunk>,
    _place: Place,
}

impl Run {
    async fn pump(mut self, first: Option<RecordBatch>, mut batches: BoxStream<'static, Result<RecordBatch, ApiError>>) {
        let mut next = first.map(Ok);
        let sent = loop {
            let Some(batch) = next else { break self.finish(false).await };
            match self.batch(batch).await {
                Ok(true) => {}
                Ok(false) => break self.finish(true).await,
                Err(e) => break Err(e),
            }
            next = tokio::select! {
                batch = batches.next() => batch,
                // The client left: stop the query at once, not at its next row.
                () = self.sender.closed() => return,
            };
        };
        if let Err(e) = sent {
            tracing::warn!(kind = e.kind().name(), detail = %e, "a query failed after its answer had begun");
            let _ = self.sender.send_timeout(Err(e), STALL_TIMEOUT).await;
        }
    }

    /// Writes a batch; `false` when the limit of rows was reached with it.
    async fn batch(&mut self, batch: Result<RecordBatch, ApiError>) -> Result<bool, ApiError> {
        let mut batch = batch?;
        let more = batch.num_rows() > self.rows_left;
        if more {
            if self.format != Format::Json {
                let text = format!("the answer has more than {} rows", self.rows_max);
                return Err(ApiError::new(Kind::Limit, text).with_retry(RetryHint::Never).with_hint("add a LIMIT or a narrower WHERE"));
            }
            batch = batch.slice(0, self.rows_left);
        }
        self.rows_left -= batch.num_rows();
        let (format, schema) = (self.format, std::sync::Arc::clone(&self.schema));
        self.encode(move |encoder| encoder.batch(&normal::batch(&batch, &schema, format)?)).await?;
        Ok(!more)
    }

    async fn finish(&mut self, truncated: bool) -> Result<(), ApiError> {
        let rows = self.rows_max - self.rows_left;
        self.encode(move |encoder| encoder.finish(rows, truncated)).await?;
        let _ = self.sender.send_timeout(Ok(None), STALL_TIMEOUT).await;
        Ok(())
    }

    /// Encoding is work for a CPU, not for the threads that serve connections.
    async fn encode(&mut self, step: impl FnOnce(&mut Encoder) -> Result<Vec<u8>, ApiError> + Send + 'static) -> Result<(), ApiError> {
        let Some(mut encoder) = self.encoder.take() else { return Err(ApiError::internal("the encoder was lost in a panic")) };
        let task = tokio::task::spawn_blocking(move || {
            let bytes = step(&mut encoder);
            (encoder, bytes)
        });
        let (encoder, bytes) = task.await.map_err(|e| ApiError::internal(format!("encoding: {e}")))?;
        self.encoder = Some(encoder);
        let bytes = bytes?;
        if bytes.is_empty() {
            return Ok(());
        }
        let sent = self.sender.send_timeout(Ok(Some(bytes.into())), STALL_TIMEOUT).await;
        sent.map_err(|_| ApiError::new(Kind::Cancelled, "the reader left or was too slow"))
    }
}

#[cfg(test)]
mod tests;
