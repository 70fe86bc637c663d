//! Client identifiers, takeover, wills.

use super::harness::*;

#[tokio::test(start_paused = true)]
async fn the_session_present_flag_is_honest() {
    for version in [V4, V5] {
        let bench = Bench::new();
        let (mut peer, present) = bench.connect(version, "a", false).await;
        assert!(!present);
        peer.send(&[0xe0, 0]).await;
        assert_eq!(peer.closed().await, None);
        let (mut peer, present) = bench.connect(version, "a", false).await;
        assert!(present);
        peer.send(&[0xe0, 0]).await;
        assert_eq!(peer.closed().await, None);
        let (mut peer, present) = bench.connect(version, "a", true).await;
        assert!(!present);
        peer.send(&[0xe0, 0]).await;
        assert_eq!(peer.closed().await, None);
        let (_, present) = bench.connect(version, "a", false).await;
        assert!(!present, "a clean session leaves nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_identifier_takes_over_and_inherits_what_is_durable() {
    let mut bench = Bench::new();
    let (mut old, _) = bench.connect(V5, "a", false).await;
    old.publish("city/a", b"1", 2, 1).await;
    let (_, first) = bench.group().await;
    old.publish("city/a", b"2", 2, 2).await;
    let second = bench.group().await;
    let mut new = bench.dial();
    new.send(&connect(V5, "a", false)).await;
    new.quiet().await;
    // The new connection waits until it is known what became of the old one's messages.
    first.send(Ok(1)).unwrap();
    drop(second);
    assert_eq!(old.packet().await, ack(0x50, 1));
    assert_eq!(old.closed().await, Some(0x80), "the second was lost by the log, and that is what the old connection is told");
    let welcome = new.packet().await;
    assert_eq!((welcome[2], welcome[3]), (1, 0));
    new.send(&publish_with(V5, (0b1100, 1), b"city/a", &[], b"1")).await;
    assert_eq!(new.packet().await, ack(0x50, 1));
    bench.no_group().await;
    new.send(&publish_with(V5, (0b1100, 2), b"city/a", &[], b"2")).await;
    assert_eq!(payloads(&bench.store().await), ["2"]);
    assert_eq!(bench.broker.stats().takeovers, 1);
}

#[tokio::test(start_paused = true)]
async fn identifiers_of_different_users_do_not_meet() {
    let bench = Bench::new();
    let (mut first, _) = bench.connect(V4, "a", true).await;
    let mut other = bench.dial();
    other.send(&connect_as(V4, "a", true, "v", None)).await;
    assert_eq!(other.packet().await, [0x20, 2, 0, 0]);
    first.send(&[0xc0, 0]).await;
    assert_eq!(first.packet().await, [0xd0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_will_is_stored_unless_the_client_says_goodbye() {
    for version in [V4, V5] {
        let mut bench = Bench::new();
        let dial = async |bench: &Bench| {
            let mut peer = bench.dial();
            peer.send(&connect_as(version, "a", true, "u", Some(("city/will", "gone")))).await;
            assert_eq!(peer.packet().await[3], 0);
            peer
        };
        let mut polite = dial(&bench).await;
        polite.send(&[0xe0, 0]).await;
        assert_eq!(polite.closed().await, None);
        bench.no_group().await;
        drop(dial(&bench).await);
        let group = bench.store().await;
        assert_eq!((payloads(&group), &group.messages[0].topic[..]), (vec!["gone".to_owned()], &b"city/will"[..]));
    }
    let mut bench = Bench::new();
    let mut peer = bench.dial();
    peer.send(&connect_as(V5, "a", true, "u", Some(("city/will", "all the same")))).await;
    peer.packet().await;
    peer.send(&[0xe0, 1, 4]).await;
    assert_eq!(payloads(&bench.store().await), ["all the same"]);
}

#[tokio::test(start_paused = true)]
async fn a_session_cannot_be_prolonged_by_disconnect() {
    let bench = Bench::new();
    let (mut peer, _) = bench.connect(V5, "a", true).await;
    peer.send(&[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 9]).await;
    assert_eq!(peer.closed().await, Some(0x82));
    let (mut peer, _) = bench.connect(V5, "a", false).await;
    peer.send(&[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 0]).await;
    assert_eq!(peer.closed().await, None);
    let (_, present) = bench.connect(V5, "a", false).await;
    assert!(!present, "shortened to nothing");
}
