use super::*;
use crate::{
    RawMessage, Rejected,
    testing::{Fate, MemorySink, contracts, publisher},
};
use arrow_array::cast::AsArray;
use proptest::prelude::*;
use std::collections::BTreeSet;

const NOW: &str = "2024-03-03T08:00:00Z";

fn group(messages: Vec<RawMessage>) -> Group {
    Group { publisher: publisher(), messages, rejects: Vec::new(), received_at: Timestamp::parse(NOW).unwrap() }
}

fn message(payload: &str) -> RawMessage {
    RawMessage { topic: "portico/bologna/air_quality/a".into(), payload: payload.to_owned().into() }
}

fn start(config: IngestConfig, sink: &Arc<MemorySink>) -> Pipeline {
    Pipeline::start(config, contracts(), Mappings::builtin(), Arc::clone(sink) as Arc<dyn Sink>).unwrap()
}

async fn send(pipeline: &Pipeline, messages: Vec<RawMessage>) -> Result<Outcome, IngestError> {
    pipeline.submit_group(group(messages)).await?.outcome().await
}

#[tokio::test]
async fn each_outcome_is_counted_once_and_quarantine_keeps_the_payload() {
    let sink = Arc::new(MemorySink::default());
    let pipeline = start(IngestConfig { quarantine_payload_bytes_max: 40, ..IngestConfig::default() }, &sink);
    let good = r#"{"observed_at":"2024-03-03T07:59:00Z","no2":40}"#;
    let messages = vec![
        message(good),
        message(good),
        message(r#"{"observed_at":"2024-03-03T07:59:00Z","no2":41}"#),
        message(r#"{"observed_at":"2024-03-01T07:59:00Z","no2":41}"#),
        message("hello"),
        RawMessage { topic: "elsewhere".into(), payload: "{}".into() },
    ];
    let mut all = group(messages);
    all.rejects.push(Rejected {
        product: None,
        topic: "air.csv:17".into(),
        reason: "syntax",
        field: None,
        message: "a cell is missing".into(),
        payload: "1;2".into(),
    });
    let outcome = pipeline.submit_group(all).await.unwrap().outcome().await.unwrap();
    let want = Counts { received: 7, stored: 1, duplicate: 1, late: 1, quarantined: 4, dropped: 0 };
    assert_eq!((outcome.counts, sink.counts(), outcome.position), (want, want, 1));
    let listed: Vec<_> = outcome.rejects.iter().map(|r| (r.message, r.reason)).collect();
    assert_eq!(listed, [(2, "conflict"), (4, "not_json"), (5, "unknown_topic")]);
    let quarantined = sink.quarantined();
    let texts = |name: &str| quarantined[0].column_by_name(name).unwrap().as_string::<i32>().clone();
    assert_eq!(
        texts("reason").iter().flatten().collect::<BTreeSet<_>>(),
        BTreeSet::from(["conflict", "not_json", "unknown_topic", "syntax"])
    );
    assert!(texts("message").iter().flatten().any(|m| m.ends_with("(payload cut to 40 of 47 bytes)")));
    let stats = pipeline.stats();
    assert_eq!((stats.counts, stats.quarantined_by_reason.values().sum::<u64>(), stats.queue_messages), (want, 4, 0));
    let ledger = sink.frames.lock()[0].ledger.clone();
    assert_eq!(ledger.iter().map(|d| d.product.is_some()).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn a_duplicate_of_a_row_that_was_lost_is_never_acknowledged() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let sink = Arc::new(MemorySink { gate: Some(Arc::clone(&gate)), ..MemorySink::default() });
    sink.fates.lock().extend([Fate::Lost, Fate::Stored]);
    let pipeline = start(IngestConfig::default(), &sink);
    let good = || vec![message(r#"{"observed_at":"2024-03-03T07:59:00Z","no2":40}"#)];
    let first = pipeline.submit_group(group(good())).await.unwrap();
    // The second copy comes while the first frame is on its way: it shares its fate, although its own frame is stored.
    while pipeline.stats().queue_messages > 0 {
        tokio::task::yield_now().await;
    }
    let second = pipeline.submit_group(group(good())).await.unwrap();
    while pipeline.stats().queue_messages > 0 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(100);
    assert!(first.outcome().await.is_err());
    assert!(second.outcome().await.is_err());
    assert_eq!(sink.rows().len(), 0);
    let again = send(&pipeline, good()).await.unwrap();
    assert_eq!((again.counts.stored, sink.rows().len(), sink.counts().imbalance()), (1, 1, 0));
    assert_eq!(pipeline.stats().frames_failed, 1);
}

#[tokio::test]
async fn close_finishes_what_was_taken_and_takes_nothing_new() {
    let sink = Arc::new(MemorySink::default());
    let pipeline = start(IngestConfig::default(), &sink);
    let pending = pipeline.submit_group(group(vec![message(r#"{"observed_at":"2024-03-03T07:59:00Z","no2":40}"#)])).await.unwrap();
    pipeline.close().await;
    assert_eq!(pending.outcome().await.unwrap().counts.stored, 1);
    assert!(matches!(send(&pipeline, vec![]).await, Err(IngestError::Stopped)));
}

#[tokio::test]
async fn a_full_queue_makes_the_sender_wait() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let sink = Arc::new(MemorySink { gate: Some(Arc::clone(&gate)), ..MemorySink::default() });
    let config = IngestConfig { queue_messages_max: 2, frames_in_flight_max: 1, ..IngestConfig::default() };
    let pipeline = start(config, &sink);
    let mut pending = Vec::new();
    let blocked = loop {
        let at = format!(r#"{{"observed_at":{},"no2":1}}"#, 1_709_450_000 + pending.len());
        let mut submit = Box::pin(pipeline.submit_group(group(vec![message(&at)])));
        match futures::poll!(&mut submit) {
            std::task::Poll::Ready(done) => pending.push(done.unwrap()),
            // One frame is in flight, two messages wait: this one has no room.
            std::task::Poll::Pending if pipeline.stats().queue_messages == 2 && pending.len() >= 3 => break submit,
            std::task::Poll::Pending => pending.push(submit.await.unwrap()),
        }
        tokio::task::yield_now().await;
    };
    gate.add_permits(100);
    pending.push(blocked.await.unwrap());
    for p in pending {
        assert_eq!(p.outcome().await.unwrap().counts.stored, 1);
    }
}

/// One observation of a small city: entity, instant, and which fields it has; the values follow from these.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Observation {
    entity: u8,
    minute: u16,
    fields: u8,
}

impl Observation {
    fn message(&self) -> RawMessage {
        let at = Timestamp(Timestamp::parse("2024-02-28T12:00:00Z").unwrap().0 + i64::from(self.minute) * 60_000_000);
        let value = f64::from(self.minute) / 32.0;
        let mut body = format!(r#"{{"id":"e{}","observed_at":"{at}""#, self.entity);
        for (bit, name) in ["no2", "co"].into_iter().enumerate() {
            if self.fields & (1 << bit) != 0 {
                body.push_str(&format!(r#","{name}":{value}"#));
            }
        }
        body.push('}');
        RawMessage { topic: "portico/bologna/air_quality".into(), payload: body.into() }
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Groups of observations, submitted together, each until it is acknowledged.
    Deliver(Vec<Vec<prop::sample::Index>>),
    Restart,
    Fail(Fate),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let groups = proptest::collection::vec(proptest::collection::vec(any::<prop::sample::Index>(), 0..6), 1..5);
    let fate = prop_oneof![Just(Fate::Lost), Just(Fate::StoredUnsaid), Just(Fate::Refused), Just(Fate::Stored)];
    let step = prop_oneof![6 => groups.prop_map(Step::Deliver), 1 => Just(Step::Restart), 2 => fate.prop_map(Step::Fail)];
    proptest::collection::vec(step, 1..14)
}

fn observations() -> impl Strategy<Value = Vec<Observation>> {
    let one = (0u8..3, prop_oneof![0u16..12, 1_430u16..1_450, 2_880u16..2_890], 1u8..4);
    let one = one.prop_map(|(entity, minute, fields)| Observation { entity, minute, fields });
    proptest::collection::btree_set(one, 1..40).prop_map(|set| set.into_iter().collect())
}

/// Submits all groups, and those that were not acknowledged again, as a sender does.
async fn deliver(pipeline: &Pipeline, groups: &[Vec<RawMessage>]) {
    let mut left = groups.to_vec();
    while !left.is_empty() {
        let mut pending = Vec::new();
        for messages in &left {
            pending.push(pipeline.submit_group(group(messages.clone())).await.unwrap());
        }
        let mut failed = Vec::new();
        for (pending, messages) in pending.into_iter().zip(left) {
            if pending.outcome().await.is_err() {
                failed.push(messages);
            }
        }
        left = failed;
    }
}

async fn live(all: &[Observation], steps: &[Step], config: &IngestConfig) -> (Vec<String>, Counts) {
    let sink = Arc::new(MemorySink::default());
    let mut pipeline = start(config.clone(), &sink);
    for step in steps {
        match step {
            Step::Deliver(groups) => {
                let groups: Vec<Vec<RawMessage>> = groups.iter().map(|g| g.iter().map(|i| i.get(all).message()).collect()).collect();
                deliver(&pipeline, &groups).await;
            }
            Step::Restart => {
                pipeline.close().await;
                pipeline = start(config.clone(), &sink);
            }
            Step::Fail(fate) => sink.fates.lock().push_back(*fate),
        }
    }
    // Whatever was not delivered yet is delivered now, newest first.
    let rest: Vec<RawMessage> = all.iter().rev().map(Observation::message).collect();
    deliver(&pipeline, &rest.chunks(7).map(<[_]>::to_vec).collect::<Vec<_>>()).await;
    pipeline.close().await;
    (sink.rows(), sink.counts())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn deliveries_in_any_order_grouping_and_life_give_one_table(
        all in observations(), steps in steps(), series_max in 1usize..8, frame in 1usize..12, in_flight in 1usize..4, days in prop_oneof![Just(1usize), Just(1 << 20)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let config = IngestConfig {
            series_max, frame_messages_max: frame, frames_in_flight_max: in_flight, day_sets_bytes_max: days, ..IngestConfig::default()
        };
        let (rows, counts) = runtime.block_on(live(&all, &steps, &config));
        let (once, _) = runtime.block_on(live(&all, &[], &IngestConfig::default()));
        prop_assert_eq!(counts.imbalance(), 0);
        prop_assert_eq!(counts.stored + counts.late, all.len() as u64);
        prop_assert_eq!(counts.quarantined, 0);
        prop_assert_eq!(rows, once);
    }
}
