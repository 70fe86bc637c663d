//! Against a real Mosquitto.

use super::*;
use crate::broker::tests::harness::{Answer, TestDoor, disk_full, payloads, peer_program, publisher};
use schemas::SystemClock;
use std::{net::TcpListener, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

struct Mosquitto {
    port: u16,
    _child: Child,
    _config: tempfile::NamedTempFile,
}

impl Mosquitto {
    async fn start(program: &str) -> Self {
        use std::io::Write;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut config = tempfile::NamedTempFile::new().unwrap();
        writeln!(config, "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_dest stderr").unwrap();
        let mut command = Command::new(program);
        command.arg("-c").arg(config.path()).kill_on_drop(true).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        while !log.next_line().await.unwrap().expect("mosquitto says that it runs").ends_with(" running") {}
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        Self { port, _child: child, _config: config }
    }

    async fn publish(&self, payload: &str, options: &[&str]) {
        let program = peer_program("mosquitto_pub").expect("it comes with the tests' broker");
        let mut command = Command::new(program);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-q", "1", "-t", "city/air", "-m", payload]).args(options);
        assert!(command.status().await.unwrap().success());
    }
}

fn follower(port: u16, version: MqttVersion, shared: Option<&str>) -> (Follower, mpsc::UnboundedReceiver<(Group, Answer)>) {
    let mut config = ExternalBroker::new(format!("mqtt://127.0.0.1:{port}"), "portico", vec![TopicFilter::parse("city/#").unwrap()]);
    config.version = version;
    config.shared_group = shared.map(str::to_owned);
    config.backoff = (Duration::from_millis(1), Duration::from_millis(10));
    let (door, groups) = TestDoor::new();
    let publisher = Arc::new(publisher("region", vec![]));
    (Follower::new(config, publisher, Arc::new(door), Arc::new(SystemClock)).unwrap(), groups)
}

/// Groups until one holds `payload`; all are answered with `answer`.
async fn until(groups: &mut mpsc::UnboundedReceiver<(Group, Answer)>, payload: &str, answer: Result<u64, IngestError>) {
    loop {
        let next = timeout(Duration::from_secs(20), groups.recv()).await.expect("a group in time");
        let (group, durable) = next.expect("the follower lives");
        let found = payloads(&group).iter().any(|p| p == payload);
        durable.send(answer.clone()).unwrap();
        if found {
            return;
        }
    }
}

#[tokio::test]
async fn what_is_not_durable_is_sent_again_and_what_is_durable_is_not() {
    let Some(program) = peer_program("mosquitto") else { return };
    for version in [MqttVersion::V311, MqttVersion::V5] {
        let mosquitto = Mosquitto::start(&program).await;
        // Retained, so that its arrival shows that the subscription stands.
        mosquitto.publish("first", &["-r"]).await;
        let (follows, mut groups) = follower(mosquitto.port, version, None);
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let (follows, stop) = (follows.clone(), stop.clone());
            async move { follows.run(stop).await }
        });
        until(&mut groups, "first", Ok(1)).await;
        mosquitto.publish("", &["-r"]).await;
        until(&mut groups, "", Ok(1)).await;
        mosquitto.publish("second", &[]).await;
        until(&mut groups, "second", Err(disk_full())).await;
        // Not acknowledged: it comes again on the next connection.
        until(&mut groups, "second", Ok(2)).await;
        stop.cancel();
        running.await.unwrap();
        let stats = follows.stats();
        assert!(stats.connections_total >= 2 && stats.failures >= 1 && stats.acks >= 2, "{stats:?}");

        // Away: the session keeps what is published meanwhile, and does not bring back what was acknowledged.
        mosquitto.publish("third", &[]).await;
        let (follows, mut groups) = follower(mosquitto.port, version, None);
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let stop = stop.clone();
            async move { follows.run(stop).await }
        });
        let (group, durable) = groups.recv().await.unwrap();
        assert_eq!(group.publisher.source.as_str(), "mqtt/region");
        assert_eq!(payloads(&group)[0], "third");
        durable.send(Ok(3)).unwrap();
        stop.cancel();
        running.await.unwrap();
    }
}

#[tokio::test]
async fn a_shared_subscription_gets_what_its_group_shares() {
    let Some(program) = peer_program("mosquitto") else { return };
    let mosquitto = Mosquitto::start(&program).await;
    let (follows, mut groups) = follower(mosquitto.port, MqttVersion::V5, Some("ingest"));
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (follows, stop) = (follows.clone(), stop.clone());
        async move { follows.run(stop).await }
    });
    // Shared subscriptions bring no retained messages: publish until the subscription stands.
    let mut n = 0;
    let (group, durable) = loop {
        mosquitto.publish(&format!("shared {n}"), &[]).await;
        n += 1;
        if let Ok(group) = groups.try_recv() {
            break group;
        }
        assert!(n < 1_000, "the subscription never stood");
    };
    assert!(payloads(&group)[0].starts_with("shared "));
    durable.send(Ok(1)).unwrap();
    // The rest of what was published is not answered: nobody waits for it.
    drop(groups);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_tried_until_the_stop() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (follows, _groups) = follower(port, MqttVersion::V5, None);
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (follows, stop) = (follows.clone(), stop.clone());
        async move { follows.run(stop).await }
    });
    while follows.stats().failures < 3 {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    running.await.unwrap();
    assert_eq!(follows.stats().connected, 0);
}

#[test]
fn pauses_are_jittered_between_half_and_all() {
    let (mut a, mut b) = (1, 2);
    let second = Duration::from_secs(1);
    let first: Vec<_> = (0..100).map(|_| jittered(second, &mut a)).collect();
    let other: Vec<_> = (0..100).map(|_| jittered(second, &mut b)).collect();
    assert!(first.iter().chain(&other).all(|d| (second / 2..=second).contains(d)));
    assert_ne!(first, other);
}
