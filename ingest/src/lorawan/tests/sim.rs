//! A device as it is in the field: builds its frames with the library, and understands what it is sent.

use crate::lorawan::{
    device::net_id,
    text::{Eui, hex},
};
use lrwn::{
    AES128Key, DevAddr, EUI64, FCtrl, FHDR, FRMPayload, FType, JoinRequestPayload, JoinType, MACCommand, MACCommandSet, MACPayload,
    MACVersion, MHDR, Major, Payload, PhyPayload,
};

pub(in crate::lorawan) const ABP_EUI: Eui = Eui(0x0303_0303_0303_0303);
pub(in crate::lorawan) const OTAA_EUI: Eui = Eui(0x0202_0202_0202_0202);
pub(in crate::lorawan) const JOIN_EUI: Eui = Eui(0x0101_0101_0101_0101);
pub(in crate::lorawan) const APP_KEY: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

/// The two devices of most tests, as their owner writes them down.
pub(in crate::lorawan) fn registry() -> String {
    format!(
        "[[device]]\ndev_eui='{OTAA_EUI}'\nname='bin 12'\njoin_eui='{JOIN_EUI}'\napp_key='{}'\n\
         [[device]]\ndev_eui='{ABP_EUI}'\ndev_addr='01020304'\nnwk_s_key='{}'\napp_s_key='{}'\n",
        hex(&APP_KEY),
        hex(&[0x11; 16]),
        hex(&[0x22; 16]),
    )
}

/// What a device hears in return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lorawan) struct Down {
    pub(in crate::lorawan) ack: bool,
    pub(in crate::lorawan) pending: bool,
    pub(in crate::lorawan) f_cnt: u32,
    pub(in crate::lorawan) payload: Option<(u8, Vec<u8>)>,
    pub(in crate::lorawan) commands: Vec<MACCommand>,
}

#[derive(Debug, Clone)]
pub(in crate::lorawan) struct SimDevice {
    pub(in crate::lorawan) dev_addr: u32,
    pub(in crate::lorawan) f_cnt: u32,
    nwk_s_key: AES128Key,
    app_s_key: AES128Key,
}

fn eui64(eui: Eui) -> EUI64 {
    EUI64::from_be_bytes(eui.0.to_be_bytes())
}

/// A join request of the OTAA device.
pub(in crate::lorawan) fn join_request(dev_nonce: u16) -> Vec<u8> {
    let mut phy = PhyPayload {
        mhdr: MHDR { f_type: FType::JoinRequest, major: Major::LoRaWANR1 },
        payload: Payload::JoinRequest(JoinRequestPayload { join_eui: eui64(JOIN_EUI), dev_eui: eui64(OTAA_EUI), dev_nonce }),
        mic: None,
    };
    phy.set_join_request_mic(&AES128Key::from_bytes(APP_KEY)).unwrap();
    phy.to_vec().unwrap()
}

/// The device after a join accept, when that is authentic.
pub(in crate::lorawan) fn joined(accept: &[u8], dev_nonce: u16) -> SimDevice {
    let key = AES128Key::from_bytes(APP_KEY);
    let mut phy = PhyPayload::from_slice(accept).unwrap();
    phy.decrypt_join_accept_payload(&key).unwrap();
    assert!(phy.validate_join_accept_mic(JoinType::Join, &eui64(JOIN_EUI), dev_nonce, &key).unwrap());
    let Payload::JoinAccept(accept) = phy.payload else { panic!("not a join accept") };
    assert_eq!((accept.home_netid, accept.rx_delay, accept.dl_settings.rx2_dr), (net_id(0), 1, 0));
    assert!(accept.devaddr.is_net_id(accept.home_netid));
    let args = (&accept.home_netid, &eui64(JOIN_EUI), accept.join_nonce, dev_nonce);
    SimDevice {
        dev_addr: u32::from_be_bytes(accept.devaddr.to_be_bytes()),
        f_cnt: 0,
        nwk_s_key: lrwn::keys::get_f_nwk_s_int_key(false, &key, args.0, args.1, args.2, args.3).unwrap(),
        app_s_key: lrwn::keys::get_app_s_key(false, &key, args.0, args.1, args.2, args.3).unwrap(),
    }
}

impl SimDevice {
    pub(in crate::lorawan) fn abp() -> Self {
        let key = |b| AES128Key::from_bytes([b; 16]);
        Self { dev_addr: 0x0102_0304, f_cnt: 0, nwk_s_key: key(0x11), app_s_key: key(0x22) }
    }

    /// The next frame with this payload.
    pub(in crate::lorawan) fn up(&mut self, port: u8, bytes: &[u8]) -> Vec<u8> {
        self.frame(FType::UnconfirmedDataUp, FCtrl::default(), Vec::new(), Some((port, bytes)))
    }

    pub(in crate::lorawan) fn confirmed(&mut self, port: u8, bytes: &[u8]) -> Vec<u8> {
        self.frame(FType::ConfirmedDataUp, FCtrl::default(), Vec::new(), Some((port, bytes)))
    }

    pub(in crate::lorawan) fn frame(
        &mut self,
        f_type: FType,
        f_ctrl: FCtrl,
        commands: Vec<MACCommand>,
        payload: Option<(u8, &[u8])>,
    ) -> Vec<u8> {
        let devaddr = DevAddr::from_be_bytes(self.dev_addr.to_be_bytes());
        let mut phy = PhyPayload {
            mhdr: MHDR { f_type, major: Major::LoRaWANR1 },
            payload: Payload::MACPayload(MACPayload {
                fhdr: FHDR { devaddr, f_ctrl, f_cnt: self.f_cnt, f_opts: MACCommandSet::new(commands) },
                f_port: payload.map(|p| p.0),
                frm_payload: payload.map(|p| FRMPayload::Raw(p.1.to_vec())),
            }),
            mic: None,
        };
        phy.encrypt_frm_payload(&self.app_s_key).unwrap();
        phy.set_uplink_data_mic(MACVersion::LoRaWAN1_0, 0, 0, 0, &self.nwk_s_key, &self.nwk_s_key).unwrap();
        self.f_cnt += 1;
        phy.to_vec().unwrap()
    }

    /// A downlink, when it is for this device and authentic.
    pub(in crate::lorawan) fn hear(&self, bytes: &[u8]) -> Down {
        let mut phy = PhyPayload::from_slice(bytes).unwrap();
        assert!(phy.validate_downlink_data_mic(MACVersion::LoRaWAN1_0, 0, &self.nwk_s_key).unwrap());
        phy.decrypt_frm_payload(&self.app_s_key).unwrap();
        phy.decode_f_opts_to_mac_commands().unwrap();
        let Payload::MACPayload(mac) = phy.payload else { panic!("not a data frame") };
        assert_eq!(u32::from_be_bytes(mac.fhdr.devaddr.to_be_bytes()), self.dev_addr);
        let payload = mac.frm_payload.map(|p| (mac.f_port.unwrap(), p.to_vec().unwrap()));
        Down {
            ack: mac.fhdr.f_ctrl.ack,
            pending: mac.fhdr.f_ctrl.f_pending,
            f_cnt: mac.fhdr.f_cnt,
            payload,
            commands: mac.fhdr.f_opts.iter().filter(|c| **c != MACCommand::Raw(Vec::new())).cloned().collect(),
        }
    }
}
