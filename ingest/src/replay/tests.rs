use super::*;
use crate::{
    IngestConfig, Mappings, Sink,
    testing::{self, Fate as FrameFate, MemorySink},
};
use arrow_array::{cast::AsArray, types};
use schemas::TableRef;

const THEN: &str = "2024-03-03T08:00:00Z";
const NOW: &str = "2024-03-05T08:00:00Z";
const MAPPING: &str = "[[mapping]]\nname = \"m\"\ntopic = \"gw/{d}/data\"\nproduct = \"weather\"\nentity = \"{d}\"\nobserved_at = \"/time\"\nfields.temperature = \"/temp\"\n";

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn pipeline(sink: &Arc<MemorySink>, mappings: &str) -> Pipeline {
    let config = IngestConfig { quarantine_payload_bytes_max: 200, ..IngestConfig::default() };
    let mappings = Mappings::parse([("m.toml", mappings)]).unwrap();
    Pipeline::start(config, testing::contracts(), mappings, Arc::clone(sink) as Arc<dyn Sink>).unwrap()
}

async fn deliver(pipeline: &Pipeline, messages: &[(&str, String)]) {
    let messages = messages.iter().map(|(topic, p)| RawMessage { topic: (*topic).to_owned().into(), payload: p.clone().into() }).collect();
    let group = Group { publisher: testing::publisher(), messages, rejects: Vec::new(), received_at: at(THEN) };
    pipeline.submit_group(group).await.unwrap().outcome().await.unwrap();
}

/// Rows of `ops.quarantine` as a reader of the table gets them.
fn waiting(sink: &MemorySink) -> Vec<Quarantined> {
    let mut out = Vec::new();
    for (i, batch) in sink.quarantined().iter().enumerate() {
        let text = |name: &str, row: usize| batch.column_by_name(name).unwrap().as_string::<i32>().value(row).to_owned();
        let times = batch.column_by_name("observed_at").unwrap().as_primitive::<types::TimestampMicrosecondType>();
        out.extend((0..batch.num_rows()).map(|row| Quarantined {
            tenant: Tenant::new(&text("tenant", row)).unwrap(),
            source: SourceId::new(&text("source", row)).unwrap(),
            topic: text("topic", row),
            payload: batch.column_by_name("payload").unwrap().as_binary::<i32>().value(row).to_vec().into(),
            reason: text("reason", row),
            message: text("message", row),
            received_at: Timestamp(times.value(row)),
            position: i as u64 + 1,
            simulated: true,
        }));
    }
    out
}

fn ops(sink: &MemorySink, table: OpsTable, column: &str) -> Vec<String> {
    let frames = sink.frames.lock();
    let parts = frames.iter().flat_map(|f| &f.parts).filter(|p| p.table == table.table());
    parts
        .flat_map(|p| p.rows.column_by_name(column).unwrap().as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

fn reading(minute: u32, temp: f64) -> String {
    format!(r#"{{"time":"2024-03-03T07:{minute:02}:00Z","temp":{temp}}}"#)
}

#[tokio::test]
async fn what_waited_is_stored_once_by_a_mapping_put_in_force_while_running() {
    let sink = Arc::new(MemorySink::default());
    let pipeline = pipeline(&sink, "");
    let sent: Vec<(&str, String)> =
        (0..50).map(|i| (if i % 2 == 0 { "gw/t1/data" } else { "gw/t2/data" }, reading(i, f64::from(i)))).collect();
    deliver(&pipeline, &sent).await;
    assert_eq!((sink.counts().quarantined, sink.rows().len()), (50, 0));
    let rows = waiting(&sink);

    let early = replay(&pipeline, rows.clone(), at(NOW)).await.unwrap();
    assert_eq!((early.counts.quarantined, early.rejects[0].reason), (50, "unknown_topic"));

    pipeline.router().replace(Mappings::parse([("m.toml", MAPPING)]).unwrap()).unwrap();
    let first = replay(&pipeline, rows.clone(), at(NOW)).await.unwrap();
    // Judged by the first receipt: in time. Two days later they would be late.
    assert_eq!(first.counts, Counts { received: 50, stored: 50, ..Counts::default() });
    let stored = sink.rows();
    let second = replay(&pipeline, rows, at("2024-03-06T08:00:00Z")).await.unwrap();
    assert_eq!(second.counts, Counts { received: 50, duplicate: 50, ..Counts::default() });
    assert_eq!((sink.rows(), sink.counts().imbalance()), (stored, 0));
    let outcomes = ops(&sink, OpsTable::Replayed, "outcome");
    let count = |what: &str| outcomes.iter().filter(|o| *o == what).count();
    assert_eq!((count("quarantined"), count("stored"), count("duplicate")), (50, 50, 50));

    // New messages of the same devices need no restart either.
    deliver(&pipeline, &[("gw/t1/data", reading(59, 1.0))]).await;
    assert_eq!(sink.rows().len(), 51);
}

#[tokio::test]
async fn rows_say_when_they_became_known_and_the_ledger_who_delivered_again() {
    let sink = Arc::new(MemorySink::default());
    let pipeline = pipeline(&sink, "");
    deliver(&pipeline, &[("gw/t1/data", reading(1, 20.0))]).await;
    pipeline.router().replace(Mappings::parse([("m.toml", MAPPING)]).unwrap()).unwrap();
    replay(&pipeline, waiting(&sink), at(NOW)).await.unwrap();
    let frames = sink.frames.lock();
    let rows = &frames[1].parts.iter().find(|p| p.table == TableRef::parse("bologna.weather").unwrap()).unwrap().rows;
    let received = rows.column_by_name("received_at").unwrap().as_primitive::<types::TimestampMicrosecondType>().value(0);
    assert_eq!(Timestamp(received), at(NOW));
    assert!(rows.column_by_name("simulated").unwrap().as_boolean().value(0));
    let lines: Vec<_> =
        frames.iter().flat_map(|f| &f.ledger).map(|l| (l.source.as_str(), l.hour, l.counts.quarantined, l.counts.stored)).collect();
    assert_eq!(lines, [("mqtt/gateway-7", at(THEN), 1, 0), ("replay/mqtt/gateway-7", at(NOW), 0, 1)]);
}

#[tokio::test]
async fn what_a_replay_cannot_mend_is_left_alone() {
    let sink = Arc::new(MemorySink::default());
    let pipeline = pipeline(&sink, MAPPING);
    let long = format!(r#"{{"time":"2024-03-03T07:00:00Z","temp":1,"x":"{}"}}"#, "y".repeat(300));
    deliver(&pipeline, &[("gw/t1/data", long), ("gw/t1/data", reading(5, 1.0)), ("gw/t1/data", reading(5, 2.0))]).await;
    let mut rows = waiting(&sink);
    assert_eq!(rows.len(), 2);
    let line = Quarantined { topic: "air.csv:17".into(), reason: "bad_time".into(), ..rows[0].clone() };
    rows.push(Quarantined { message: "a cell".into(), ..line });
    rows.push(Quarantined { payload: Bytes::new(), ..rows[0].clone() });
    let report = replay(&pipeline, rows, at(NOW)).await.unwrap();
    let want = [(Skip::Cut, 1), (Skip::Withheld, 1), (Skip::Conflict, 1), (Skip::NotAMessage, 1)];
    assert_eq!((report.replayed, report.skipped), (0, want.into()));
}

#[tokio::test]
async fn a_replay_that_the_log_refused_can_be_repeated() {
    let sink = Arc::new(MemorySink::default());
    let pipeline = pipeline(&sink, "");
    deliver(&pipeline, &[("gw/t1/data", reading(1, 20.0))]).await;
    pipeline.router().replace(Mappings::parse([("m.toml", MAPPING)]).unwrap()).unwrap();
    sink.fates.lock().push_back(FrameFate::Lost);
    let rows = waiting(&sink);
    assert!(replay(&pipeline, rows.clone(), at(NOW)).await.is_err());
    assert_eq!(ops(&sink, OpsTable::Replayed, "outcome").len(), 0, "the note is in the frame that was lost");
    let report = replay(&pipeline, rows, at(NOW)).await.unwrap();
    assert_eq!((report.counts.stored, sink.rows().len(), sink.counts().imbalance()), (1, 1, 0));
}

#[test]
fn mappings_that_do_not_fit_change_nothing() {
    let router = crate::mapping::route::Router::new(testing::contracts(), Mappings::parse([("m.toml", MAPPING)]).unwrap()).unwrap();
    let bad = MAPPING.replace("fields.temperature", "fields.temprature");
    assert!(router.replace(Mappings::parse([("m.toml", bad.as_str())]).unwrap()).is_err());
    let tenant = Tenant::new("bologna").unwrap();
    assert!(matches!(router.route(&tenant, "gw/t1/data"), crate::mapping::route::Route::Known(_)));
    assert_eq!(router.generation(), 0);
}

#[test]
fn a_mapping_of_one_tenant_leaves_the_topics_of_others_alone() {
    use crate::mapping::route::{Route, Router};
    let mine = format!("{MAPPING}\n{}", MAPPING.replace("topic =", "tenant = \"imola\"\ntopic ="));
    let theirs = MAPPING.replace("topic =", "tenant = \"imola\"\ntopic =") + "\n" + MAPPING;
    for text in [mine, theirs] {
        let router = Router::new(testing::contracts(), Mappings::parse([("m.toml", text.as_str())]).unwrap()).unwrap();
        for tenant in ["bologna", "imola"] {
            let route = router.route(&Tenant::new(tenant).unwrap(), "gw/t1/data");
            assert!(matches!(&route, Route::Known(k) if k.choices[0].table.name.tenant.as_str() == tenant), "{tenant}: {route:?}");
        }
    }
}
