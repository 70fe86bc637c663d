use super::*;
use crate::lorawan::tests::fixture;
use proptest::prelude::*;

const GATEWAY: Eui = Eui(0xaa55_5a00_0000_0101);

#[test]
fn the_three_frames_of_the_specification_are_read_in_mixed_base64() {
    let bytes = fixture("gwmp/push_data_spec_3rxpk.bin");
    let packet = read(&bytes).unwrap();
    assert_eq!((packet.version, packet.token, packet.kind, packet.gateway), (2, [0x12, 0x34], Kind::PushData, GATEWAY));
    assert_eq!(acknowledge(&packet).unwrap().to_vec(), fixture("gwmp/push_ack.bin"));
    let pushed = pushed(packet.gateway, packet.body).unwrap();
    assert!(pushed.faults.is_empty(), "{:?}", pushed.faults);
    let seen: Vec<_> = pushed.frames.iter().map(|f| (f.phy.len(), f.frequency_hz.unwrap(), f.rssi.unwrap(), f.snr, f.channel)).collect();
    let wanted = [
        (32, 866_349_812, -35.0, Some(5.1), Some(2)),
        (16, 869_100_000, -75.0, None, Some(9)),
        (32, 863_009_810, -38.0, Some(5.5), Some(0)),
    ];
    assert_eq!(seen, wanted);
    assert_eq!(pushed.frames[0].phy[..2], [0xf8, 0x34]);
    assert_eq!(pushed.frames[1].phy[..], b"TEST_PACKET_1234"[..]);
    assert_eq!(pushed.frames[1].modulation, Some(Modulation::Fsk { bits_per_second: 50_000 }));
    assert_eq!(pushed.frames[2].modulation, Some(Modulation::Lora { spreading_factor: 10, bandwidth_hz: 125_000 }));
    assert_eq!(pushed.frames[0].time.unwrap().to_rfc3339(), "2013-03-31T16:21:17.528002Z");
    assert_eq!(pushed.frames[0].answer_at, Some(AnswerAt::Tmst(3_512_348_611)));
}

#[test]
fn the_other_fixtures_are_what_they_are() {
    let bytes = fixture("gwmp/push_data_stat.bin");
    let status = pushed(GATEWAY, read(&bytes).unwrap().body).unwrap();
    assert_eq!((status.frames.len(), status.position), (0, Some(Position { lat: 46.24, lon: 3.2523, alt: Some(145.0) })));
    let bytes = fixture("gwmp/pull_data.bin");
    let packet = read(&bytes).unwrap();
    assert_eq!((packet.kind, acknowledge(&packet).unwrap().to_vec()), (Kind::PullData, fixture("gwmp/pull_ack.bin")));
    let bytes = fixture("gwmp/tx_ack_empty.bin");
    let packet = read(&bytes).unwrap();
    assert_eq!((packet.kind, acknowledge(&packet), transmitted(packet.body)), (Kind::TxAck, None, Ok(())));
    assert_eq!(transmitted(read(&fixture("gwmp/tx_ack_error.bin")).unwrap().body), Err("COLLISION_PACKET".into()));
    for server in ["push_ack", "pull_ack", "pull_resp"] {
        let bytes = fixture(&format!("gwmp/{server}.bin"));
        assert!(read(&bytes).is_err(), "{server} is a server's");
    }
    // The shape of a PULL_RESP is the specification's.
    let ours = pull_resp(2, 0x1234, &Txpk::new(&[1; 32], 7, 868_100_000, Modulation::of_data_rate(5).unwrap(), 14));
    let theirs = fixture("gwmp/pull_resp.bin");
    assert_eq!(ours[..4], theirs[..4]);
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(&bytes[4..]).unwrap()["txpk"].clone();
    let (ours, theirs) = (read(&ours), read(&theirs));
    for (key, value) in theirs.as_object().unwrap() {
        assert_eq!(std::mem::discriminant(value), std::mem::discriminant(&ours[key]), "{key}");
    }
    let theirs: Txpk = serde_json::from_value(theirs).unwrap();
    assert_eq!((theirs.freq, theirs.size, base64(&theirs.data).unwrap().len()), (864.123_456, 32, 32));
    assert_eq!((ours["freq"].to_string(), ours["ipol"].as_bool()), ("868.1".into(), Some(true)));
    assert_eq!(pull_resp(1, 0x1234, &theirs)[..4], [1, 0, 0, 3]);
}

#[test]
fn one_wrong_frame_does_not_take_the_others_with_it() {
    let body = br#"{"rxpk":[
        {"data":"AQID","size":3,"rsig":[{"ant":0,"rssic":-90,"lsnr":2.0},{"ant":1,"rssic":-80,"lsnr":7.0}],"tmms":1393488018000},
        {"data":"AQID","size":4}, {"data":"?"}, {"data":""}, {"size":1}, 7, {"data":"AQID","stat":-1}, {"data":"AQID","time":"soon"}],
        "stat":{"lati":"north"}, "other":[]}"#;
    let pushed = pushed(GATEWAY, body).unwrap();
    assert_eq!((pushed.frames.len(), pushed.crc_failed, pushed.faults.len(), pushed.position), (2, 1, 5, None));
    assert_eq!((pushed.frames[0].rssi, pushed.frames[0].snr), (Some(-80.0), Some(7.0)));
    assert_eq!(pushed.frames[0].time.unwrap().to_rfc3339(), "2024-03-03T08:00:00Z");
    assert!(pushed.faults[0].starts_with("rxpk[1]: size says 4"), "{:?}", pushed.faults);
    assert_eq!(pushed.frames[1].time, None);
    let many = format!("{{\"rxpk\":[{}1]}}", "1,".repeat(64));
    assert!(super::pushed(GATEWAY, many.as_bytes()).unwrap_err().contains("limit is 64"));
}

#[test]
fn truncated_and_foreign_packets_are_refused_in_words() {
    let whole = fixture("gwmp/push_data_spec_3rxpk.bin");
    for n in 0..12 {
        assert!(read(&whole[..n]).unwrap_err().contains("12 at least"));
    }
    for n in 12..whole.len() {
        let packet = read(&whole[..n]).unwrap();
        assert!(pushed(packet.gateway, packet.body).is_err(), "{n} bytes");
    }
    let with = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        read(&bytes).map(|p| p.kind)
    };
    assert!(with(0, 3).unwrap_err().contains("version 3"));
    assert!(with(3, 9).unwrap_err().contains("kind 9"));
    assert_eq!(with(0, 1), Ok(Kind::PushData));
    let mut v1 = fixture("gwmp/tx_ack_empty.bin");
    v1[0] = 1;
    assert!(read(&v1).is_err(), "version 1 has no TX_ACK");
    for (body, said) in
        [("", Ok(())), ("\0", Ok(())), (r#"{"txpk_ack":{"error":"NONE"}}"#, Ok(())), (r#"{"txpk_ack":{"warn":"TX_POWER"}}"#, Ok(()))]
    {
        assert_eq!(transmitted(body.as_bytes()), said);
    }
    assert!(transmitted(b"[").is_err());
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        if let Ok(packet) = read(&bytes) {
            let _ = (pushed(packet.gateway, packet.body), transmitted(packet.body));
        }
        let _ = (pushed(GATEWAY, &bytes), transmitted(&bytes));
    }

    #[test]
    fn no_mutated_fixture_panics(at in 0_usize..700, byte: u8, cut in 0_usize..700) {
        for name in ["push_data_spec_3rxpk", "push_data_stat", "tx_ack_error", "pull_data"] {
            let mut bytes = fixture(&format!("gwmp/{name}.bin"));
            let n = bytes.len();
            bytes[at % n] = byte;
            bytes.truncate(n.saturating_sub(cut / 4));
            if let Ok(packet) = read(&bytes) {
                let _ = (pushed(packet.gateway, packet.body), transmitted(packet.body));
            }
        }
    }
}
