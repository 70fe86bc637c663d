//! For the fuzz targets (`tests/fuzz`), which stand outside the crate.

use super::{
    device::{Activation, Registry},
    frame,
    gather::Gather,
    gwmp,
    network::{Network, Verdict},
    radio::Reception,
    station::{self, Said},
    text::Eui,
};
use lrwn::{MACVersion, PhyPayload};
use schemas::Timestamp;

const DEVICES: &str = "[[device]]\ndev_eui='0202020202020202'\njoin_eui='0101010101010101'\napp_key='0102030405060708090a0b0c0d0e0f10'\n\
                       [[device]]\ndev_eui='0303030303030303'\ndev_addr='01020304'\nnwk_s_key='11111111111111111111111111111111'\n\
                       app_s_key='22222222222222222222222222222222'\n";

fn registry() -> Registry {
    Registry::parse("devices.toml", DEVICES).unwrap_or_default()
}

/// Judges receptions twice: nothing is an uplink again.
fn hear(receptions: Vec<Reception>, now: Timestamp) {
    let mut network = Network::new(registry(), &[], 0, 7);
    let mut gather = Gather::new(0, gwmp::FRAMES_MAX);
    for reception in receptions {
        gather.add(reception, now);
    }
    for heard in gather.drain() {
        network.judge(&heard, Some(0), now);
        let again = network.judge(&heard, Some(0), now);
        assert!(!matches!(again.verdict, Verdict::Uplink(_) | Verdict::Joined), "a frame was taken twice");
    }
}

fn reception(phy: Vec<u8>) -> Option<Reception> {
    let text = serde_json::json!({ "rxpk": [{ "tmst": 1, "freq": 868.1, "datr": "SF7BW125", "data": super::text::to_base64(&phy) }] });
    gwmp::pushed(Eui(1), text.to_string().as_bytes()).ok()?.frames.pop()
}

/// A packet of a forwarder.
pub fn datagram(bytes: &[u8], now: Timestamp) {
    let Ok(datagram) = gwmp::read(bytes) else { return };
    gwmp::acknowledge(&datagram);
    match datagram.kind {
        gwmp::Kind::PushData => {
            if let Ok(pushed) = gwmp::pushed(datagram.gateway, datagram.body) {
                hear(pushed.frames, now);
            }
        }
        gwmp::Kind::TxAck => drop(gwmp::transmitted(datagram.body)),
        gwmp::Kind::PullData => {}
    }
}

/// A message of a Basics Station.
pub fn station(text: &str, now: Timestamp) {
    if let Ok(Said::Frame(reception)) = station::read(Eui(1), text) {
        hear(vec![*reception], now);
    }
}

/// A radio frame.
pub fn frame(phy: &[u8], now: Timestamp) {
    drop(frame::read(phy));
    hear(reception(phy.to_vec()).into_iter().collect(), now);
}

/// A radio frame as a device with keys would have signed it.
pub fn signed(phy: &[u8], now: Timestamp) {
    let Ok(mut phy) = PhyPayload::from_slice(phy) else { return };
    let devices = registry();
    let done = devices.iter().any(|device| match &device.activation {
        Activation::Otaa { root_key, .. } => phy.set_join_request_mic(&root_key.0).is_ok(),
        Activation::Abp { keys, .. } => {
            let key = &keys.nwk_s_key.0;
            phy.set_uplink_data_mic(MACVersion::LoRaWAN1_0, 0, 0, 0, key, key).is_ok()
        }
    });
    if let (true, Ok(bytes)) = (done, phy.to_vec()) {
        hear(reception(bytes).into_iter().collect(), now);
    }
}
