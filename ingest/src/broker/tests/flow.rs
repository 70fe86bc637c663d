//! The way of a PUBLISH: groups, acknowledgements, exactly once.

use super::harness::*;
use crate::broker::wire::Version;

const BOTH: [Version; 2] = [V4, V5];

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_before_it_is_durable_and_reading_goes_on() {
    for version in BOTH {
        let mut bench = Bench::new();
        let (mut peer, _) = bench.connect(version, "a", true).await;
        let mut groups = Vec::new();
        for id in 1..=100 {
            peer.publish("city/air", format!("{id}").as_bytes(), 1, id).await;
            groups.push(bench.group().await);
        }
        peer.quiet().await;
        for (i, (group, _)) in groups.iter().enumerate() {
            assert_eq!(payloads(group), [format!("{}", i + 1)]);
        }
        // The second becomes durable first: its acknowledgement waits for the first (4.6).
        let mut answers = groups.into_iter().map(|(_, answer)| answer);
        let (first, second) = (answers.next().unwrap(), answers.next().unwrap());
        second.send(Ok(2)).unwrap();
        peer.quiet().await;
        first.send(Ok(1)).unwrap();
        assert_eq!(peer.packets(2).await, [ack(0x40, 1), ack(0x40, 2)]);
        answers.for_each(|a| a.send(Ok(3)).unwrap());
        let rest: Vec<_> = (3..=100).map(|id| ack(0x40, id)).collect();
        assert_eq!(peer.packets(98).await, rest);
        assert_eq!(bench.broker.stats().acks, 100);
    }
}

#[tokio::test(start_paused = true)]
async fn what_arrives_together_is_one_group_with_all_acknowledgements_in_one_write() {
    use tokio::io::AsyncReadExt;
    let mut bench = Bench::new();
    let (mut peer, _) = bench.connect(V5, "a", true).await;
    let burst: Vec<u8> = (1..=90).flat_map(|id| publish(V5, "city/air", b"{}", 1, id)).collect();
    peer.send(&burst).await;
    let group = bench.store().await;
    assert_eq!(group.messages.len(), 90);
    assert_eq!(group.publisher.source.as_str(), "mqtt/u");
    let mut once = [0; 1_000];
    let n = peer.stream.read(&mut once).await.unwrap();
    assert_eq!(once[..n], (1..=90).flat_map(|id| ack(0x40, id)).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_full_window_is_not_read_further_until_something_is_durable() {
    let mut bench = Bench::with(|c| c.window_messages = 10);
    let (mut peer, _) = bench.connect(V4, "a", true).await;
    let burst: Vec<u8> = (1..=25).flat_map(|id| publish(V4, "city/air", b"x", 1, id)).collect();
    peer.send(&burst).await;
    let (group, answer) = bench.group().await;
    assert_eq!(group.messages.len(), 10);
    bench.no_group().await;
    answer.send(Ok(1)).unwrap();
    assert_eq!(peer.packets(10).await.len(), 10);
    assert_eq!(bench.store().await.messages.len(), 10);
    assert_eq!(bench.store().await.messages.len(), 5);
    assert_eq!(peer.packets(15).await.last(), Some(&ack(0x40, 25)));
}

#[tokio::test(start_paused = true)]
async fn groups_are_bounded_in_messages() {
    let mut bench = Bench::new();
    let (mut peer, _) = bench.connect(V4, "a", true).await;
    let burst: Vec<u8> = (1..=9_000).flat_map(|id| publish(V4, "city/a", b"", 1, id)).collect();
    peer.send(&burst).await;
    let mut seen = 0;
    while seen < 9_000 {
        let n = bench.store().await.messages.len();
        assert!(n <= 4_096);
        seen += n;
    }
    assert_eq!(peer.packets(9_000).await.last(), Some(&ack(0x40, 9_000)));
}

#[tokio::test(start_paused = true)]
async fn qos_0_is_passed_on_and_never_answered() {
    let mut bench = Bench::new();
    let (mut peer, _) = bench.connect(V4, "a", true).await;
    peer.publish("city/air", b"1", 0, 0).await;
    assert_eq!(payloads(&bench.store().await), ["1"]);
    peer.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn qos_2_sent_again_before_its_release_is_one_message() {
    for version in BOTH {
        let mut bench = Bench::new();
        let (mut peer, _) = bench.connect(version, "a", true).await;
        let again = |version| publish_with(version, (0b1100, 7), b"city/air", &[], b"x");
        peer.publish("city/air", b"x", 2, 7).await;
        let (group, answer) = bench.group().await;
        assert_eq!(group.messages.len(), 1);
        peer.send(&again(version)).await;
        bench.no_group().await;
        peer.quiet().await;
        answer.send(Ok(1)).unwrap();
        assert_eq!(peer.packet().await, ack(0x50, 7));
        // Durable, not released: answered again, not stored again.
        peer.send(&again(version)).await;
        assert_eq!(peer.packet().await, ack(0x50, 7));
        bench.no_group().await;
        peer.send(&ack(0x62, 7)).await;
        assert_eq!(peer.packet().await, ack(0x70, 7));
        // Released: the identifier is free for a new message.
        peer.publish("city/air", b"y", 2, 7).await;
        assert_eq!(payloads(&bench.store().await), ["y"]);
        assert_eq!(peer.packet().await, ack(0x50, 7));
        assert_eq!(bench.broker.stats().resent, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_of_an_unknown_identifier_is_answered() {
    let bench = Bench::new();
    let (mut peer, _) = bench.connect(V5, "a", true).await;
    peer.send(&ack(0x62, 9)).await;
    assert_eq!(peer.packet().await, [0x70, 3, 0, 9, 0x92]);
    let (mut peer, _) = bench.connect(V4, "b", true).await;
    peer.send(&ack(0x62, 9)).await;
    assert_eq!(peer.packet().await, ack(0x70, 9));
}

#[tokio::test(start_paused = true)]
async fn when_the_log_is_full_nothing_is_acknowledged_and_the_connection_ends() {
    for (version, reason) in [(V4, None), (V5, Some(0x97))] {
        let mut bench = Bench::new();
        let (mut peer, _) = bench.connect(version, "a", false).await;
        peer.publish("city/air", b"1", 1, 1).await;
        let (_, first) = bench.group().await;
        peer.publish("city/air", b"2", 2, 2).await;
        let (_, second) = bench.group().await;
        first.send(Err(disk_full())).unwrap();
        // Durable, but behind a refused one: not acknowledged, the client sends it again.
        second.send(Ok(2)).unwrap();
        assert_eq!(peer.closed().await, reason);
        assert_eq!(bench.broker.stats().acks, 0);
        assert_eq!(bench.broker.stats().sink_failures, 1);
        // Its session remembers that the second is durable.
        let (mut peer, present) = bench.connect(version, "a", false).await;
        assert!(present);
        peer.send(&publish_with(version, (0b1100, 2), b"city/air", &[], b"2")).await;
        assert_eq!(peer.packet().await, ack(0x50, 2));
        bench.no_group().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_makes_what_was_read_durable_and_acknowledges_it() {
    let mut bench = Bench::new();
    let (mut peer, _) = bench.connect(V5, "a", true).await;
    peer.publish("city/air", b"1", 1, 1).await;
    let (_, answer) = bench.group().await;
    bench.stop.cancel();
    peer.quiet().await;
    answer.send(Ok(1)).unwrap();
    assert_eq!(peer.packet().await, ack(0x40, 1));
    assert_eq!(peer.closed().await, Some(0x8b));
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_ever() {
    let mut bench = Bench::new();
    let (mut peer, _) = bench.connect(V5, "a", true).await;
    peer.publish("city/air", b"1", 1, 1).await;
    let _never = bench.group().await;
    bench.stop.cancel();
    assert_eq!(peer.closed().await, Some(0x8b));
}

#[tokio::test(start_paused = true)]
async fn ping_is_answered_while_messages_are_in_flight() {
    let mut bench = Bench::new();
    let (mut peer, _) = bench.connect(V4, "a", true).await;
    peer.publish("city/air", b"1", 1, 1).await;
    let _in_flight = bench.group().await;
    peer.send(&[0xc0, 0]).await;
    assert_eq!(peer.packet().await, [0xd0, 0]);
}
