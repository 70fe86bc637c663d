use super::*;
use crate::{
    IngestConfig, Mappings, Sink, TopicFilter,
    testing::{MemorySink, contracts, publisher},
};
use schemas::Counts;

const NOW: &str = "2026-03-01T10:00:30Z";

async fn post(publisher: &Arc<Publisher>, precision: &str, body: &str) -> (Result<Receipt, IngestError>, Arc<MemorySink>) {
    let sink = Arc::new(MemorySink::default());
    let config = IngestConfig { http_body_bytes_max: 4_000_000, ..IngestConfig::default() };
    let pipeline = Pipeline::start(config, contracts(), Mappings::builtin(), Arc::clone(&sink) as Arc<dyn Sink>).unwrap();
    let precision = Precision::named(precision).unwrap();
    let request = Request { family: "influx", db: Some("city"), precision, body: Bytes::copy_from_slice(body.as_bytes()) };
    (accept(&pipeline, publisher, request, Timestamp::parse(NOW).unwrap()).await, sink)
}

#[tokio::test]
async fn good_lines_are_stored_and_bad_ones_are_told_by_number() {
    let body = "# head\nweather,id=a temperature=20 1772359200000000000\n\nweather,id=a temperature=900 1772359201000000000\nweather,id=a\nnothing,id=a x=1\n";
    let (receipt, sink) = post(&publisher(), "ns", body).await;
    let receipt = receipt.unwrap();
    assert_eq!(receipt.counts, Counts { received: 4, stored: 1, quarantined: 3, ..Counts::default() });
    let rejects: Vec<_> = receipt.rejects.iter().map(|r| (r.line, r.reason)).collect();
    assert_eq!(rejects, [(4, "out_of_range"), (5, "not_format"), (6, "unknown_topic")]);
    assert_eq!((sink.rows().len(), receipt.position), (1, 1));
}

#[tokio::test]
async fn every_precision_is_the_same_instant() {
    for (precision, time) in [
        ("", "1772359200000000000"),
        ("us", "1772359200000000"),
        ("ms", "1772359200000"),
        ("s", "1772359200"),
        ("m", "29539320"),
        ("h", "492322"),
    ] {
        let (receipt, sink) =
            post(&publisher(), precision, &format!("weather,id=a temperature=20 {time}\r\n#\nweather,id=b temperature=1")).await;
        assert_eq!(receipt.unwrap().counts.stored, 2, "{precision}");
        assert!(sink.rows().iter().any(|r| r.contains(":a\"") && r.contains("2026-03-01T10:00:00")), "{precision}: {:?}", sink.rows());
        assert!(sink.rows().iter().any(|r| r.contains(":b\"") && r.contains("2026-03-01T10:00:30")), "the time of receipt");
    }
    let (receipt, _) = post(&publisher(), "h", "weather,id=a temperature=20 9223372036854775807").await;
    assert_eq!(receipt.unwrap().rejects[0].field.as_deref(), Some("time"));
    assert_eq!(Precision::named("d"), None);
}

#[tokio::test]
async fn rights_of_topics_hold_here_too() {
    let body = "weather,id=a temperature=20 1772359200000000000\nnoise,id=a laeq=50 1772359200000000000";
    for (filter, stored) in
        [("portico/bologna/#", 2), ("portico/bologna/weather/+", 1), ("influx/city/noise", 1), ("influx/#", 2), ("portico/imola/#", 0)]
    {
        let own = Arc::new(Publisher { publish: vec![TopicFilter::parse(filter).unwrap()], ..(*publisher()).clone() });
        let (receipt, sink) = post(&own, "ns", body).await;
        let receipt = receipt.unwrap();
        assert_eq!((receipt.counts.stored, receipt.counts.quarantined), (stored, 2 - stored), "{filter}");
        assert_eq!(receipt.rejects.iter().filter(|r| r.reason == "forbidden").count() as u64, 2 - stored);
        assert_eq!(sink.counts(), receipt.counts, "{filter}");
    }
}

#[tokio::test]
async fn large_bodies_are_several_groups_and_too_large_ones_are_refused() {
    let line = |i: usize| {
        format!("weather,id=s{} temperature={} {}\n", i % 100, i % 50, 1_772_359_200_000_000_000 - (i / 100) as i64 * 1_000_000_000)
    };
    let body: String = (0..20_000).map(line).chain(["weather,id=x humidity=101 1".to_owned()]).collect();
    let (receipt, sink) = post(&publisher(), "ns", &body).await;
    let receipt = receipt.unwrap();
    assert_eq!((receipt.counts.stored, receipt.rejects[0].line, sink.rows().len()), (20_000, 20_001, 20_000));
    assert!(post(&publisher(), "ns", &" ".repeat(4_000_001)).await.0.is_err());
}

#[test]
fn levels_hold_no_separators_and_no_wildcards() {
    let mut out = String::new();
    level("a/b+c#d%\u{1}è", &mut out);
    assert_eq!(out, "a%2Fb%2Bc%23d%25%01è");
}
