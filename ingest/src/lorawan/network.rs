//! Judges frames: whose they are, whether they are new, and what the device is to hear in return. Pure: no socket, clock or disk.
//!
//! ADR is left alone: no LinkADRReq is ever sent. A device that asks whether anybody hears it (ADRACKReq, LinkCheckReq, a
//! confirmed frame) gets an answer, so that it keeps its rate.

use super::{
    device::{Activation, Device, Registry, SessionKeys},
    document,
    downlink::{DownlinkId, DownlinkState, Downlinks},
    frame::{self, DataDown, DataUp, Frame, JoinAccept, JoinRequest},
    gather::Heard,
    radio::{JOIN_DELAY_SECS, Modulation, RX1_DELAY_SECS, RX2_DR},
    state::{Event, Session, States, keys},
    text::Eui,
};
use crate::RawMessage;
use lrwn::DevAddr;
use schemas::Timestamp;

/// The same frame again within this time is a repetition of the device (NbTrans, a confirmed frame without answer) or a late copy
/// of a slow gateway: counted, not suspected.
const REPEAT_US: i64 = 60_000_000;
/// A copy this soon comes from a slow gateway; the device itself waits for its receive windows first.
const LATE_COPY_US: i64 = 1_000_000;
/// Join nonces have 24 bits.
const JOIN_NONCE_MAX: u32 = (1 << 24) - 1;

/// Why a frame is not trusted: the column `reason` of `ops.quarantine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Distrust {
    NotLorawan,
    UnknownDevice,
    BadMic,
    Replayed,
}

impl Distrust {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::NotLorawan => "not_lorawan",
            Self::UnknownDevice => "unknown_device",
            Self::BadMic => "bad_mic",
            Self::Replayed => "replayed",
        }
    }
}

/// What a frame is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// For the pipeline.
    Uplink(RawMessage),
    /// A device heard, with nothing for an application (MAC commands).
    MacOnly,
    Joined,
    /// Accepted before, moments ago.
    Repeated,
    /// A join that no gateway can answer now.
    NoRoute,
    Distrusted {
        why: Distrust,
        field: Option<&'static str>,
        message: String,
    },
}

/// A frame for the device, to be sent once the events are on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) dev_eui: Eui,
    pub(super) phy: Vec<u8>,
    /// Seconds from the uplink to the first window.
    pub(super) delay_secs: u8,
    /// Reception to answer through.
    pub(super) via: usize,
    /// Bytes that the second, slow window could not carry are only sent in the first.
    pub(super) fits_second: bool,
    /// Whether it tells the device that its frame arrived; then that must be durable first (ING-1).
    pub(super) acknowledges: bool,
    pub(super) id: Option<DownlinkId>,
}

/// All that follows from one frame.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judged {
    pub(super) events: Vec<Event>,
    pub(super) verdict: Verdict,
    pub(super) answer: Option<Answer>,
}

impl Judged {
    fn only(verdict: Verdict) -> Self {
        Self { events: Vec::new(), verdict, answer: None }
    }

    fn distrust(why: Distrust, field: Option<&'static str>, message: impl Into<String>) -> Self {
        Self::only(Verdict::Distrusted { why, field, message: message.into() })
    }
}

/// How the counter and MIC of a frame stand to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    New(u32),
    /// The newest accepted frame again.
    Same(u32),
    /// Authentic, with a counter that was accepted or passed before.
    Old(u32),
    /// The MIC fits no counter.
    None,
}

/// Devices, sessions and downlinks.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) registry: Registry,
    pub(super) states: States,
    pub(super) downlinks: Downlinks,
    net_id: u32,
    seed: u64,
}

impl Network {
    pub(super) fn new(registry: Registry, events: &[Event], net_id: u32, seed: u64) -> Self {
        let mut states = States::replay(events);
        states.adopt(&registry);
        Self { registry, states, downlinks: Downlinks::default(), net_id, seed }
    }

    pub(super) fn set_registry(&mut self, registry: Registry) {
        self.states.adopt(&registry);
        self.registry = registry;
    }

    /// `via`: the reception whose gateway can be answered.
    pub(super) fn judge(&mut self, heard: &Heard, via: Option<usize>, now: Timestamp) -> Judged {
        match frame::read(&heard.phy) {
            Err(rule) => Judged::distrust(Distrust::NotLorawan, None, rule),
            Ok(Frame::Join(request)) => self.join(&request, via, now),
            Ok(Frame::Data(data)) => self.data(heard, &data, via, now),
        }
    }

    fn join(&mut self, request: &JoinRequest, via: Option<usize>, now: Timestamp) -> Judged {
        let dev_eui = request.dev_eui;
        let device = self.registry.get(dev_eui);
        let Some((Activation::Otaa { join_eui, root_key }, device)) = device.map(|d| (d.activation, d)) else {
            let rule = if device.is_some() { "is an ABP device, which does not join" } else { "is not in the registry of devices" };
            return Judged::distrust(Distrust::UnknownDevice, Some("dev_eui"), format!("join request: {dev_eui} {rule}"));
        };
        if let Some(wanted) = join_eui.filter(|e| *e != request.join_eui) {
            let rule = format!("join request of {dev_eui}: join_eui is {}, the registry has {wanted}", request.join_eui);
            return Judged::distrust(Distrust::UnknownDevice, Some("join_eui"), rule);
        }
        if !request.is_of(&root_key) {
            let rule =
                format!("join request of {dev_eui}: the MIC does not fit the root key in the registry; compare app_key with the device");
            return Judged::distrust(Distrust::BadMic, Some("mic"), rule);
        }
        let dev_eui = device.dev_eui;
        let state = self.states.of(dev_eui);
        if state.used_nonces.contains(&request.dev_nonce) {
            if state.joined_at.is_some_and(|(nonce, at)| nonce == request.dev_nonce && within(at, now, REPEAT_US)) {
                return Judged::only(Verdict::Repeated);
            }
            let rule = format!("join request of {dev_eui}: DevNonce {} was used before; the device must take another", request.dev_nonce);
            return Judged::distrust(Distrust::Replayed, Some("dev_nonce"), rule);
        }
        let Some(via) = via else { return Judged::only(Verdict::NoRoute) };
        let join_nonce = state.join_nonce + 1;
        if join_nonce > JOIN_NONCE_MAX {
            return Judged::distrust(
                Distrust::Replayed,
                Some("join_nonce"),
                format!("{dev_eui} has joined 2^24 times; give it a new root key"),
            );
        }
        let dev_addr = self.free_address(dev_eui, join_nonce);
        let accept = JoinAccept { join_nonce, net_id: self.net_id, dev_addr, rx1_delay_secs: RX1_DELAY_SECS, rx2_dr: RX2_DR };
        let phy = match accept.encode(&root_key) {
            Ok(phy) => phy,
            Err(rule) => return Judged::distrust(Distrust::NotLorawan, None, rule),
        };
        let event = Event::Joined { dev_eui, join_nonce, dev_nonce: request.dev_nonce, net_id: self.net_id, dev_addr };
        self.states.apply(dev_eui, &event);
        self.states.of(dev_eui).joined_at = Some((request.dev_nonce, now));
        let answer = Answer { dev_eui, phy, delay_secs: JOIN_DELAY_SECS, via, fits_second: true, acknowledges: false, id: None };
        Judged { events: vec![event], verdict: Verdict::Joined, answer: Some(answer) }
    }

    /// An address of our network that no session has; after some tries one that a session shares, which the MIC tells apart.
    fn free_address(&self, dev_eui: Eui, join_nonce: u32) -> u32 {
        let prefix = super::device::net_id(self.net_id).dev_addr_prefix();
        let mut z = self.seed ^ dev_eui.0 ^ u64::from(join_nonce);
        let mut address = 0;
        for _ in 0..16 {
            // SplitMix64.
            z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut x = z;
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let mut dev_addr = DevAddr::from_be_bytes(((x ^ (x >> 31)) as u32).to_be_bytes());
            dev_addr.set_dev_addr_prefix(prefix);
            address = u32::from_be_bytes(dev_addr.to_be_bytes());
            if self.states.at_address(address).is_empty() {
                break;
            }
        }
        address
    }

    fn data(&mut self, heard: &Heard, data: &DataUp, via: Option<usize>, now: Timestamp) -> Judged {
        let candidates = self.states.at_address(data.dev_addr);
        if candidates.is_empty() {
            let message = format!("no known device has the address {:08x}; it may be of another network", data.dev_addr);
            return Judged::distrust(Distrust::UnknownDevice, Some("dev_addr"), message);
        }
        let mut best = (Fit::None, None);
        for dev_eui in candidates {
            let (Some(device), Some(state)) = (self.registry.get(*dev_eui), self.states.get(*dev_eui)) else { continue };
            for session in [&state.joined, &state.session].into_iter().flatten().filter(|s| s.dev_addr == data.dev_addr) {
                let Some(keys) = keys(&device.activation, session) else { continue };
                let fit = fit(data, session, &keys);
                if rank(fit) > rank(best.0) {
                    best = (fit, Some((device.dev_eui, session.clone(), keys)));
                }
            }
        }
        let Some((dev_eui, session, keys)) = best.1 else {
            let message = format!(
                "the MIC fits no device of the address {:08x}; it is of another network, altered, or the keys differ",
                data.dev_addr
            );
            return Judged::distrust(Distrust::BadMic, Some("mic"), message);
        };
        let replayed = |f_cnt: u32| {
            let newest = session.f_cnt_up.unwrap_or_default();
            let message = format!(
                "{dev_eui}: the counter {f_cnt} is not above {newest}, the newest accepted; a replay, or an ABP device that started again (see counter_reset)"
            );
            Judged::distrust(Distrust::Replayed, Some("f_cnt"), message)
        };
        match best.0 {
            Fit::New(f_cnt) => self.accept(heard, data, &Uplink { dev_eui, session, keys, f_cnt, via, now }),
            Fit::Same(_) if session.accepted_at.is_some_and(|at| within(at, now, REPEAT_US)) => {
                self.repeat(heard, data, &Uplink { dev_eui, session, keys, f_cnt: 0, via, now })
            }
            Fit::Same(f_cnt) | Fit::Old(f_cnt) => replayed(f_cnt),
            Fit::None => Judged::distrust(Distrust::BadMic, Some("mic"), "the MIC fits no session"),
        }
    }

    fn accept(&mut self, heard: &Heard, data: &DataUp, uplink: &Uplink) -> Judged {
        let (dev_eui, number, f_cnt) = (uplink.dev_eui, uplink.session.number, uplink.f_cnt);
        let event = Event::Up { dev_eui, session: number, f_cnt };
        self.states.apply(dev_eui, &event);
        if let Some(session) = &mut self.states.of(dev_eui).session {
            session.accepted_at = Some(uplink.now);
        }
        let verdict = match (data.decrypt(&uplink.keys, f_cnt), self.registry.get(dev_eui)) {
            (Some((port, plain)), Some(device)) => Verdict::Uplink(self.message(heard, data, device, uplink, port, &plain)),
            _ => Verdict::MacOnly,
        };
        let mut judged = Judged { events: vec![event], verdict, answer: None };
        let must = data.confirmed || data.adr_ack_req || data.asks_link_check();
        self.answer(heard, data, uplink, must, &mut judged);
        judged
    }

    /// The device did not hear the answer to its confirmed frame; a late copy needs none.
    fn repeat(&mut self, heard: &Heard, data: &DataUp, uplink: &Uplink) -> Judged {
        let mut judged = Judged::only(Verdict::Repeated);
        let soon = |at: Timestamp| within(at, uplink.now, LATE_COPY_US);
        if data.confirmed && !uplink.session.answered_at.or(uplink.session.accepted_at).is_some_and(soon) {
            self.answer(heard, data, uplink, true, &mut judged);
        }
        judged
    }

    fn answer(&mut self, heard: &Heard, data: &DataUp, uplink: &Uplink, must: bool, judged: &mut Judged) {
        let Some((via, reception)) = uplink.via.and_then(|via| Some((via, heard.receptions.get(via)?))) else { return };
        let dev_eui = uplink.dev_eui;
        let link_check = data.asks_link_check().then(|| {
            let margin = margin(reception.snr, reception.modulation);
            (margin, u8::try_from(heard.receptions.len()).unwrap_or(u8::MAX))
        });
        // The answer to LinkCheckReq takes 3 bytes of the same frame.
        let room = reception.modulation.map_or(51, Modulation::payload_max) - if link_check.is_some() { 3 } else { 0 };
        let (waiting, pending) = self.downlinks.take(dev_eui, room);
        if waiting.is_none() && !must {
            return;
        }
        let Some(session) = &mut self.states.of(dev_eui).session else { return };
        let f_cnt = session.f_cnt_down;
        session.answered_at = Some(uplink.now);
        let payload = waiting.as_ref().map(|w| (w.f_port, w.bytes.as_slice()));
        let down = DataDown { dev_addr: data.dev_addr, f_cnt, ack: data.confirmed, pending, link_check, payload };
        let (Ok(phy), Some(next)) = (down.encode(&uplink.keys), f_cnt.checked_add(1)) else {
            if let Some(waiting) = waiting {
                let reason = "the counter of downlinks is used up; the device must join again".to_owned();
                self.downlinks.set(waiting.id, DownlinkState::Failed { reason });
            }
            return;
        };
        let event = Event::Down { dev_eui, session: session.number, next };
        self.states.apply(dev_eui, &event);
        judged.events.push(event);
        let fits_second = payload.is_none_or(|(_, bytes)| bytes.len() + 3 <= 51);
        judged.answer = Some(Answer {
            dev_eui,
            phy,
            delay_secs: RX1_DELAY_SECS,
            via,
            fits_second,
            acknowledges: data.confirmed,
            id: waiting.map(|w| w.id),
        });
    }

    fn message(&self, heard: &Heard, data: &DataUp, device: &Device, uplink: &Uplink, port: u8, plain: &[u8]) -> RawMessage {
        let document = document::Uplink { heard, data, device, session: uplink.session.number, f_cnt: uplink.f_cnt, f_port: port, plain };
        RawMessage { topic: format!("lorawan/{}/up", device.dev_eui).into(), payload: document.json().into() }
    }
}

/// An authentic frame and what belongs to it.
struct Uplink {
    dev_eui: Eui,
    session: Session,
    keys: SessionKeys,
    f_cnt: u32,
    via: Option<usize>,
    now: Timestamp,
}

fn within(at: Timestamp, now: Timestamp, us: i64) -> bool {
    now >= at && now.0.saturating_sub(at.0) < us
}

fn rank(fit: Fit) -> u8 {
    match fit {
        Fit::None => 0,
        Fit::Old(_) => 1,
        Fit::Same(_) => 2,
        Fit::New(_) => 3,
    }
}

/// Of the 32 bits of a counter 16 travel. The upper half is that of the newest accepted frame, or one more when the lower half
/// would not grow; the MIC, which covers all 32, decides. A gap of more than 2^16 frames cannot be told and is refused.
fn fit(data: &DataUp, session: &Session, keys: &SessionKeys) -> Fit {
    let low = u32::from(data.f_cnt);
    let Some(newest) = session.f_cnt_up else {
        return if data.is_of(keys, low) { Fit::New(low) } else { Fit::None };
    };
    let same = (newest & 0xffff_0000) | low;
    if same > newest {
        if data.is_of(keys, same) {
            return Fit::New(same);
        }
    } else {
        if let Some(next) = same.checked_add(1 << 16).filter(|next| data.is_of(keys, *next)) {
            return Fit::New(next);
        }
        if data.is_of(keys, same) {
            return if same == newest { Fit::Same(same) } else { Fit::Old(same) };
        }
    }
    // A frame from before the last roll-over.
    match same.checked_sub(1 << 16).filter(|old| data.is_of(keys, *old)) {
        Some(old) => Fit::Old(old),
        None => Fit::None,
    }
}

/// dB above what the spreading factor needs (SX1301 demodulation floor).
fn margin(snr: Option<f64>, modulation: Option<Modulation>) -> u8 {
    let needed = match modulation {
        Some(Modulation::Lora { spreading_factor, .. }) => -2.5 * (f64::from(spreading_factor) - 4.0),
        _ => 0.0,
    };
    // A float cast saturates; 255 is reserved.
    ((snr.unwrap_or(needed) - needed) as u8).min(254)
}

#[cfg(test)]
mod tests;
