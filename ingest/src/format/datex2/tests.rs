use crate::{
    Group, Mappings, RawMessage, Sink,
    datex::MAPPINGS,
    pipeline::{Outcome, Pipeline},
    testing::{MemorySink, contracts, publisher},
};
use schemas::Timestamp;
use std::{path::PathBuf, sync::Arc};

fn read(path: &str) -> Option<Vec<u8>> {
    let root = std::env::var_os("PORTICO_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let found = std::fs::read(root.join("data").join(path)).ok();
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "{path} is absent; set PORTICO_SHARED");
    found
}

async fn send(messages: Vec<(&str, Vec<u8>)>) -> (Arc<MemorySink>, Outcome) {
    let sink = Arc::new(MemorySink::default());
    let mappings = Mappings::parse([("datex2.toml", MAPPINGS)]).unwrap();
    let pipeline = Pipeline::start(crate::testing::keeping_all(), contracts(), mappings, Arc::clone(&sink) as Arc<dyn Sink>).unwrap();
    let messages = messages.into_iter().map(|(topic, payload)| RawMessage { topic: topic.to_owned().into(), payload: payload.into() });
    let received_at = Timestamp::parse("2026-08-01T00:00:00Z").unwrap();
    let group = Group { publisher: publisher(), messages: messages.collect(), rejects: Vec::new(), received_at };
    let outcome = pipeline.submit_group(group).await.unwrap().outcome().await.unwrap();
    (sink, outcome)
}

#[tokio::test]
async fn situations_signs_and_measures_come_as_messages_too() {
    let files = [
        ("datex2-xml/fi", "datex2/fi_lotju__datex2__3.5__GUID50456943.xml"),
        ("datex2-xml/fi", "datex2/fi_wazefeed__TrafficSituationAccidentAndRoadOrCarriagewayOrLaneManagement.xml"),
        ("datex2-xml/nl", "datex2/ndw_datex2v3_drip.xml"),
        ("fdt-xml/torino", "fixtures/traffic_5t_torino/fdt_2026.xml"),
    ];
    let mut messages = Vec::new();
    for (topic, path) in files {
        let Some(bytes) = read(path) else { return };
        messages.push((topic, bytes));
    }
    let (sink, outcome) = send(messages.clone()).await;
    assert_eq!(outcome.rejects, []);
    let rows = sink.rows();
    let of = |product: &str| rows.iter().filter(|r| r.starts_with(&format!("bologna.{product} "))).count();
    assert_eq!((of("vms_message"), of("traffic_measure")), (1, 2));
    assert!(of("traffic_situation") >= 4, "{}", of("traffic_situation"));
    messages.reverse();
    assert_eq!(send(messages).await.0.rows(), rows);
}

#[tokio::test]
async fn what_is_not_xml_is_quarantined_with_the_place() {
    let (sink, outcome) = send(vec![("datex2-xml/x", b"{\"a\":1}".to_vec()), ("datex2-xml/x", b"<a><b></a>".to_vec())]).await;
    let reasons: Vec<_> = outcome.rejects.iter().map(|r| (r.reason, r.text.contains("byte"))).collect();
    assert_eq!(reasons, [("not_format", true), ("not_format", true)]);
    assert_eq!((sink.counts().quarantined, sink.counts().imbalance()), (2, 0));
}
