//! Strangers, wrong bytes and limits.

use super::harness::*;
use crate::broker::wire::Version;
use std::time::Duration;
use tokio::time::advance;

#[tokio::test(start_paused = true)]
async fn a_topic_without_right_is_refused_per_message_in_5_and_ends_the_connection_in_3() {
    let mut bench = Bench::new();
    let (mut peer, _) = bench.connect(V5, "a", true).await;
    peer.publish("city/air", b"1", 1, 1).await;
    let (_, answer) = bench.group().await;
    peer.publish("other/air", b"2", 1, 2).await;
    peer.publish("other/air", b"3", 2, 3).await;
    peer.publish("other/air", b"4", 0, 0).await;
    // In order: the refusals wait for what came before them.
    peer.quiet().await;
    answer.send(Ok(1)).unwrap();
    assert_eq!(peer.packets(3).await, [ack(0x40, 1), vec![0x40, 3, 0, 2, 0x87], vec![0x50, 3, 0, 3, 0x87]]);
    bench.no_group().await;

    let (mut peer, _) = bench.connect(V4, "b", true).await;
    peer.send(&[publish(V4, "city/air", b"5", 1, 5), publish(V4, "other/air", b"6", 1, 6)].concat()).await;
    assert_eq!(payloads(&bench.store().await), ["5"]);
    assert_eq!(peer.packet().await, ack(0x40, 5));
    assert_eq!(peer.closed().await, None);
    assert_eq!(bench.broker.stats().refused_topic, 4);
}

#[tokio::test(start_paused = true)]
async fn wrong_bytes_end_the_connection_with_the_reason_in_5() {
    let too_large = frame(0x30, &vec![b'x'; 300 << 10]);
    let cases: [(&str, Vec<u8>, u8); 14] = [
        ("a length of five bytes", vec![0x30, 0xff, 0xff, 0xff, 0xff, 1], 0x81),
        ("a packet over the limit, known from its header", too_large[..16].to_vec(), 0x95),
        ("a topic that is not UTF-8", publish_with(V5, (2, 1), &[b'c', 0xff], &[], b"x"), 0x81),
        ("a topic with NUL", publish_with(V5, (2, 1), b"city/\0", &[], b"x"), 0x81),
        ("a topic with a wildcard", publish(V5, "city/+", b"x", 1, 1), 0x90),
        ("no topic", publish(V5, "", b"x", 1, 1), 0x90),
        ("a topic alias", publish_with(V5, (2, 1), b"city/a", &[0x23, 0, 1], b"x"), 0x94),
        ("an unknown property", publish_with(V5, (2, 1), b"city/a", &[0x7e, 0], b"x"), 0x81),
        ("identifier 0", publish(V5, "city/a", b"x", 1, 0), 0x81),
        ("QoS 3", publish_with(V5, (6, 1), b"city/a", &[], b"x"), 0x81),
        ("a topic longer than its packet", frame(0x32, &[0, 200, b'a']), 0x81),
        ("wrong flags", vec![0x60, 2, 0, 1], 0x81),
        ("a second CONNECT", connect(V5, "a", true), 0x82),
        ("a packet for clients", vec![0x20, 2, 0, 0], 0x82),
    ];
    for (what, bytes, reason) in cases {
        let mut bench = Bench::new();
        let (mut peer, _) = bench.connect(V5, "a", true).await;
        peer.send(&bytes).await;
        assert_eq!(peer.closed().await, Some(reason), "{what}");
        assert_eq!(bench.broker.stats().faults, 1, "{what}");
        bench.no_group().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_before_wrong_bytes_is_stored_and_acknowledged() {
    let mut bench = Bench::new();
    let (mut peer, _) = bench.connect(V5, "a", true).await;
    peer.send(&[publish(V5, "city/air", b"1", 1, 1), vec![0x00, 0x00]].concat()).await;
    assert_eq!(payloads(&bench.store().await), ["1"]);
    assert_eq!(peer.packet().await, ack(0x40, 1));
    assert_eq!(peer.closed().await, Some(0x82));
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_closed_after_one_and_a_half_keep_alives_and_a_pinging_one_is_not() {
    let bench = Bench::new();
    let (mut silent, _) = bench.connect(V5, "a", true).await;
    let (mut alive, _) = bench.connect(V5, "b", true).await;
    for _ in 0..3 {
        advance(Duration::from_secs(29)).await;
        alive.send(&[0xc0, 0]).await;
        assert_eq!(alive.packet().await, [0xd0, 0]);
    }
    assert_eq!(bench.broker.stats().keep_alive_timeouts, 0, "87 of 90 seconds");
    advance(Duration::from_secs(4)).await;
    assert_eq!(silent.closed().await, Some(0x8d));
    alive.send(&[0xc0, 0]).await;
    assert_eq!(alive.packet().await, [0xd0, 0]);
    assert_eq!(bench.broker.stats().keep_alive_timeouts, 1);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_log_is_not_silence_of_the_client() {
    let mut bench = Bench::with(|c| c.window_messages = 1);
    let (mut peer, _) = bench.connect(V5, "a", true).await;
    peer.publish("city/air", b"1", 1, 1).await;
    let (_, answer) = bench.group().await;
    for _ in 0..60 {
        advance(Duration::from_secs(10)).await;
    }
    answer.send(Ok(1)).unwrap();
    assert_eq!(peer.packet().await, ack(0x40, 1));
    peer.send(&[0xc0, 0]).await;
    assert_eq!(peer.packet().await, [0xd0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_stranger_that_says_nothing_is_closed() {
    let bench = Bench::new();
    let mut peer = bench.dial();
    advance(Duration::from_secs(11)).await;
    assert_eq!(peer.closed().await, None);
}

async fn answer_to(bench: &Bench, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut peer = bench.dial();
    peer.send(bytes).await;
    peer.try_packet().await
}

#[tokio::test(start_paused = true)]
async fn refused_connects_get_the_code_of_their_version() {
    let bench = Bench::new();
    let wrong_password = |version: Version| {
        let mut bytes = connect(version, "a", true);
        *bytes.last_mut().unwrap() = b'!';
        bytes
    };
    let mut old = connect(V4, "a", true);
    old[8] = 3;
    let mut future = connect(V4, "a", true);
    future[8] = 6;
    let will = Some(("other/x", "gone"));
    let cases: [(&str, Vec<u8>, Option<Vec<u8>>); 9] = [
        ("3.1", old, Some(vec![0x20, 2, 0, 1])),
        ("a version to come", future, Some(vec![0x20, 3, 0, 0x84, 0])),
        ("password, 3.1.1", wrong_password(V4), Some(vec![0x20, 2, 0, 4])),
        ("password, 5.0", wrong_password(V5), Some(vec![0x20, 3, 0, 0x86, 0])),
        ("no identifier for a lasting session", connect(V4, "", false), Some(vec![0x20, 2, 0, 2])),
        ("a will without right, 3.1.1", connect_as(V4, "a", true, "u", will), Some(vec![0x20, 2, 0, 5])),
        ("a will without right, 5.0", connect_as(V5, "a", true, "u", will), Some(vec![0x20, 3, 0, 0x87, 0])),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), None),
        ("not CONNECT first", publish(V4, "city/a", b"x", 0, 0), None),
    ];
    for (what, bytes, expected) in cases {
        assert_eq!(answer_to(&bench, &bytes).await, expected, "{what}");
    }
    assert_eq!(bench.broker.stats().refused_logins, 2);
    assert_eq!(bench.broker.stats().connections_total, 0);
}

#[tokio::test(start_paused = true)]
async fn mqtt_5_is_told_the_limits_and_its_assigned_identifier() {
    let bench = Bench::with(|c| c.window_messages = 1_000);
    let ack = answer_to(&bench, &connect(V5, "", true)).await.unwrap();
    let has = |property: &[u8]| ack.windows(property.len()).any(|w| w == property);
    assert!(has(&[0x21, 0x03, 0xe8]), "Receive Maximum 1000");
    assert!(has(&[0x27, 0, 4, 0, 0]), "Maximum Packet Size 256 KiB");
    assert!(has(&[0x22, 0, 0]), "Topic Alias Maximum 0");
    assert!(has(&[0x25, 1]), "Retain Available");
    assert!(has(&[0x2a, 0]), "no shared subscriptions");
    assert!(has(&[0x29, 0]), "no subscription identifiers");
    assert!(has(b"portico-"), "Assigned Client Identifier");
}

#[tokio::test(start_paused = true)]
async fn more_unreleased_qos_2_messages_than_the_receive_maximum_end_the_connection() {
    let mut bench = Bench::with(|c| c.window_messages = 2);
    let (mut peer, _) = bench.connect(V5, "a", true).await;
    for id in 1..=2 {
        peer.publish("city/a", b"x", 2, id).await;
        bench.store().await;
        assert_eq!(peer.packet().await, ack(0x50, id));
    }
    peer.publish("city/a", b"x", 2, 3).await;
    assert_eq!(peer.closed().await, Some(0x93));
}
