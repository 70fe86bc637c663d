use super::*;
use crate::{IngestConfig, Mappings, Sink, TopicFilter, testing::MemorySink, testing::contracts, testing::publisher};
use prometheus::{Label, Sample, TimeSeries, WriteRequest};
use proptest::prelude::*;
use prost::Message as _;
use schemas::Counts;
use serde_json::json;

const NOW: &str = "2026-03-01T10:00:30Z";
/// 2026-03-01T10:00:00Z
const MS: i64 = 1_772_359_200_000;

async fn post_as(publisher: &Arc<Publisher>, foreign: Foreign, bodies: &[Vec<u8>]) -> (Vec<Result<Receipt, IngestError>>, Arc<MemorySink>) {
    let sink = Arc::new(MemorySink::default());
    let config = IngestConfig { http_body_bytes_max: 1_000_000, ..IngestConfig::default() };
    let files = [
        ("doors.toml", include_str!("../../mappings/doors.toml")),
        ("sensorthings.toml", include_str!("../../mappings/sensorthings.toml")),
    ];
    let pipeline = Pipeline::start(config, contracts(), Mappings::parse(files).unwrap(), Arc::clone(&sink) as Arc<dyn Sink>).unwrap();
    let mut receipts = Vec::new();
    for body in bodies {
        let body = Bytes::from(body.clone());
        receipts.push(accept(&pipeline, publisher, foreign.clone(), body, Timestamp::parse(NOW).unwrap()).await);
    }
    (receipts, sink)
}

/// The same body three times: the first receipt, and the rows after all.
async fn post(foreign: Foreign, body: Vec<u8>) -> (Receipt, Vec<String>) {
    let (receipts, sink) = post_as(&publisher(), foreign, &[body.clone(), body.clone(), body]).await;
    let mut receipts = receipts.into_iter().map(Result::unwrap);
    let first = receipts.next().unwrap();
    assert_eq!(sink.rows().len() as u64, first.counts.stored + first.counts.late, "again changes nothing");
    (first, sink.rows())
}

fn series(labels: &[(&str, &str)], samples: &[(f64, i64)]) -> TimeSeries {
    TimeSeries {
        labels: labels.iter().map(|(n, v)| Label { name: (*n).into(), value: (*v).into() }).collect(),
        samples: samples.iter().map(|(value, timestamp)| Sample { value: *value, timestamp: *timestamp }).collect(),
    }
}

fn write(timeseries: Vec<TimeSeries>) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(&WriteRequest { timeseries }.encode_to_vec()).unwrap()
}

#[tokio::test]
async fn samples_of_prometheus_are_rows_and_stale_markers_are_nothing() {
    let labels = [("__name__", "node_hwmon_temp_celsius"), ("instance", "box 1=a,b\\"), ("empty", ""), ("note", "x\ny")];
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let body = write(vec![
        series(&labels, &[(21.5, MS), (stale, MS + 15_000), (f64::INFINITY, MS + 20_000), (500.0, MS + 25_000)]),
        series(&[("__name__", "up")], &[(1.0, MS)]),
    ]);
    let (receipt, rows) = post(Foreign::PrometheusWrite, body).await;
    assert_eq!(receipt.counts, Counts { received: 4, stored: 1, quarantined: 3, ..Counts::default() });
    let reasons: Vec<_> = receipt.rejects.iter().map(|r| r.reason).collect();
    assert_eq!(reasons, ["not_format", "out_of_range", "unknown_topic"]);
    assert!(rows[0].contains("box-1-a-b") && rows[0].contains("21.5") && rows[0].contains("10:00:00"), "{rows:?}");
}

#[tokio::test]
async fn what_would_become_too_large_is_refused() {
    let small = snap::raw::Encoder::new().compress_vec(&vec![0; 2_000_000]).unwrap();
    let long = "x".repeat(1_000);
    let repeated = write(vec![series(&[("__name__", "a"), ("l", &long)], &vec![(1.0, MS); 2_000])]);
    let many: Vec<(String, String)> = (0..70).map(|i| (format!("l{i}"), "v".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(a, b)| (a.as_str(), b.as_str())).chain([("__name__", "a")]).collect();
    let unnamed = write(vec![series(&[("a", "b")], &[(1.0, MS)])]);
    let bodies = [small, repeated, write(vec![series(&many, &[])]), unnamed, b"no snappy".to_vec()];
    let (receipts, _) = post_as(&publisher(), Foreign::PrometheusWrite, &bodies).await;
    let errors: Vec<String> = receipts.into_iter().map(|r| r.unwrap_err().to_string()).collect();
    for (error, word) in errors.iter().zip(["limit is 1000000", "limit is 1000000", "labels", "__name__", "not a remote write"]) {
        assert!(error.contains(word), "{error}");
    }
}

fn otlp() -> serde_json::Value {
    let nanos = (MS * 1_000_000).to_string();
    let attribute = |k: &str, v: serde_json::Value| json!({"key": k, "value": v});
    json!({"resourceMetrics": [{
        "resource": {"attributes": [attribute("service.instance.id", json!({"stringValue": "room 7"})), attribute("list", json!({"arrayValue": {"values": []}}))]},
        "scopeMetrics": [{"scope": {"name": "s"}, "metrics": [
            {"name": "room.humidity", "unit": "1", "gauge": {"dataPoints": [
                {"timeUnixNano": nanos, "asDouble": 0.455},
                {"timeUnixNano": (MS * 1_000_000 + 1_000_000_000).to_string(), "asInt": "1", "attributes": [attribute("floor", json!({"intValue": "2"}))]},
                {"timeUnixNano": nanos, "flags": 1}, {"timeUnixNano": nanos, "asDouble": "NaN"}]}},
            {"name": "http.duration", "unit": "s", "histogram": {"aggregationTemporality": 2, "dataPoints": [{"timeUnixNano": nanos, "count": "3", "sum": 1.5, "bucketCounts": ["1", "2"]}]}},
            {"name": "requests", "sum": {"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [{"timeUnixNano": nanos, "asInt": 5}]}}
        ]}]
    }]})
}

#[tokio::test]
async fn points_of_opentelemetry_are_rows_in_json_and_in_protobuf() {
    let text = otlp().to_string().into_bytes();
    let lines = String::from_utf8(otlp::lines(&text, true, 10_000).unwrap().to_vec()).unwrap();
    assert!(
        lines.contains(r"http.duration,service.instance.id=room\ 7,otlp.unit=s,otlp.temporality=cumulative count=3u,sum=1.5 "),
        "{lines}"
    );
    assert!(lines.contains("requests,") && lines.contains("otlp.temporality=delta value=5i "), "{lines}");
    assert_eq!(lines.lines().count(), 4);
    let request: otlp::Request = serde_json::from_slice(&text).unwrap();
    let protobuf = request.encode_to_vec();
    for (json, body) in [(true, text), (false, protobuf)] {
        let (receipt, rows) = post(Foreign::OtlpMetrics { json }, body).await;
        // The two metrics that nothing maps are told.
        assert_eq!((receipt.counts.stored, receipt.counts.quarantined), (2, 2), "{:?}", receipt.rejects);
        assert!(rows.iter().any(|r| r.contains("room-7") && r.contains("45.5")) && rows.iter().any(|r| r.contains("100.0")), "{rows:?}");
    }
    let broken = post_as(
        &publisher(),
        Foreign::OtlpMetrics { json: true },
        &[br#"{"resourceMetrics":5}"#.to_vec(), br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{}]}]}]}"#.to_vec()],
    )
    .await
    .0;
    assert!(broken.into_iter().all(|r| matches!(r, Err(IngestError::Invalid(_)))));
}

#[tokio::test]
async fn entities_of_ngsi_ld_are_rows_by_their_observed_at() {
    let body = json!([
        {"id": "urn:ngsi-ld:WeatherObserved:bologna:n1", "type": "WeatherObserved", "@context": "https://example.org/c.jsonld",
         "location": {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [11.34, 44.49]}},
         "name": {"type": "Property", "value": "North"},
         "temperature": {"type": "Property", "value": 21.5, "unitCode": "CEL", "observedAt": "2026-03-01T10:00:00Z"},
         "relativeHumidity": {"type": "Property", "value": 0.45, "observedAt": "2026-03-01T09:50:00Z"}},
        {"id": "n2", "type": ["WeatherObserved", "Sensor"], "temperature": {"value": 20, "observedAt": "2026-03-01T10:00:00Z"}},
        {"id": "n3", "type": "WeatherObserved", "temperature": 20},
        {"id": "n4", "type": "Chair"},
        {"type": "WeatherObserved"}
    ]);
    let (receipt, rows) = post(Foreign::NgsiLd, body.to_string().into_bytes()).await;
    assert_eq!((receipt.counts.stored, receipt.counts.quarantined), (3, 3), "{:?}", receipt.rejects);
    let told: Vec<_> = receipt.rejects.iter().map(|r| (r.line, r.reason)).collect();
    assert_eq!(told, [(3, "bad_time"), (4, "unknown_topic"), (5, "missing_field")]);
    assert!(
        rows.iter().any(|r| r.contains("bologna:n1") && r.contains("09:50:00") && r.contains("45.0") && r.contains("11.34")),
        "{rows:?}"
    );
}

#[tokio::test]
async fn observations_and_webhooks_use_the_topics_of_their_mappings() {
    let body = json!({"phenomenonTime": "2026-03-01T10:00:00Z", "result": 21.5}).to_string();
    let (receipt, rows) = post(Foreign::SensorThings { path: "Datastreams(1)/Observations".into() }, body.into_bytes()).await;
    assert!(receipt.counts.stored == 1 && rows[0].contains("station-1"), "{rows:?}");
    let body = json!([{"container": "b1", "at": "2026-03-01T10:00:00Z", "level": 80}, {"container": "b2", "level": 80}]).to_string();
    let (receipt, rows) = post(Foreign::Webhook { name: "bins".into() }, body.into_bytes()).await;
    assert_eq!((receipt.counts.stored, receipt.rejects[0].line, receipt.rejects[0].reason, rows.len()), (1, 2, "bad_time", 1));
}

#[tokio::test]
async fn rights_of_topics_hold_here_too() {
    let body = json!({"container": "b1", "at": "2026-03-01T10:00:00Z", "level": 80}).to_string().into_bytes();
    for (filter, stored) in [("webhook/bins", 1), ("portico/bologna/waste_container/+", 1), ("portico/bologna/noise/+", 0)] {
        let own = Arc::new(Publisher { publish: vec![TopicFilter::parse(filter).unwrap()], ..(*publisher()).clone() });
        let (receipts, sink) = post_as(&own, Foreign::Webhook { name: "bins".into() }, std::slice::from_ref(&body)).await;
        let receipt = receipts.into_iter().next().unwrap().unwrap();
        assert_eq!((receipt.counts.stored, receipt.counts.received, sink.counts()), (stored, 1, receipt.counts), "{filter}");
        assert_eq!(receipt.rejects.first().map(|r| r.reason), (stored == 0).then_some("forbidden"), "{filter}");
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// A request with every kind of metric, as `opentelemetry-proto` 1.45 for Python writes it.
const OTLP_OF_PYTHON: &str = "0afe020a1f0a0d0a04686f737412050a036820310a0e0a046c69737412062a040a02180112da020a030a0173123e0a01671a01312a360a341101000000000000001900406552\
    4daf981821000000000000e03f3a070a0162120210013a0e0a0164120921000000000000f83f122a0a01733a250a1219004065524daf981831fbffffffffffffff0a0b190040\
    65524daf981840011001180112520a01684a4d0a4919004065524daf981821030000000000000029000000000000f83f3210010000000000000002000000000000003a080000\
    00000000e03f599a9999999999b93f61000000000000f03f1002125b0a016552560a520a070a01691202180719004065524daf98182104000000000000002900000000000004\
    4030023901000000000000004206080212020102619a9999999999c93f690000000000000040719a9999999999b93f100212360a01715a310a2f19004065524daf9818210500\
    000000000000290000000000000c40321209000000000000e03f11666666666666e63f";
/// The same as its `MessageToJson` writes it.
const OTLP_JSON_OF_PYTHON: &str = r#"{"resourceMetrics": [{"resource": {"attributes": [{"key": "host", "value": {"stringValue": "h 1"}}, {"key": "list", "value": {"arrayValue": {"values": [{"intValue": "1"}]}}}]}, "scopeMetrics": [{"scope": {"name": "s"}, "metrics": [{"name": "g", "unit": "1", "gauge": {"dataPoints": [{"startTimeUnixNano": "1", "timeUnixNano": "1772359200000000000", "asDouble": 0.5, "attributes": [{"key": "b", "value": {"boolValue": true}}, {"key": "d", "value": {"doubleValue": 1.5}}]}]}}, {"name": "s", "sum": {"dataPoints": [{"timeUnixNano": "1772359200000000000", "asInt": "-5"}, {"timeUnixNano": "1772359200000000000", "flags": 1}], "aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA", "isMonotonic": true}}, {"name": "h", "histogram": {"dataPoints": [{"timeUnixNano": "1772359200000000000", "count": "3", "sum": 1.5, "bucketCounts": ["1", "2"], "explicitBounds": [0.5], "min": 0.1, "max": 1.0}], "aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE"}}, {"name": "e", "exponentialHistogram": {"dataPoints": [{"attributes": [{"key": "i", "value": {"intValue": "7"}}], "timeUnixNano": "1772359200000000000", "count": "4", "sum": 2.5, "scale": 1, "zeroCount": "1", "positive": {"offset": 1, "bucketCounts": ["1", "2"]}, "min": 0.2, "max": 2.0, "zeroThreshold": 0.1}], "aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE"}}, {"name": "q", "summary": {"dataPoints": [{"timeUnixNano": "1772359200000000000", "count": "5", "sum": 3.5, "quantileValues": [{"quantile": 0.5, "value": 0.7}]}]}}]}]}]}"#;
/// One sample, as the remote write exporter of OpenTelemetry for Python 0.66 writes it.
const PROMETHEUS_OF_PYTHON: &str = "4cf04b0a4a0a230a085f5f6e616d655f5f12176e6f64655f68776d6f6e5f74656d705f63656c736975730a110a08696e7374616e63651205626f782031121009000000000080\
    35401080dadcc6ca33";

#[test]
fn what_other_implementations_write_is_read() {
    let lines = |bytes: Result<Bytes, IngestError>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    let want = "g,b=true,d=1.5,host=h\\ 1,otlp.unit=1 value=0.5 1772359200000000000\n\
        s,host=h\\ 1,otlp.temporality=delta value=-5i 1772359200000000000\n\
        h,host=h\\ 1,otlp.temporality=cumulative count=3u,sum=1.5,min=0.1,max=1.0 1772359200000000000\n\
        e,host=h\\ 1,i=7,otlp.temporality=cumulative count=4u,sum=2.5,min=0.2,max=2.0 1772359200000000000\n\
        q,host=h\\ 1 count=5u,sum=3.5 1772359200000000000\n";
    assert_eq!(lines(otlp::lines(&unhex(OTLP_OF_PYTHON), false, 10_000)), want);
    assert_eq!(lines(otlp::lines(OTLP_JSON_OF_PYTHON.as_bytes(), true, 10_000)), want);
    let want = "node_hwmon_temp_celsius,instance=box\\ 1 value=21.5 1772359200000000000\n";
    assert_eq!(lines(prometheus::lines(&unhex(PROMETHEUS_OF_PYTHON), 10_000)), want);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), at in any::<prop::sample::Index>(), b in any::<u8>()) {
        let plain = snap::raw::Encoder::new().compress_vec(&bytes).unwrap();
        let _ = (prometheus::lines(&bytes, 10_000), prometheus::lines(&plain, 10_000));
        let _ = (otlp::lines(&bytes, true, 10_000), otlp::lines(&bytes, false, 10_000));
        let mut text = otlp().to_string().into_bytes();
        let i = at.index(text.len());
        text[i] = b;
        let _ = otlp::lines(&text, true, 10_000);
        let request: otlp::Request = serde_json::from_value(otlp()).unwrap();
        let mut wire = request.encode_to_vec();
        let i = at.index(wire.len());
        wire[i] = b;
        let _ = otlp::lines(&wire, false, 10_000);
    }

    #[test]
    fn names_and_labels_come_back_from_their_line(name in "[a-zA-Z:_]{1,5}", labels in proptest::collection::btree_map("[^\n\r]{1,6}", "[^\n\r]{1,6}", 1..4), value in any::<f64>()) {
        prop_assume!(value.is_finite() && labels.iter().all(|(k, v)| !k.ends_with('\\') && !v.ends_with('\\')));
        let mut writer = line::Writer::new(10_000);
        let head = line::Writer::head(&name, labels.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        writer.line(&head, &[("value", Some(line::Number::Float(value)))], Some(5)).unwrap();
        let text = String::from_utf8(writer.finish().to_vec()).unwrap();
        let mut reader = crate::format::line_protocol::Line::new(text.trim_end_matches('\n'));
        prop_assert_eq!(&*reader.measurement().unwrap(), name.as_str());
        for (key, value) in &labels {
            let (k, v) = reader.tag().unwrap().unwrap();
            prop_assert_eq!((&*k, &*v), (key.as_str(), value.as_str()));
        }
        prop_assert!(reader.tag().unwrap().is_none());
        let (_, token) = reader.field(&mut true).unwrap().unwrap();
        let crate::decode::json::Token::Number(number) = token else { panic!("{token:?}") };
        prop_assert_eq!(number.parse(), Ok(value));
        prop_assert_eq!(reader.time().unwrap().unwrap().1, 5);
    }
}
