//! GWMP, the protocol of Semtech's packet forwarder over UDP, versions 1 and 2 (PROTOCOL.TXT of `packet_forwarder`).
//!
//! `[version][token: 2][kind][gateway EUI: 8][JSON]` from the gateway; answers leave the EUI out. Version 1 has no TX_ACK, and no
//! token in PULL_RESP. Traps: base64 without padding and in mixed alphabets, `datr` a number for FSK, `rxpk` absent, `rsig` instead
//! of `rssi` on gateways with several antennas, one wrong `rxpk` beside good ones.

use super::{
    radio::{AnswerAt, Modulation, Position, Reception, from_gps_micros},
    text::{Eui, base64, to_base64},
};
use schemas::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

/// Frames in one datagram; a forwarder sends 8 at most.
pub(super) const FRAMES_MAX: usize = 64;
/// Bytes of one radio frame: the length is a byte of the radio's header.
pub(super) const PHY_MAX: usize = 255;
const HEADER: usize = 12;

/// What gateways send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    PushData,
    PullData,
    TxAck,
}

/// One datagram of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Datagram<'a> {
    pub(super) version: u8,
    pub(super) token: [u8; 2],
    pub(super) kind: Kind,
    pub(super) gateway: Eui,
    pub(super) body: &'a [u8],
}

/// Reads the header.
pub(super) fn read(bytes: &[u8]) -> Result<Datagram<'_>, String> {
    let Some((header, body)) = bytes.split_first_chunk::<HEADER>() else {
        return Err(format!("{} bytes, a gateway's packet has {HEADER} at least", bytes.len()));
    };
    let [version, t0, t1, kind, eui @ ..] = *header;
    if !(1..=2).contains(&version) {
        return Err(format!("protocol version {version}; 1 and 2 are read here"));
    }
    let kind = match (kind, version) {
        (0, _) => Kind::PushData,
        (2, _) => Kind::PullData,
        (5, 2) => Kind::TxAck,
        (1 | 3 | 4, _) => return Err(format!("packet kind {kind} is a server's, not a gateway's")),
        _ => return Err(format!("packet kind {kind} does not exist in version {version}")),
    };
    Ok(Datagram { version, token: [t0, t1], kind, gateway: Eui(u64::from_be_bytes(eui)), body })
}

/// The acknowledgement that the protocol wants at once; TX_ACK has none.
pub(super) fn acknowledge(to: &Datagram<'_>) -> Option<[u8; 4]> {
    let kind = match to.kind {
        Kind::PushData => 1,
        Kind::PullData => 4,
        Kind::TxAck => return None,
    };
    Some([to.version, to.token[0], to.token[1], kind])
}

/// The body of PUSH_DATA.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    pub(super) frames: Vec<Reception>,
    /// Receptions whose checksum the radio found wrong, or that had none.
    pub(super) crc_failed: u64,
    pub(super) position: Option<Position>,
    /// Why single frames could not be read.
    pub(super) faults: Vec<String>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    rxpk: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    stat: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Stat {
    lati: Option<f64>,
    long: Option<f64>,
    alti: Option<f64>,
}

#[derive(Deserialize)]
struct Rxpk {
    time: Option<String>,
    tmms: Option<i64>,
    tmst: Option<u32>,
    freq: Option<f64>,
    chan: Option<u32>,
    stat: Option<i64>,
    datr: Option<Value>,
    rssi: Option<f64>,
    lsnr: Option<f64>,
    #[serde(default)]
    rsig: Vec<Antenna>,
    size: Option<usize>,
    data: String,
}

#[derive(Deserialize)]
struct Antenna {
    rssic: Option<f64>,
    lsnr: Option<f64>,
}

/// Reads the body of PUSH_DATA. A frame that is wrong does not take the others with it.
pub(super) fn pushed(gateway: Eui, body: &[u8]) -> Result<Pushed, String> {
    let body: Body<'_> = serde_json::from_slice(body).map_err(|e| format!("not the JSON of PUSH_DATA: {e}"))?;
    let frames = body.rxpk.unwrap_or_default();
    if frames.len() > FRAMES_MAX {
        return Err(format!("rxpk has {} frames, the limit is {FRAMES_MAX}", frames.len()));
    }
    let mut out = Pushed::default();
    for (i, raw) in frames.into_iter().enumerate() {
        match reception(gateway, raw) {
            Ok(Some(frame)) => out.frames.push(frame),
            Ok(None) => out.crc_failed += 1,
            Err(rule) => out.faults.push(format!("rxpk[{i}]: {rule}")),
        }
    }
    // A status that cannot be read costs a position, nothing else.
    let stat = body.stat.and_then(|raw| serde_json::from_str::<Stat>(raw.get()).ok());
    out.position = stat.and_then(|s| Position::new(s.lati?, s.long?, s.alti));
    Ok(out)
}

fn reception(gateway: Eui, raw: &RawValue) -> Result<Option<Reception>, String> {
    let rxpk: Rxpk = serde_json::from_str(raw.get()).map_err(|e| e.to_string())?;
    // 1: good, -1: bad, 0: there was none, which a LoRaWAN uplink never has.
    if rxpk.stat.unwrap_or(1) != 1 {
        return Ok(None);
    }
    let phy = base64(&rxpk.data).ok_or("data is not base64")?;
    if phy.is_empty() || phy.len() > PHY_MAX {
        return Err(format!("data has {} bytes, a frame has 1 to {PHY_MAX}", phy.len()));
    }
    if let Some(size) = rxpk.size.filter(|size| *size != phy.len()) {
        return Err(format!("size says {size}, data has {} bytes", phy.len()));
    }
    let best = rxpk.rsig.iter().filter_map(|a| Some((a.rssic?, a.lsnr))).max_by(|a, b| a.0.total_cmp(&b.0));
    let time = rxpk.time.and_then(|t| Timestamp::parse(&t).ok());
    Ok(Some(Reception {
        gateway,
        phy: phy.into(),
        time: time.or_else(|| from_gps_micros(rxpk.tmms?.checked_mul(1_000)?)),
        frequency_hz: rxpk.freq.filter(|f| (0.0..4_000.0).contains(f)).map(|f| (f * 1e6).round() as u32),
        modulation: rxpk.datr.as_ref().and_then(Modulation::from_datr),
        channel: rxpk.chan,
        rssi: rxpk.rssi.or(best.map(|b| b.0)),
        snr: rxpk.lsnr.or(best.and_then(|b| b.1)),
        position: None,
        answer_at: rxpk.tmst.map(AnswerAt::Tmst),
    }))
}

/// One transmission as PULL_RESP asks for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Txpk {
    pub(super) imme: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tmst: Option<u32>,
    /// MHz.
    pub(super) freq: f64,
    pub(super) rfch: u8,
    /// dBm.
    pub(super) powe: i8,
    pub(super) modu: String,
    pub(super) datr: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) codr: Option<String>,
    /// Frequency deviation of FSK, Hz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fdev: Option<u32>,
    /// Inverted polarity, by which devices and gateways do not hear their own kind.
    pub(super) ipol: bool,
    pub(super) size: usize,
    pub(super) data: String,
}

impl Txpk {
    /// A frame for devices at one instant of the gateway's counter.
    pub(super) fn new(phy: &[u8], tmst: u32, frequency_hz: u32, modulation: Modulation, power_dbm: i8) -> Self {
        let lora = matches!(modulation, Modulation::Lora { .. });
        Self {
            imme: false,
            tmst: Some(tmst),
            freq: f64::from(frequency_hz) / 1e6,
            rfch: 0,
            powe: power_dbm,
            modu: if lora { "LORA" } else { "FSK" }.into(),
            datr: modulation.datr(),
            codr: lora.then(|| "4/5".into()),
            fdev: (!lora).then_some(25_000),
            ipol: lora,
            size: phy.len(),
            data: to_base64(phy),
        }
    }
}

/// A PULL_RESP. Version 1 leaves the token unused.
pub(super) fn pull_resp(version: u8, token: u16, txpk: &Txpk) -> Vec<u8> {
    let [t0, t1] = if version == 1 { [0, 0] } else { token.to_be_bytes() };
    let mut out = vec![version, t0, t1, 3];
    out.extend_from_slice(serde_json::json!({ "txpk": txpk }).to_string().as_bytes());
    out
}

/// What TX_ACK says: `Err` names the gateway's reason, for example `TOO_LATE` or `COLLISION_PACKET`.
pub(super) fn transmitted(body: &[u8]) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Ack {
        txpk_ack: Option<Answer>,
    }
    #[derive(Deserialize)]
    struct Answer {
        error: Option<String>,
    }
    // Forwarders end an empty body with a NUL, or leave it out.
    let body = body.trim_ascii();
    if body.is_empty() || body == b"\0" {
        return Ok(());
    }
    let ack: Ack = serde_json::from_slice(body).map_err(|e| format!("not the JSON of TX_ACK: {e}"))?;
    match ack.txpk_ack.and_then(|a| a.error).filter(|e| !e.is_empty() && e != "NONE") {
        Some(error) => Err(crate::decode::reject::cut(&error, 64)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
