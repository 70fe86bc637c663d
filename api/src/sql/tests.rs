use super::*;
use crate::testing::{Answer, FakeCity, NOW, numbers, request, send};
use axum::{Router, http::Request};
use std::sync::{Arc, atomic::Ordering};
use tower::ServiceExt as _;

async fn run(router: &Router, sql: &str, format: &str) -> Answer {
    let body = serde_json::json!({"sql": sql, "format": format}).to_string();
    let mut request = request("POST", "/api/sql", body);
    request.headers_mut().insert("content-type", "application/json".parse().unwrap());
    send(router, "analyst", request).await
}

#[tokio::test]
async fn json_has_columns_and_rows_with_exact_integers() {
    let city = FakeCity::new();
    let answer = run(&city.router(), "five", "json").await;
    let json = answer.json();
    assert_eq!(json["columns"][3], serde_json::json!({"name": "at", "type": "timestamp", "unit": "s"}));
    assert_eq!(json["row_count"], 5);
    assert_eq!(json["truncated"], false);
    assert_eq!(json["rows"].as_array().unwrap().len(), 5);
    assert_eq!(json["rows"][3][0], 3);
    let cell = schemas::Position::new(11.34, 44.49).unwrap().cell().text();
    assert_eq!(json["rows"][0][1], serde_json::json!(cell), "cells are hexadecimal text");
    assert_eq!(json["rows"][0][2], serde_json::Value::Null);
    assert_eq!(json["rows"][0][3], serde_json::json!(NOW.to_rfc3339()));
    assert_eq!(answer.header("x-portico-versions"), "bologna.parking=12");
    assert_eq!(json["versions"]["bologna.parking"], 12);
    let wide = run(&city.router(), "wide", "json").await.json();
    assert_eq!(wide["rows"][0][0], serde_json::json!((i64::MAX - 1).to_string()));
    let asked = &city.sql.lock()[0];
    assert_eq!((asked.sql.as_str(), asked.principal.name.as_str()), ("five", "analyst"));
    assert_eq!(city.audited.lock()[0].action, "sql");
}

#[tokio::test]
async fn csv_is_rfc_4180_and_has_a_header_without_rows_too() {
    let router = FakeCity::new().router();
    let answer = run(&router, "five", "csv").await;
    let text = answer.text();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!((lines[0], lines.len()), ("id,h3,name,at", 7));
    assert!(lines[2].contains("\"a \"\"b\"\",c\""), "{text}");
    assert_eq!(run(&router, "none", "csv").await.text(), "id,h3,name,at\r\n");
}

#[tokio::test]
async fn arrow_and_parquet_read_back_equal() {
    let router = FakeCity::new().router();
    let arrow = run(&router, "five", "arrow").await.body;
    let read: Vec<_> = arrow_ipc::reader::StreamReader::try_new(arrow.as_slice(), None).unwrap().map(Result::unwrap).collect();
    assert_eq!(read, [numbers(0, 2), numbers(2, 3)]);
    let parquet = bytes::Bytes::from(run(&router, "five", "parquet").await.body);
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(parquet).unwrap().build().unwrap();
    let ids: Vec<i64> = reader
        .flat_map(|b| arrow_array::cast::AsArray::as_primitive::<arrow_array::types::Int64Type>(b.unwrap().column(0)).values().to_vec())
        .collect();
    assert_eq!(ids, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn the_format_comes_from_body_then_query_then_accept() {
    let router = FakeCity::new().router();
    let plain =
        |uri: &str, accept: &str| Request::builder().method("POST").uri(uri).header("accept", accept).body(Body::from("SELECT 1")).unwrap();
    let kind = async |r| send(&router, "analyst", r).await.header("content-type").to_owned();
    assert!(kind(plain("/api/sql", "text/html, text/csv;q=0.9")).await.starts_with("text/csv"));
    assert_eq!(kind(plain("/api/sql?format=arrow", "text/csv")).await, "application/vnd.apache.arrow.stream");
    assert_eq!(kind(plain("/api/sql", "*/*")).await, "application/json");
}

#[tokio::test]
async fn bad_requests_say_what_to_change() {
    let router = FakeCity::new().router();
    let json = |body: &str| {
        Request::builder()
            .method("POST")
            .uri("/api/sql")
            .header("content-type", "application/json")
            .body(Body::from(body.to_owned()))
            .unwrap()
    };
    for (body, status, word) in [
        (r#"{"sql": "x", "fromat": "csv"}"#, 400, "format"),
        (r#"{"sql": "x", "format": "cvs"}"#, 400, "csv"),
        (r#"{"sql": 1}"#, 400, "must be a text"),
        (r#"{}"#, 400, "missing"),
        ("{", 400, "not a JSON object"),
        (r#"{"sql": "  "}"#, 400, "is empty"),
        (r#"{"sql": "wrong"}"#, 400, "did you mean 'y'?"),
        (r#"{"sql": "early"}"#, 503, "a disk went away"),
    ] {
        let answer = send(&router, "analyst", json(body)).await;
        assert_eq!(answer.status.as_u16(), status, "{body}");
        assert!(answer.text().contains(word), "{body}: {}", answer.text());
    }
    let problem = send(&router, "analyst", json(r#"{"sql": "wrong"}"#)).await.json();
    assert_eq!((problem["line"].as_u64(), problem["column"].as_u64()), (Some(3), Some(14)));
    let mut xml = request("POST", "/api/sql", "x");
    xml.headers_mut().insert("content-type", "text/xml".parse().unwrap());
    assert_eq!(send(&router, "analyst", xml).await.status, 415);
    let long = " ".repeat((1 << 20) + 1);
    assert_eq!(send(&router, "analyst", request("POST", "/api/sql", long)).await.status, 413);
}

/// A body that breaks off must not look like a short answer.
#[tokio::test]
async fn an_error_after_the_first_rows_breaks_the_body() {
    let router = FakeCity::new().router();
    for format in Format::NAMES {
        let body = serde_json::json!({"sql": "late", "format": format}).to_string();
        let mut request = request("POST", "/api/sql", body);
        request.headers_mut().insert("content-type", "application/json".parse().unwrap());
        request.headers_mut().insert("authorization", "Bearer analyst".parse().unwrap());
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(axum::body::to_bytes(response.into_body(), usize::MAX).await.is_err(), "{format}");
    }
}

#[tokio::test]
async fn too_many_rows_are_cut_in_json_and_refused_elsewhere() {
    let mut config = crate::ApiConfig::default();
    (config.limits.sql_json_rows_max, config.limits.sql_export_rows_max) = (3, 1);
    let router = FakeCity::new().router_with(config);
    let json = run(&router, "five", "json").await.json();
    assert_eq!((json["row_count"].as_u64(), json["truncated"].as_bool()), (Some(3), Some(true)));
    assert_eq!(json["rows"].as_array().unwrap().len(), 3);
    let mut csv = request("POST", "/api/sql?format=csv", "five");
    csv.headers_mut().insert("authorization", "Bearer analyst".parse().unwrap());
    let response = router.clone().oneshot(csv).await.unwrap();
    assert!(axum::body::to_bytes(response.into_body(), usize::MAX).await.is_err());
}

#[tokio::test]
async fn a_client_that_leaves_stops_its_query() {
    let city = FakeCity::new();
    let mut config = crate::ApiConfig::default();
    config.limits.sql_concurrency_max = 1;
    let router = city.router_with(config);
    let mut endless = request("POST", "/api/sql", "endless");
    endless.headers_mut().insert("authorization", "Bearer analyst".parse().unwrap());
    let response = router.clone().oneshot(endless).await.unwrap();
    assert!(!city.dropped.load(Ordering::SeqCst));
    drop(response);
    // The one place at the door comes back only when the first query is gone.
    assert_eq!(run(&router, "five", "json").await.status, 200);
    assert!(city.dropped.load(Ordering::SeqCst));
}

#[test]
fn a_column_named_h3_that_holds_counts_stays_decimal() {
    let schema = Arc::new(arrow_schema::Schema::new(vec![arrow_schema::Field::new("h3_n", arrow_schema::DataType::Int64, false)]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(arrow_array::Int64Array::from(vec![42]))]).unwrap();
    let out = normal::batch(&batch, &normal::schema(&schema, Format::Csv), Format::Csv).unwrap();
    assert_eq!(arrow_array::cast::AsArray::as_string::<i32>(out.column(0)).value(0), "42");
    assert_eq!(normal::schema(&schema, Format::Arrow), schema);
}
