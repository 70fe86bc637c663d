//! LoRa Basics Station, the LNS protocol: JSON messages over a WebSocket (the station's documentation, "The LNS Protocol").
//!
//! A station asks `/router-info` where to go, connects there, says `version`, is told its channels (`router_config`), and then sends
//! frames taken apart: `DevAddr` and `MIC` as signed numbers, `FOpts` and `FRMPayload` in hexadecimal, `FPort` -1 for none. They are
//! put together again byte for byte, so that the MIC still decides.

mod socket;

pub(super) use socket::serve;

use super::{
    network::Answer,
    radio::{AnswerAt, Modulation, RX2_DR, RX2_HZ, Reception, from_gps_micros},
    text::{Eui, hex, unhex},
};
use schemas::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

/// Data rates of EU868 as a station wants them: spreading factor (0: FSK), bandwidth in kHz, downlink only; 16 of them.
const DATA_RATES: [[i32; 3]; 8] = [[12, 125, 0], [11, 125, 0], [10, 125, 0], [9, 125, 0], [8, 125, 0], [7, 125, 0], [7, 250, 0], [0, 0, 0]];
/// Centres of the two radios, and the channels as offsets from one of them: 867.1 to 867.9 and 868.1 to 868.5 MHz.
const RADIOS_HZ: [u32; 2] = [867_500_000, 868_500_000];
const CHANNELS: [(u8, i32); 8] = [(1, -400_000), (1, -200_000), (1, 0), (0, -400_000), (0, -200_000), (0, 0), (0, 200_000), (0, 400_000)];

/// What a station says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    /// The first message: it wants to be told its channels.
    Version,
    Frame(Box<Reception>),
    /// A downlink was transmitted.
    Transmitted {
        diid: u16,
    },
    /// It wants to know the time.
    TimeSync {
        txtime: i64,
    },
    /// Not of use here (remote shell, events of its own).
    Other,
}

#[derive(Deserialize)]
struct Envelope {
    msgtype: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Radio {
    #[serde(rename = "DR")]
    dr: Option<u8>,
    freq: Option<u32>,
    #[serde(rename = "upinfo")]
    up: Option<Upinfo>,
}

#[derive(Deserialize)]
struct Upinfo {
    rctx: Option<i64>,
    xtime: Option<i64>,
    gpstime: Option<i64>,
    rssi: Option<f64>,
    snr: Option<f64>,
    rxtime: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DataUp {
    m_hdr: u8,
    dev_addr: i64,
    f_ctrl: u8,
    f_cnt: u16,
    f_opts: String,
    f_port: i16,
    #[serde(rename = "FRMPayload")]
    frm_payload: String,
    #[serde(rename = "MIC")]
    mic: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct JoinRequest {
    m_hdr: u8,
    join_eui: Eui,
    dev_eui: Eui,
    dev_nonce: u16,
    #[serde(rename = "MIC")]
    mic: i64,
}

#[derive(Deserialize)]
struct Proprietary {
    #[serde(rename = "FRMPayload")]
    frm_payload: String,
}

/// Reads one message of a station.
pub(super) fn read(gateway: Eui, text: &str) -> Result<Said, String> {
    let kind: Envelope = serde_json::from_str(text).map_err(|e| format!("not a message of Basics Station: {e}"))?;
    let wrong = |e: serde_json::Error| format!("{}: {e}", crate::decode::reject::cut(&kind.msgtype, 32));
    let phy = match kind.msgtype.as_str() {
        "version" => return Ok(Said::Version),
        "updf" => data_up(&serde_json::from_str(text).map_err(wrong)?)?,
        "jreq" => join_request(&serde_json::from_str(text).map_err(wrong)?)?,
        "propdf" => {
            let frame: Proprietary = serde_json::from_str(text).map_err(wrong)?;
            unhex(&frame.frm_payload).ok_or("propdf: FRMPayload is not hexadecimal")?
        }
        "dntxed" => {
            #[derive(Deserialize)]
            struct Transmitted {
                diid: i64,
            }
            let done: Transmitted = serde_json::from_str(text).map_err(wrong)?;
            // A number that is not ours answers nothing.
            return Ok(u16::try_from(done.diid).map_or(Said::Other, |diid| Said::Transmitted { diid }));
        }
        "timesync" => {
            #[derive(Deserialize)]
            struct Asked {
                txtime: i64,
            }
            let asked: Asked = serde_json::from_str(text).map_err(wrong)?;
            return Ok(Said::TimeSync { txtime: asked.txtime });
        }
        _ => return Ok(Said::Other),
    };
    if phy.is_empty() || phy.len() > super::gwmp::PHY_MAX {
        return Err(format!("the frame has {} bytes, a frame has 1 to {}", phy.len(), super::gwmp::PHY_MAX));
    }
    let radio: Radio = serde_json::from_str(text).map_err(wrong)?;
    Ok(Said::Frame(Box::new(reception(gateway, phy, &radio))))
}

fn reception(gateway: Eui, phy: Vec<u8>, radio: &Radio) -> Reception {
    let up = radio.up.as_ref();
    let seconds = |s: f64| (s > 0.0 && s < 1e11).then(|| Timestamp((s * 1e6).round() as i64));
    let rxtime = up.and_then(|u| u.rxtime).and_then(seconds);
    Reception {
        gateway,
        phy: phy.into(),
        // 0 says that there is no GPS.
        time: up.and_then(|u| u.gpstime).and_then(from_gps_micros).or(rxtime),
        frequency_hz: radio.freq,
        modulation: radio.dr.and_then(Modulation::of_data_rate),
        channel: None,
        rssi: up.and_then(|u| u.rssi),
        snr: up.and_then(|u| u.snr),
        position: None,
        answer_at: up.and_then(|u| Some(AnswerAt::Station { xtime: u.xtime?, rctx: u.rctx.unwrap_or(0) })),
    }
}

/// 32 bits, signed or not.
fn word(value: i64, name: &str) -> Result<[u8; 4], String> {
    let bits = i32::try_from(value).map(|v| v as u32).or_else(|_| u32::try_from(value));
    bits.map(u32::to_le_bytes).map_err(|_| format!("{name} has more than 32 bits"))
}

fn data_up(up: &DataUp) -> Result<Vec<u8>, String> {
    let options = unhex(&up.f_opts).ok_or("updf: FOpts is not hexadecimal")?;
    let payload = unhex(&up.frm_payload).ok_or("updf: FRMPayload is not hexadecimal")?;
    let mut phy = vec![up.m_hdr];
    phy.extend(word(up.dev_addr, "updf: DevAddr")?);
    phy.push(up.f_ctrl);
    phy.extend(up.f_cnt.to_le_bytes());
    phy.extend(options);
    if up.f_port >= 0 {
        phy.push(u8::try_from(up.f_port).map_err(|_| "updf: FPort must be -1 to 255")?);
    }
    phy.extend(payload);
    phy.extend(word(up.mic, "updf: MIC")?);
    Ok(phy)
}

fn join_request(request: &JoinRequest) -> Result<Vec<u8>, String> {
    let mut phy = vec![request.m_hdr];
    phy.extend(request.join_eui.0.to_le_bytes());
    phy.extend(request.dev_eui.0.to_le_bytes());
    phy.extend(request.dev_nonce.to_le_bytes());
    phy.extend(word(request.mic, "jreq: MIC")?);
    Ok(phy)
}

/// A downlink; the station chooses the window.
pub(super) fn dnmsg(answer: &Answer, to: &Reception, diid: u16, xtime: i64, rctx: i64) -> String {
    let mut out = json!({
        "msgtype": "dnmsg",
        "DevEui": answer.dev_eui.dashed(),
        "dC": 0,
        "diid": diid,
        "pdu": hex(&answer.phy),
        "RxDelay": answer.delay_secs,
        "priority": 0,
        "xtime": xtime,
        "rctx": rctx,
    });
    if let (Some(hz), Some(dr)) = (to.frequency_hz, to.modulation.and_then(Modulation::data_rate)) {
        out["RX1DR"] = dr.into();
        out["RX1Freq"] = hz.into();
    }
    if answer.fits_second {
        out["RX2DR"] = RX2_DR.into();
        out["RX2Freq"] = RX2_HZ.into();
    }
    out.to_string()
}

/// The channels of a station in Europe. No filter of networks: what is not ours is counted, so that the city sees it.
fn router_config(power_dbm: i8) -> String {
    let rates: Vec<[i32; 3]> = DATA_RATES.into_iter().chain(std::iter::repeat_n([-1, 0, 0], 8)).collect();
    let radio = |i: usize| json!({ "enable": true, "freq": RADIOS_HZ[i] });
    let mut board = json!({
        "radio_0": radio(0),
        "radio_1": radio(1),
        "chan_Lora_std": { "enable": true, "radio": 1, "if": -200_000, "bandwidth": 250_000, "spread_factor": 7 },
        "chan_FSK": { "enable": true, "radio": 1, "if": 300_000, "bandwidth": 125_000, "datarate": 50_000 },
    });
    for (i, (radio, offset)) in CHANNELS.into_iter().enumerate() {
        board[format!("chan_multiSF_{i}")] = json!({ "enable": true, "radio": radio, "if": offset });
    }
    let config = json!({
        "msgtype": "router_config",
        "NetID": null,
        "JoinEui": null,
        "region": "EU863",
        "hwspec": "sx1301/1",
        "freq_range": [863_000_000, 870_000_000],
        "DRs": rates,
        "sx1301_conf": [board],
        "max_eirp": f64::from(power_dbm),
    });
    config.to_string()
}

fn time_sync(txtime: i64, now: Timestamp) -> String {
    json!({ "msgtype": "timesync", "txtime": txtime, "gpstime": super::radio::to_gps_micros(now) }).to_string()
}

/// The answer to `/router-info`: where the station's own socket is, by the address it used to get here.
fn router_info(text: &str, host: &str, secure: bool) -> Result<(Eui, String), String> {
    #[derive(Deserialize)]
    struct Query {
        router: Eui,
    }
    let query: Query = serde_json::from_str(text).map_err(|e| format!("not a router-info query: {e}"))?;
    let scheme = if secure { "wss" } else { "ws" };
    let uri = format!("{scheme}://{host}{}{}", socket::GATEWAY_PATH, query.router);
    let answer: Value = json!({ "router": query.router.dashed(), "muxs": "muxs-::0", "uri": uri });
    Ok((query.router, answer.to_string()))
}

#[cfg(test)]
mod tests;
