//! PHYPayload (LoRaWAN 1.0.x, section 4): what a device sent, as far as it can be read without a key, and frames for devices.

use super::{
    device::{Key, SessionKeys, net_id},
    radio::EXTRA_CHANNELS_HZ,
    text::Eui,
};
use lrwn::{
    CFList, CFListChannels, DLSettings, DevAddr, FCtrl, FHDR, FRMPayload, FType, JoinAcceptPayload, JoinType, LinkCheckAnsPayload,
    MACCommand, MACCommandSet, MACPayload, MACVersion, MHDR, Major, Payload, PhyPayload,
};

/// MHDR, MACPayload of 7 bytes at least, MIC.
const DATA_MIN: usize = 12;
const JOIN_REQUEST: usize = 23;
const FCTRL_AT: usize = 5;
const FOPTS_AT: usize = 8;
const LINK_CHECK_REQ: u8 = 0x02;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Frame {
    Join(JoinRequest),
    Data(DataUp),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct JoinRequest {
    pub(super) join_eui: Eui,
    pub(super) dev_eui: Eui,
    pub(super) dev_nonce: u16,
    phy: PhyPayload,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct DataUp {
    pub(super) dev_addr: u32,
    /// The 16 bits that travel.
    pub(super) f_cnt: u16,
    pub(super) confirmed: bool,
    pub(super) adr: bool,
    /// The device asks for any answer, or it will slow down.
    pub(super) adr_ack_req: bool,
    pub(super) f_port: Option<u8>,
    /// MAC commands of the header, as they came.
    f_opts: Vec<u8>,
    /// Encrypted.
    frm_payload: Vec<u8>,
    phy: PhyPayload,
}

/// Reads an uplink; the error says why the bytes are none.
pub(super) fn read(bytes: &[u8]) -> Result<Frame, String> {
    let (Some(mhdr), n) = (bytes.first(), bytes.len()) else {
        return Err("the frame is empty".into());
    };
    // Lengths are checked here, kinds that only a network sends go no further.
    match mhdr >> 5 {
        0 if n == JOIN_REQUEST => {}
        0 => return Err(format!("a join request has {JOIN_REQUEST} bytes, this has {n}")),
        2 | 4 if n >= DATA_MIN => {}
        2 | 4 => return Err(format!("a data frame has {DATA_MIN} bytes at least, this has {n}")),
        6 => return Err("rejoin requests are of LoRaWAN 1.1, which is not spoken here".into()),
        7 => return Err("a proprietary frame".into()),
        _ => return Err("a downlink, heard from another gateway".into()),
    }
    let phy = PhyPayload::from_slice(bytes).map_err(|e| e.to_string())?;
    // Bits reserved for future use do not survive reading; a frame that has them must not be verified as if it had none.
    if !phy.to_vec().is_ok_and(|again| again == bytes) {
        return Err("reserved bits are set".into());
    }
    match &phy.payload {
        Payload::JoinRequest(join) => Ok(Frame::Join(JoinRequest {
            join_eui: Eui(u64::from_be_bytes(join.join_eui.to_be_bytes())),
            dev_eui: Eui(u64::from_be_bytes(join.dev_eui.to_be_bytes())),
            dev_nonce: join.dev_nonce,
            phy,
        })),
        Payload::MACPayload(mac) => Ok(Frame::Data(DataUp {
            dev_addr: u32::from_be_bytes(mac.fhdr.devaddr.to_be_bytes()),
            f_cnt: mac.fhdr.f_cnt as u16,
            confirmed: phy.mhdr.f_type == FType::ConfirmedDataUp,
            adr: mac.fhdr.f_ctrl.adr,
            adr_ack_req: mac.fhdr.f_ctrl.adr_ack_req,
            f_port: mac.f_port,
            f_opts: bytes.get(FOPTS_AT..FOPTS_AT + usize::from(bytes[FCTRL_AT] & 0x0f)).unwrap_or_default().to_vec(),
            frm_payload: match &mac.frm_payload {
                Some(FRMPayload::Raw(bytes)) => bytes.clone(),
                _ => Vec::new(),
            },
            phy,
        })),
        _ => Err("neither a join request nor a data frame".into()),
    }
}

impl JoinRequest {
    pub(super) fn is_of(&self, root_key: &Key) -> bool {
        self.phy.validate_join_request_mic(&root_key.0).unwrap_or(false)
    }
}

impl DataUp {
    /// Whether the MIC fits this key and this full counter.
    pub(super) fn is_of(&self, keys: &SessionKeys, f_cnt: u32) -> bool {
        let mut phy = self.phy.clone();
        if let Payload::MACPayload(mac) = &mut phy.payload {
            mac.fhdr.f_cnt = f_cnt;
        }
        let key = &keys.nwk_s_key.0;
        phy.validate_uplink_data_mic(MACVersion::LoRaWAN1_0, 0, 0, 0, key, key).unwrap_or(false)
    }

    /// The payload of the application; `None` when the frame carries none (no port, or port 0: MAC commands).
    pub(super) fn decrypt(&self, keys: &SessionKeys, f_cnt: u32) -> Option<(u8, Vec<u8>)> {
        let port = self.f_port.filter(|p| *p > 0)?;
        let address = DevAddr::from_be_bytes(self.dev_addr.to_be_bytes());
        lrwn::encrypt_frm_payload(&keys.app_s_key.0, true, &address, f_cnt, &self.frm_payload).ok().map(|plain| (port, plain))
    }

    /// Whether the device asks how well it is heard (LinkCheckReq). Read here, because the library overflows on a margin that no
    /// device may send (DevStatusAns); what follows a command that is not known cannot be read.
    pub(super) fn asks_link_check(&self) -> bool {
        let mut rest = self.f_opts.as_slice();
        while let Some((&command, after)) = rest.split_first() {
            if command == LINK_CHECK_REQ {
                return true;
            }
            let Some(after) = uplink_command_len(command).and_then(|n| after.get(n..)) else { return false };
            rest = after;
        }
        false
    }
}

/// Bytes that follow the identifier of a MAC command of a device (LoRaWAN 1.0.x, sections 5, 14 and 15).
const fn uplink_command_len(command: u8) -> Option<usize> {
    match command {
        0x02 | 0x04 | 0x08 | 0x09 | 0x0d | 0x12 => Some(0),
        0x03 | 0x05 | 0x07 | 0x0a | 0x10 | 0x11 | 0x13 => Some(1),
        0x06 => Some(2),
        _ => None,
    }
}

/// A data frame for a device.
#[derive(Debug, Default)]
pub(super) struct DataDown<'a> {
    pub(super) dev_addr: u32,
    pub(super) f_cnt: u32,
    pub(super) ack: bool,
    /// More waits for the device: it should send again soon.
    pub(super) pending: bool,
    /// Margin in dB and number of gateways.
    pub(super) link_check: Option<(u8, u8)>,
    /// Port and bytes.
    pub(super) payload: Option<(u8, &'a [u8])>,
}

impl DataDown<'_> {
    pub(super) fn encode(&self, keys: &SessionKeys) -> Result<Vec<u8>, String> {
        let commands = self.link_check.map(|(margin, gw_cnt)| MACCommand::LinkCheckAns(LinkCheckAnsPayload { margin, gw_cnt }));
        let mut phy = PhyPayload {
            mhdr: MHDR { f_type: FType::UnconfirmedDataDown, major: Major::LoRaWANR1 },
            payload: Payload::MACPayload(MACPayload {
                fhdr: FHDR {
                    devaddr: DevAddr::from_be_bytes(self.dev_addr.to_be_bytes()),
                    f_ctrl: FCtrl { ack: self.ack, f_pending: self.pending, ..FCtrl::default() },
                    f_cnt: self.f_cnt,
                    f_opts: MACCommandSet::new(commands.into_iter().collect()),
                },
                f_port: self.payload.map(|(port, _)| port),
                frm_payload: self.payload.map(|(_, bytes)| FRMPayload::Raw(bytes.to_vec())),
            }),
            mic: None,
        };
        phy.encrypt_frm_payload(&keys.app_s_key.0).map_err(|e| e.to_string())?;
        phy.set_downlink_data_mic(MACVersion::LoRaWAN1_0, 0, &keys.nwk_s_key.0).map_err(|e| e.to_string())?;
        phy.to_vec().map_err(|e| e.to_string())
    }
}

/// A join accept (section 6.2.5), encrypted.
#[derive(Debug, Clone, Copy)]
pub(super) struct JoinAccept {
    pub(super) join_nonce: u32,
    pub(super) net_id: u32,
    pub(super) dev_addr: u32,
    pub(super) rx1_delay_secs: u8,
    pub(super) rx2_dr: u8,
}

impl JoinAccept {
    pub(super) fn encode(&self, root_key: &Key) -> Result<Vec<u8>, String> {
        let mut phy = PhyPayload {
            mhdr: MHDR { f_type: FType::JoinAccept, major: Major::LoRaWANR1 },
            payload: Payload::JoinAccept(JoinAcceptPayload {
                join_nonce: self.join_nonce,
                home_netid: net_id(self.net_id),
                devaddr: DevAddr::from_be_bytes(self.dev_addr.to_be_bytes()),
                dl_settings: DLSettings { opt_neg: false, rx2_dr: self.rx2_dr, rx1_dr_offset: 0 },
                rx_delay: self.rx1_delay_secs,
                cflist: Some(CFList::Channels(CFListChannels::new(EXTRA_CHANNELS_HZ))),
            }),
            mic: None,
        };
        // The join EUI and the nonce only count when OptNeg is set, which is LoRaWAN 1.1.
        phy.set_join_accept_mic(JoinType::Join, &lrwn::EUI64::default(), 0, &root_key.0).map_err(|e| e.to_string())?;
        phy.encrypt_join_accept_payload(&root_key.0).map_err(|e| e.to_string())?;
        phy.to_vec().map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests;
