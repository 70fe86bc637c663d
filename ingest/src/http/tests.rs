use super::*;
use crate::{
    IngestConfig, Mappings, TopicFilter,
    testing::{MemorySink, contracts, publisher},
};

async fn post(content_type: &str, product: Option<&str>, body: &str) -> Result<Receipt, IngestError> {
    let config = IngestConfig { http_body_bytes_max: 1_000, ..IngestConfig::default() };
    let pipeline = Pipeline::start(config, contracts(), Mappings::builtin(), Arc::new(MemorySink::default())).unwrap();
    let request = Request { product, content_type, body: Bytes::copy_from_slice(body.as_bytes()) };
    accept(&pipeline, &publisher(), request, Timestamp::parse("2024-03-03T08:00:00Z").unwrap()).await
}

const ROW: &str = r#"{"id":"a","observed_at":"2024-03-03T07:59:00Z","laeq":55.5}"#;

#[tokio::test]
async fn lines_are_told_by_their_number() {
    let body = format!("{ROW}\r\n\n{{\"id\":\"b\",\"laeq\":1}}\n{ROW}\nnoise");
    let receipt = post("application/x-ndjson; charset=utf-8", Some("noise"), &body).await.unwrap();
    let want = Counts { received: 4, stored: 1, duplicate: 1, late: 0, quarantined: 2, dropped: 0 };
    assert_eq!(receipt.counts, want);
    assert_eq!(receipt.rejects.iter().map(|r| (r.line, r.reason)).collect::<Vec<_>>(), [(3, "bad_time"), (5, "not_json")]);
    assert_eq!(receipt.position, 1);
}

#[tokio::test]
async fn lists_objects_and_broken_lists_are_counted() {
    let stored = |r: Receipt| (r.counts.received, r.counts.stored, r.counts.quarantined);
    let list = format!("[{ROW}, {}]", ROW.replace("\"a\"", "\"b\""));
    assert_eq!(stored(post("application/json", Some("noise"), &list).await.unwrap()), (2, 2, 0));
    assert_eq!(stored(post("application/json", Some("noise"), ROW).await.unwrap()), (1, 1, 0));
    assert_eq!(stored(post("application/json", Some("noise"), "[]").await.unwrap()), (0, 0, 0));
    let broken = post("application/json", Some("noise"), &format!("[{ROW}, ")).await.unwrap();
    assert_eq!((broken.rejects[0].reason, stored(broken)), ("not_json", (1, 0, 1)));
}

#[tokio::test]
async fn requests_that_cannot_be_served_say_why() {
    let error = |r: Result<Receipt, IngestError>| r.unwrap_err().to_string();
    assert!(error(post("text/csv", Some("noise"), ROW).await).contains("application/x-ndjson"));
    assert!(error(post("application/json", Some("noice"), ROW).await).contains("did you mean 'noise'?"));
    assert!(error(post("application/json", None, ROW).await).contains("/api/ingest/<product>"));
    assert!(error(post("application/json", Some("noise"), &" ".repeat(1_001)).await).contains("the limit is 1000"));
}

#[tokio::test]
async fn rights_of_topics_hold_here_too() {
    let pipeline = Pipeline::start(IngestConfig::default(), contracts(), Mappings::builtin(), Arc::new(MemorySink::default())).unwrap();
    let allowed = |filter: &str| {
        let publisher = Publisher { publish: vec![TopicFilter::parse(filter).unwrap()], ..(*publisher()).clone() };
        topic(&pipeline, &publisher, Some("noise"))
    };
    assert!(allowed("portico/bologna/noise/+").is_ok());
    assert!(allowed("portico/bologna/#").is_ok());
    assert!(matches!(allowed("portico/bologna/parking/+"), Err(IngestError::Forbidden(_))));
    assert!(matches!(allowed("portico/imola/noise/+"), Err(IngestError::Forbidden(_))));
}

#[tokio::test]
async fn a_webhook_is_one_message_on_a_topic_of_its_sender() {
    let text = include_str!("../../mappings/lorawan.toml").replace("\"lns/{server}\"", "\"portico/bologna/lns/{server}\"");
    let mappings = Mappings::parse([("lorawan.toml", text.as_str())]).unwrap();
    let pipeline = Pipeline::start(IngestConfig::default(), contracts(), mappings, Arc::new(MemorySink::default())).unwrap();
    let at = Timestamp::parse("2023-05-19T06:46:42Z").unwrap();
    let body = r#"{"cmd": "rx", "EUI": "0102030405060708", "ts": 1684478801936, "fcnt": 1, "port": 2, "rssi": -21, "snr": 10,
        "dr": "SF9 BW125 4/5", "data": "00"}"#;
    let send = |topic: &'static str, body: &'static [u8]| {
        let pipeline = pipeline.clone();
        async move { event(&pipeline, &publisher(), topic, Bytes::from_static(body), at).await }
    };
    assert_eq!(send("portico/bologna/lns/loriot", body.as_bytes()).await.unwrap().counts.stored, 1);
    assert_eq!(send("portico/bologna/lns/loriot", body.as_bytes()).await.unwrap().counts.duplicate, 1);
    assert_eq!(send("portico/bologna/lns/loriot", b"noise").await.unwrap().rejects[0].reason, "not_json");
    for (topic, want) in [("elsewhere/loriot", "may not publish"), ("portico/bologna/#", "without '+'"), ("", "without '+'")] {
        let error = send(topic, body.as_bytes()).await.unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
}
