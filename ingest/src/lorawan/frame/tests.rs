use super::*;
use crate::lorawan::{
    tests::{fixture, sim},
    text::{base64, hex, unhex},
};
use lrwn::AES128Key;
use proptest::prelude::*;
use serde_json::Value;

fn key(text: &Value) -> Key {
    Key(AES128Key::from_slice(&unhex(text.as_str().unwrap()).unwrap()).unwrap())
}

fn vectors() -> Vec<(Value, Vec<u8>)> {
    let all: Vec<Value> = serde_json::from_slice(&fixture("lorawan_phy/vectors.json")).unwrap();
    let bytes = |v: &Value| v["phy_hex"].as_str().map_or_else(|| base64(v["phy_b64"].as_str().unwrap()), unhex).unwrap();
    all.into_iter().map(|v| (v.clone(), bytes(&v))).collect()
}

#[test]
fn the_vectors_are_read_verified_and_decrypted() {
    let mut kinds = Vec::new();
    for (vector, bytes) in vectors() {
        let kind = vector["kind"].as_str().unwrap();
        kinds.push(kind.to_owned());
        match (kind, read(&bytes)) {
            ("unconfirmed data up", Ok(Frame::Data(data))) => {
                assert_eq!((format!("{:08x}", data.dev_addr).as_str(), data.f_cnt, data.f_port), ("01ddd43e", 18, Some(1)));
                let keys = SessionKeys { nwk_s_key: key(&vector["app_s_key"]), app_s_key: key(&vector["app_s_key"]) };
                assert_eq!(data.decrypt(&keys, 18).map(|(port, plain)| (port, hex(&plain))), Some((1, "01".into())));
                assert!(!data.is_of(&keys, 18), "the network's key is another");
            }
            ("join request", Ok(Frame::Join(join))) if vector["app_key"].is_string() => {
                assert_eq!((join.join_eui, join.dev_eui, join.dev_nonce), (sim::JOIN_EUI, sim::OTAA_EUI, 771));
                assert!(join.is_of(&key(&vector["app_key"])));
                assert!(!join.is_of(&Key(AES128Key::from_bytes([0; 16]))));
            }
            ("join request", Ok(Frame::Join(join))) => assert_eq!(join.dev_eui, Eui(0x0004_a30b_001c_0216)),
            ("join accept with CFList", Err(rule)) => {
                assert!(rule.contains("downlink"), "{rule}");
                let mut phy = PhyPayload::from_slice(&bytes).unwrap();
                phy.decrypt_join_accept_payload(&key(&vector["app_key"]).0).unwrap();
                let Payload::JoinAccept(theirs) = &phy.payload else { panic!("not a join accept") };
                // Ours, made of the same settings, is theirs but for what the network chooses.
                let ours = JoinAccept {
                    join_nonce: theirs.join_nonce,
                    net_id: 0,
                    dev_addr: u32::from_be_bytes(theirs.devaddr.to_be_bytes()),
                    rx1_delay_secs: theirs.rx_delay,
                    rx2_dr: theirs.dl_settings.rx2_dr,
                };
                assert_eq!((ours.join_nonce, ours.dev_addr), (0x0d, 0x007f_f9f8));
                assert_eq!(ours.encode(&key(&vector["app_key"])).unwrap().len(), bytes.len());
                if theirs.cflist == Some(CFList::Channels(CFListChannels::new(EXTRA_CHANNELS_HZ))) {
                    assert_eq!(ours.encode(&key(&vector["app_key"])).unwrap(), bytes);
                }
            }
            (kind, Ok(Frame::Data(data))) if kind.starts_with("uplink with FOpts") => assert!(!data.asks_link_check()),
            (kind, Err(_)) if kind.contains("data down") => {}
            (kind, read) => panic!("{kind}: {read:?}"),
        }
    }
    assert_eq!(kinds.len(), 6);
}

#[test]
fn reserved_bits_and_lengths_are_looked_at() {
    let good = sim::SimDevice::abp().up(1, &[1]);
    assert!(read(&good).is_ok());
    for (mhdr, rule) in
        [(0x44, "reserved"), (0x60, "downlink"), (0xe0, "proprietary"), (0xc0, "rejoin"), (0x00, "23 bytes"), (0x41, "major")]
    {
        let mut bytes = good.clone();
        bytes[0] = mhdr;
        assert!(read(&bytes).unwrap_err().contains(rule), "{mhdr:02x}: {:?}", read(&bytes));
    }
    for n in 0..12 {
        assert!(read(&good[..n]).is_err());
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let keys = SessionKeys { nwk_s_key: Key(AES128Key::null()), app_s_key: Key(AES128Key::null()) };
        match read(&bytes) {
            Ok(Frame::Data(data)) => drop((data.is_of(&keys, 1), data.decrypt(&keys, 1), data.asks_link_check())),
            Ok(Frame::Join(join)) => drop(join.is_of(&keys.nwk_s_key)),
            Err(_) => {}
        }
    }

    #[test]
    fn a_changed_bit_never_verifies(bit in 0_usize..160) {
        let mut device = sim::SimDevice::abp();
        let mut bytes = device.up(9, &[1, 2, 3, 4]);
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let keys = SessionKeys { nwk_s_key: Key(AES128Key::from_bytes([0x11; 16])), app_s_key: Key(AES128Key::from_bytes([0x22; 16])) };
        if let Ok(Frame::Data(data)) = read(&bytes) {
            prop_assert!(!data.is_of(&keys, u32::from(data.f_cnt)));
        }
    }
}
