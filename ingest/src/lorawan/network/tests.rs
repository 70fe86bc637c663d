use super::*;
use crate::lorawan::{
    radio::{AnswerAt, Reception},
    tests::sim::{self, ABP_EUI, OTAA_EUI, SimDevice},
};
use bytes::Bytes;
use lrwn::{FCtrl, FType, MACCommand};
use proptest::prelude::*;

const SECOND: i64 = 1_000_000;
const NOW: Timestamp = Timestamp(1_709_452_800 * SECOND);

fn network(events: &[Event]) -> Network {
    Network::new(Registry::parse("d.toml", &sim::registry()).unwrap(), events, 0, 7)
}

fn heard(phy: Vec<u8>) -> Heard {
    let phy = Bytes::from(phy);
    let reception = Reception {
        gateway: Eui(1),
        phy: phy.clone(),
        time: None,
        frequency_hz: Some(868_100_000),
        modulation: Modulation::of_data_rate(5),
        channel: None,
        rssi: Some(-60.0),
        snr: Some(9.5),
        position: None,
        answer_at: Some(AnswerAt::Tmst(1)),
    };
    Heard { phy, first_at: NOW, receptions: vec![reception] }
}

fn judge(network: &mut Network, phy: &[u8], at: Timestamp) -> Judged {
    network.judge(&heard(phy.to_vec()), Some(0), at)
}

/// The counter and data of an accepted uplink, or why it is not trusted.
fn told(judged: &Judged) -> Result<(u64, String), &'static str> {
    match &judged.verdict {
        Verdict::Uplink(message) => {
            let document: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
            Ok((document["f_cnt"].as_u64().unwrap(), document["data"].as_str().unwrap().to_owned()))
        }
        Verdict::Distrusted { why, .. } => Err(why.code()),
        Verdict::Repeated => Err("repeated"),
        Verdict::MacOnly => Err("mac only"),
        Verdict::Joined => Err("joined"),
        Verdict::NoRoute => Err("no route"),
    }
}

/// Found by fuzzing: the library's reader of commands overflows on a margin of 128 and more.
#[test]
fn commands_of_a_device_are_walked_and_never_trusted() {
    for (f_opts, asks) in [
        (&[0x06, 0x52, 0xb6][..], false),
        (&[0x06, 0x52, 0xb6, 0x02], true),
        (&[0x03, 0x07, 0x02], true),
        (&[0x02], true),
        (&[0x03, 0x02], false),
        (&[0x80, 0x02], false),
        (&[0x06, 0x02], false),
        (&[], false),
    ] {
        let mut network = network(&[]);
        let mut phy = vec![0x40, 0x04, 0x03, 0x02, 0x01, f_opts.len() as u8, 0, 0];
        phy.extend(f_opts);
        phy.extend([0; 4]);
        let mut phy = lrwn::PhyPayload::from_slice(&phy).unwrap();
        let key = lrwn::AES128Key::from_bytes([0x11; 16]);
        phy.set_uplink_data_mic(lrwn::MACVersion::LoRaWAN1_0, 0, 0, 0, &key, &key).unwrap();
        let judged = judge(&mut network, &phy.to_vec().unwrap(), NOW);
        assert_eq!((&judged.verdict, judged.answer.is_some()), (&Verdict::MacOnly, asks), "{f_opts:02x?}");
    }
}

#[test]
fn counters_roll_over_at_16_bits_and_replays_are_told() {
    let mut network = network(&[]);
    let mut device = SimDevice::abp();
    let mut frames = Vec::new();
    for f_cnt in [0, 1, 7, 40_000, 65_534, 65_535, 65_536, 65_537, 131_071, 131_072] {
        device.f_cnt = f_cnt;
        frames.push(device.up(3, &f_cnt.to_be_bytes()));
        let said = told(&judge(&mut network, frames.last().unwrap(), NOW));
        assert_eq!(said, Ok((u64::from(f_cnt), crate::lorawan::text::hex(&f_cnt.to_be_bytes()))));
    }
    let later = Timestamp(NOW.0 + 3_600 * SECOND);
    for (i, frame) in frames.iter().enumerate() {
        let wanted = if i < 6 { Err("bad_mic") } else { Err("replayed") };
        let said = told(&judge(&mut network, frame, later));
        // Before the last roll-over the full counter of a replay can still be found; two roll-overs ago its MIC fits nothing.
        assert!(said == wanted || said == Err("replayed"), "{i}: {said:?}");
    }
    assert!(
        matches!(judge(&mut network, frames.last().unwrap(), later).verdict, Verdict::Distrusted { field: Some("f_cnt"), ref message, .. } if message.contains("counter_reset"))
    );
}

#[test]
fn a_restart_forgets_no_counter_and_a_crash_before_the_write_none_either() {
    let mut first = network(&[]);
    let mut device = SimDevice::abp();
    let (a, b) = (device.up(1, &[1]), device.up(1, &[2]));
    let events = judge(&mut first, &a, NOW).events;
    assert_eq!(events, [Event::Up { dev_eui: ABP_EUI, session: crate::lorawan::state::ABP, f_cnt: 0 }]);
    let mut again = network(&events);
    assert_eq!(told(&judge(&mut again, &a, NOW)), Err("replayed"));
    assert_eq!(told(&judge(&mut again, &b, NOW)), Ok((1, "02".into())));
    // The event of `b` was not written: nothing followed from it, so `b` is new after the crash.
    assert_eq!(told(&judge(&mut network(&events), &b, NOW)), Ok((1, "02".into())));
    // The owner forgets the counter of a device that starts again from 0.
    let reset = Registry::parse("d.toml", &format!("{}counter_reset=1\n", sim::registry())).unwrap();
    again.set_registry(reset);
    assert_eq!(told(&judge(&mut again, &a, NOW)), Ok((0, "01".into())));
}

#[test]
fn a_repetition_is_counted_and_a_confirmed_one_is_answered_again() {
    let mut network = network(&[]);
    let mut device = SimDevice::abp();
    let frame = device.confirmed(1, &[1]);
    let first = judge(&mut network, &frame, NOW);
    let down = device.hear(&first.answer.unwrap().phy);
    assert_eq!((down.ack, down.f_cnt, down.payload, first.events.len()), (true, 0, None, 2));
    let late_copy = judge(&mut network, &frame, Timestamp(NOW.0 + SECOND / 2));
    assert_eq!((told(&late_copy), late_copy.answer), (Err("repeated"), None));
    let again = judge(&mut network, &frame, Timestamp(NOW.0 + 3 * SECOND));
    assert_eq!((told(&again), device.hear(&again.answer.unwrap().phy).f_cnt), (Err("repeated"), 1));
    assert_eq!(told(&judge(&mut network, &frame, Timestamp(NOW.0 + 61 * SECOND))), Err("replayed"));
    // Without a gateway that can be reached nothing is promised and no counter is used.
    let unreachable = network.judge(&heard(device.confirmed(1, &[2])), None, NOW);
    assert_eq!((told(&unreachable), unreachable.answer, unreachable.events.len()), (Ok((1, "02".into())), None, 1));
}

#[test]
fn adr_is_left_alone_but_a_question_is_answered() {
    let mut network = network(&[]);
    let mut device = SimDevice::abp();
    let adr = FCtrl { adr: true, ..FCtrl::default() };
    let frame = device.frame(FType::UnconfirmedDataUp, adr.clone(), Vec::new(), Some((1, &[1])));
    assert_eq!(judge(&mut network, &frame, NOW).answer, None);
    let asks = FCtrl { adr_ack_req: true, ..adr };
    let frame = device.frame(FType::UnconfirmedDataUp, asks, vec![MACCommand::LinkCheckReq], None);
    let judged = judge(&mut network, &frame, NOW);
    assert_eq!(told(&judged), Err("mac only"));
    let down = device.hear(&judged.answer.unwrap().phy);
    let wanted = MACCommand::LinkCheckAns(lrwn::LinkCheckAnsPayload { margin: 17, gw_cnt: 1 });
    assert_eq!((down.ack, down.commands), (false, vec![wanted]));
}

#[test]
fn a_device_joins_with_a_new_nonce_each_time_and_its_old_session_lasts_until_the_new_one_is_used() {
    let mut net = network(&[]);
    let mut events = Vec::new();
    let mut join = |net: &mut Network, nonce| {
        let judged = judge(net, &sim::join_request(nonce), NOW);
        events.extend(judged.events.clone());
        sim::joined(&judged.answer.unwrap().phy, nonce)
    };
    let mut old = join(&mut net, 1);
    assert_eq!(told(&judge(&mut net, &old.up(1, &[1]), NOW)), Ok((0, "01".into())));
    let mut new = join(&mut net, 2);
    assert_ne!(old.dev_addr, new.dev_addr);
    assert_eq!(told(&judge(&mut net, &old.up(1, &[2]), NOW)), Ok((1, "02".into())), "the accept was lost on its way");
    assert_eq!(told(&judge(&mut net, &new.up(1, &[3]), NOW)), Ok((0, "03".into())));
    assert_eq!(told(&judge(&mut net, &old.up(1, &[4]), NOW)), Err("unknown_device"));
    // The same request again: a repetition at first, a replay later, and after a restart at once.
    assert_eq!(told(&judge(&mut net, &sim::join_request(2), NOW)), Err("repeated"));
    let later = Timestamp(NOW.0 + 61 * SECOND);
    assert_eq!(told(&judge(&mut net, &sim::join_request(2), later)), Err("replayed"));
    let mut again = network(&events);
    assert_eq!(told(&judge(&mut again, &sim::join_request(1), NOW)), Err("replayed"));
    // Joins have other numbers after the restart too, and nobody is answered twice with one.
    let judged = judge(&mut again, &sim::join_request(3), NOW);
    assert!(matches!(judged.events[..], [Event::Joined { join_nonce: 3, dev_nonce: 3, .. }]), "{:?}", judged.events);
}

#[test]
fn what_no_key_fits_is_told_apart() {
    let mut network = network(&[]);
    let mut device = SimDevice::abp();
    let mut altered = device.up(1, &[1]);
    *altered.last_mut().unwrap() ^= 1;
    assert_eq!(told(&judge(&mut network, &altered, NOW)), Err("bad_mic"));
    device.dev_addr += 1;
    assert_eq!(told(&judge(&mut network, &device.up(1, &[1]), NOW)), Err("unknown_device"));
    let mut join = sim::join_request(5);
    join[22] ^= 1;
    assert_eq!(told(&judge(&mut network, &join, NOW)), Err("bad_mic"));
    join[2] ^= 1;
    assert_eq!(told(&judge(&mut network, &join, NOW)), Err("unknown_device"), "another join server");
    assert_eq!(told(&judge(&mut network, b"TEST_PACKET_1234", NOW)), Err("not_lorawan"));
    assert_eq!(told(&network.judge(&heard(sim::join_request(6)), None, NOW)), Err("no route"));
    assert_eq!(told(&judge(&mut network, &sim::join_request(6), NOW)), Err("joined"), "the nonce was not used up");
    assert_eq!(network.registry.get(OTAA_EUI).unwrap().name.as_deref(), Some("bin 12"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_order_and_number_of_copies_accepts_each_frame_once_at_most(order in prop::collection::vec(0_usize..12, 1..60)) {
        let mut device = SimDevice::abp();
        device.f_cnt = 65_530;
        let frames: Vec<_> = (0..12_u8).map(|i| device.up(1, &[i])).collect();
        let mut net = network(&[Event::Up { dev_eui: ABP_EUI, session: crate::lorawan::state::ABP, f_cnt: 65_529 }]);
        let mut accepted = Vec::new();
        for i in order {
            if let Ok((f_cnt, _)) = told(&judge(&mut net, &frames[i], NOW)) {
                accepted.push(f_cnt);
            }
        }
        let mut sorted = accepted.clone();
        sorted.sort_unstable();
        sorted.dedup();
        prop_assert_eq!(accepted, sorted);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        judge(&mut network(&[]), &bytes, NOW);
    }
}
