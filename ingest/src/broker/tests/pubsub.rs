//! Subscriptions, retained messages, deliveries.

use super::harness::*;
use crate::broker::wire::Version;

async fn subscriber(bench: &Bench, version: Version, filter: &str, options: u8) -> Peer {
    let (mut peer, _) = bench.connect(version, &format!("sub-{filter}-{options}"), true).await;
    peer.send(&subscribe(version, 1, &[(filter, options)])).await;
    let granted = if version == V5 { vec![0x90, 4, 0, 1, 0, 0] } else { vec![0x90, 3, 0, 1, 0] };
    assert_eq!(peer.packet().await, granted);
    peer
}

#[tokio::test(start_paused = true)]
async fn subscribers_get_a_message_when_it_is_durable_and_at_qos_0() {
    let mut bench = Bench::new();
    let (mut sender, _) = bench.connect(V5, "sender", true).await;
    let mut four = subscriber(&bench, V4, "city/+/air", 1).await;
    let mut five = subscriber(&bench, V5, "city/#", 2).await;
    let user_property = [0x26, 0, 1, b'k', 0, 1, b'v'];
    sender.send(&publish_with(V5, (2, 1), b"city/1/air", &user_property, b"x")).await;
    let (_, answer) = bench.group().await;
    four.quiet().await;
    answer.send(Ok(1)).unwrap();
    assert_eq!(four.packet().await, publish(V4, "city/1/air", b"x", 0, 0));
    assert_eq!(five.packet().await, publish_with(V5, (0, 0), b"city/1/air", &user_property, b"x"));
    sender.publish("city/1/noise", b"y", 0, 0).await;
    bench.store().await;
    assert_eq!(five.packet().await, publish(V5, "city/1/noise", b"y", 0, 0));
    four.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn subscriptions_are_granted_by_right_and_refused_with_the_reason() {
    let bench = Bench::with(|c| c.subscriptions_per_client_max = 2);
    let filters = [("city/a", 0), ("#", 0), ("city/#/x", 0), ("$share/g/city/#", 0), ("city/b", 0), ("city/c", 0)];
    let (mut peer, _) = bench.connect(V5, "a", true).await;
    peer.send(&subscribe(V5, 1, &filters)).await;
    assert_eq!(peer.packet().await, [0x90, 9, 0, 1, 0, 0, 0x87, 0x8f, 0x9e, 0, 0x97]);
    let (mut peer, _) = bench.connect(V4, "b", true).await;
    peer.send(&subscribe(V4, 1, &filters)).await;
    assert_eq!(peer.packet().await, [0x90, 8, 0, 1, 0, 0x80, 0x80, 0x80, 0, 0x80]);
    assert_eq!(bench.broker.stats().subscriptions, 4);
    peer.send(&frame(0xa2, &[&[0, 2][..], &text("city/a"), &text("city/x")].concat())).await;
    assert_eq!(peer.packet().await, ack(0xb0, 2));
    assert_eq!(bench.broker.stats().subscriptions, 3);
    let mut stranger = bench.dial();
    stranger.send(&connect_as(V4, "n", true, "nobody", None)).await;
    stranger.packet().await;
    stranger.send(&subscribe(V4, 1, &[("city/a", 0)])).await;
    assert_eq!(stranger.packet().await, [0x90, 3, 0, 1, 0x80]);
}

#[tokio::test(start_paused = true)]
async fn unsubscribe_tells_5_what_existed_and_ends_deliveries() {
    let mut bench = Bench::new();
    let mut peer = subscriber(&bench, V5, "city/a", 0).await;
    peer.send(&frame(0xa2, &[&[0, 2, 0][..], &text("city/a"), &text("city/b")].concat())).await;
    assert_eq!(peer.packet().await, [0xb0, 5, 0, 2, 0, 0, 0x11]);
    peer.publish("city/a", b"x", 0, 0).await;
    bench.store().await;
    peer.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn the_last_retained_message_greets_new_subscribers() {
    let mut bench = Bench::new();
    let (mut sender, _) = bench.connect(V5, "sender", true).await;
    for payload in ["1", "2"] {
        sender.send(&publish_with(V5, (3, 1), b"city/a", &[], payload.as_bytes())).await;
        bench.store().await;
        sender.packet().await;
    }
    let retained = publish_with(V4, (1, 0), b"city/a", &[], b"2");
    let mut four = subscriber(&bench, V4, "city/#", 0).await;
    assert_eq!(four.packet().await, retained);
    let mut never = subscriber(&bench, V5, "city/+", 0x20).await;
    never.quiet().await;
    // Live, the flag is only kept for those who ask for it as published.
    let mut as_published = subscriber(&bench, V5, "city/a", 0x28).await;
    sender.send(&publish_with(V5, (1, 0), b"city/a", &[], b"3")).await;
    bench.store().await;
    assert_eq!(four.packet().await, publish(V4, "city/a", b"3", 0, 0));
    assert_eq!(never.packet().await, publish(V5, "city/a", b"3", 0, 0));
    assert_eq!(as_published.packet().await, publish_with(V5, (1, 0), b"city/a", &[], b"3"));
    // An empty payload removes it.
    sender.send(&publish_with(V5, (1, 0), b"city/a", &[], b"")).await;
    bench.store().await;
    four.packet().await;
    assert_eq!(bench.broker.stats().retained, 0);
    let mut late = subscriber(&bench, V4, "city/a", 0).await;
    late.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn retained_messages_expire_and_are_bounded() {
    let mut bench = Bench::with(|c| c.retained_count_max = 1);
    let (mut sender, _) = bench.connect(V5, "sender", true).await;
    sender.send(&publish_with(V5, (1, 0), b"city/a", &[2, 0, 0, 0, 100], b"x")).await;
    bench.store().await;
    sender.send(&publish_with(V5, (1, 0), b"city/b", &[], b"y")).await;
    bench.store().await;
    tokio::time::advance(std::time::Duration::from_secs(40)).await;
    let mut peer = subscriber(&bench, V5, "city/#", 0).await;
    let got = peer.packet().await;
    assert!(matches!(got[12..16], [0, 0, 0, 58..=60]), "40 to 42 of 100 seconds are gone: {got:?}");
    peer.quiet().await;
    assert_eq!(bench.broker.stats().dropped_retained, 1);
    tokio::time::advance(std::time::Duration::from_secs(50)).await;
    let (mut late, _) = bench.connect(V5, "late", true).await;
    tokio::time::advance(std::time::Duration::from_secs(20)).await;
    late.send(&subscribe(V5, 1, &[("city/#", 0)])).await;
    late.packet().await;
    late.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn overlapping_filters_give_one_copy_and_no_local_none() {
    let mut bench = Bench::new();
    let (mut peer, _) = bench.connect(V5, "a", true).await;
    peer.send(&subscribe(V5, 1, &[("city/#", 0), ("city/a", 0), ("city/+", 4)])).await;
    peer.packet().await;
    peer.publish("city/a", b"x", 0, 0).await;
    bench.store().await;
    assert_eq!(peer.packet().await, publish(V5, "city/a", b"x", 0, 0));
    peer.quiet().await;
    let mut alone = subscriber(&bench, V5, "city/b", 4).await;
    alone.publish("city/b", b"x", 0, 0).await;
    bench.store().await;
    alone.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_subscriber_loses_messages_and_nobody_waits_for_it() {
    let mut bench = Bench::with(|c| c.subscriber_queue_bytes = 64 << 10);
    // Never reads again: a stream of 1 MiB, a quarter MiB waiting to be written and the queue are what it can hold up.
    let _slow = subscriber(&bench, V4, "city/#", 0).await;
    let (mut sender, _) = bench.connect(V4, "sender", true).await;
    let payload = vec![b'x'; 10_000];
    for id in 1..=300 {
        sender.publish("city/a", &payload, 1, id).await;
        bench.store().await;
        assert_eq!(sender.packet().await, ack(0x40, id));
    }
    let stats = bench.broker.stats();
    assert_eq!(stats.deliveries + stats.dropped_deliveries, 300);
    assert!((100..=200).contains(&stats.dropped_deliveries), "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lasting_session_keeps_its_subscriptions() {
    let mut bench = Bench::new();
    let (mut peer, _) = bench.connect(V4, "a", false).await;
    peer.send(&subscribe(V4, 1, &[("city/a", 0)])).await;
    peer.packet().await;
    peer.send(&[0xe0, 0]).await;
    assert_eq!(peer.closed().await, None);
    assert_eq!(bench.broker.stats().subscriptions, 0);
    let (mut peer, present) = bench.connect(V4, "a", false).await;
    assert!(present);
    peer.publish("city/a", b"x", 0, 0).await;
    bench.store().await;
    assert_eq!(peer.packet().await, publish(V4, "city/a", b"x", 0, 0));
}
