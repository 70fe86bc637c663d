//! What must survive a restart: frame counters, used nonces, and what joins settled. Kept as events, each written before anything
//! that follows from it leaves the process (an answer to the device, a message to the log). So after `kill -9` no frame that was
//! ever passed on is accepted again; a frame whose event was not written was passed on to nobody, and may come again.

use super::{
    device::{Activation, Join, Registry, SessionKeys},
    text::Eui,
};
use crate::IngestError;
use hashbrown::HashMap;
use schemas::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt::Debug};

/// Numbers of ABP sessions begin here: join nonces have 24 bits.
pub(super) const ABP: u32 = 1 << 31;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// A join was accepted; the session begins with the first frame that uses it.
    Joined { dev_eui: Eui, join_nonce: u32, dev_nonce: u16, net_id: u32, dev_addr: u32 },
    /// Nonces of earlier joins (written when the file is made short).
    Nonces { dev_eui: Eui, used: BTreeSet<u16>, join_nonce: u32 },
    /// An uplink was accepted. `session` is the join nonce, or for ABP 2^31 plus `counter_reset`.
    Up { dev_eui: Eui, session: u32, f_cnt: u32 },
    /// The next downlink has this counter.
    Down { dev_eui: Eui, session: u32, next: u32 },
}

/// Where events are kept. Implemented by [`super::store::FileStore`].
pub trait SessionStore: Debug + Send + Sync + 'static {
    /// All events, in order.
    ///
    /// # Errors
    /// When they cannot be read, or not all of them: without counters old frames would be accepted.
    fn load(&self) -> Result<Vec<Event>, IngestError>;

    /// Adds events. They are on disk when it returns. May block.
    ///
    /// # Errors
    /// When they may not be on disk.
    fn append(&self, events: &[Event]) -> Result<(), IngestError>;

    /// Puts these events in the place of all earlier ones, at once or not at all. May block.
    ///
    /// # Errors
    /// When the earlier ones stay.
    fn replace(&self, events: &[Event]) -> Result<(), IngestError>;
}

/// One session of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) number: u32,
    pub(super) dev_addr: u32,
    /// `None` for ABP, whose keys are in the registry.
    pub(super) join: Option<Join>,
    /// The newest accepted uplink.
    pub(super) f_cnt_up: Option<u32>,
    /// Of the next downlink.
    pub(super) f_cnt_down: u32,
    /// When the newest uplink was accepted, in this run of the program.
    pub(super) accepted_at: Option<Timestamp>,
    /// When it was last answered.
    pub(super) answered_at: Option<Timestamp>,
}

impl Session {
    fn new(number: u32, dev_addr: u32, join: Option<Join>) -> Self {
        Self { number, dev_addr, join, f_cnt_up: None, f_cnt_down: 0, accepted_at: None, answered_at: None }
    }
}

/// What is remembered of one device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DeviceState {
    pub(super) session: Option<Session>,
    /// Settled by a join, not used by the device yet: the accept may have been lost, then the old session goes on.
    pub(super) joined: Option<Session>,
    /// Of the newest join; 24 bits, only grows.
    pub(super) join_nonce: u32,
    pub(super) used_nonces: BTreeSet<u16>,
    /// Nonce and time of the newest join of this run.
    pub(super) joined_at: Option<(u16, Timestamp)>,
}

impl DeviceState {
    pub(super) fn apply(&mut self, event: &Event) {
        match *event {
            Event::Joined { join_nonce, dev_nonce, net_id, dev_addr, .. } => {
                self.used_nonces.insert(dev_nonce);
                self.join_nonce = self.join_nonce.max(join_nonce);
                self.joined = Some(Session::new(join_nonce, dev_addr, Some(Join { join_nonce, net_id, dev_nonce })));
            }
            Event::Nonces { ref used, join_nonce, .. } => {
                self.used_nonces.extend(used);
                self.join_nonce = self.join_nonce.max(join_nonce);
            }
            Event::Up { session, f_cnt, .. } => {
                if let Some(new) = self.joined.take_if(|s| s.number == session) {
                    self.session = Some(new);
                }
                // A session with counters may be written although its join is not: that of an ABP device.
                if session >= ABP && self.session.as_ref().is_none_or(|s| s.number != session) {
                    self.session = Some(Session::new(session, 0, None));
                }
                if let Some(current) = self.session.as_mut().filter(|s| s.number == session) {
                    current.f_cnt_up = current.f_cnt_up.max(Some(f_cnt));
                }
            }
            Event::Down { session, next, .. } => {
                for current in [&mut self.session, &mut self.joined].into_iter().flatten().filter(|s| s.number == session) {
                    current.f_cnt_down = current.f_cnt_down.max(next);
                }
            }
        }
    }

    /// Events that give this state again.
    fn events(&self, dev_eui: Eui, out: &mut Vec<Event>) {
        if !self.used_nonces.is_empty() {
            out.push(Event::Nonces { dev_eui, used: self.used_nonces.clone(), join_nonce: self.join_nonce });
        }
        for (session, is_current) in [(&self.session, true), (&self.joined, false)] {
            let Some(session) = session else { continue };
            if let Some(Join { join_nonce, net_id, dev_nonce }) = session.join {
                out.push(Event::Joined { dev_eui, join_nonce, dev_nonce, net_id, dev_addr: session.dev_addr });
            }
            if let Some(f_cnt) = session.f_cnt_up.filter(|_| is_current) {
                out.push(Event::Up { dev_eui, session: session.number, f_cnt });
            }
            if session.f_cnt_down > 0 {
                out.push(Event::Down { dev_eui, session: session.number, next: session.f_cnt_down });
            }
        }
    }
}

/// The states of all devices, those that the registry no longer names included: naming them again must not forget counters.
#[derive(Debug, Default)]
pub(super) struct States {
    all: HashMap<Eui, DeviceState>,
    /// Devices by the address of their sessions, as far as the registry knows their keys.
    by_address: HashMap<u32, Vec<Eui>>,
}

impl States {
    pub(super) fn replay(events: &[Event]) -> Self {
        let mut out = Self::default();
        for event in events {
            let (Event::Joined { dev_eui, .. } | Event::Nonces { dev_eui, .. } | Event::Up { dev_eui, .. } | Event::Down { dev_eui, .. }) =
                event;
            out.all.entry(*dev_eui).or_default().apply(event);
        }
        out
    }

    /// Opens the sessions of ABP devices and finds every address anew.
    pub(super) fn adopt(&mut self, registry: &Registry) {
        self.by_address.clear();
        for device in registry.iter() {
            let state = self.all.entry(device.dev_eui).or_default();
            if let Activation::Abp { dev_addr, counter_reset, .. } = device.activation {
                let number = ABP + counter_reset;
                match &mut state.session {
                    Some(session) if session.number == number => session.dev_addr = dev_addr,
                    session => *session = Some(Session::new(number, dev_addr, None)),
                }
                state.joined = None;
            }
        }
        let sessions = self.all.iter().filter(|(eui, _)| registry.get(**eui).is_some());
        let addresses: Vec<_> =
            sessions.flat_map(|(eui, s)| [&s.session, &s.joined].map(|s| s.as_ref().map(|s| (s.dev_addr, *eui)))).collect();
        addresses.into_iter().flatten().for_each(|(address, eui)| self.know(address, eui));
    }

    fn know(&mut self, dev_addr: u32, dev_eui: Eui) {
        let devices = self.by_address.entry(dev_addr).or_default();
        if !devices.contains(&dev_eui) {
            devices.push(dev_eui);
            devices.sort_unstable();
        }
    }

    pub(super) fn at_address(&self, dev_addr: u32) -> &[Eui] {
        self.by_address.get(&dev_addr).map_or(&[], Vec::as_slice)
    }

    pub(super) fn of(&mut self, dev_eui: Eui) -> &mut DeviceState {
        self.all.entry(dev_eui).or_default()
    }

    pub(super) fn get(&self, dev_eui: Eui) -> Option<&DeviceState> {
        self.all.get(&dev_eui)
    }

    /// Applies an event of now, and keeps the addresses right.
    pub(super) fn apply(&mut self, dev_eui: Eui, event: &Event) {
        let state = self.all.entry(dev_eui).or_default();
        let before = [&state.session, &state.joined].map(|s| s.as_ref().map(|s| s.dev_addr));
        state.apply(event);
        let after = [&state.session, &state.joined].map(|s| s.as_ref().map(|s| s.dev_addr));
        for gone in before.into_iter().flatten().filter(|a| !after.contains(&Some(*a))) {
            if let Some(devices) = self.by_address.get_mut(&gone) {
                devices.retain(|d| *d != dev_eui);
                if devices.is_empty() {
                    self.by_address.remove(&gone);
                }
            }
        }
        after.into_iter().flatten().for_each(|address| self.know(address, dev_eui));
    }

    /// The shortest list of events that gives these states.
    pub(super) fn snapshot(&self) -> Vec<Event> {
        let mut devices: Vec<_> = self.all.iter().collect();
        devices.sort_unstable_by_key(|(eui, _)| **eui);
        let mut out = Vec::new();
        devices.into_iter().for_each(|(eui, state)| state.events(*eui, &mut out));
        out
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}

/// The keys of a session, when the registry still has what they come from.
pub(super) fn keys(activation: &Activation, session: &Session) -> Option<SessionKeys> {
    match (activation, session.join) {
        (Activation::Abp { keys, .. }, None) => Some(*keys),
        (Activation::Otaa { root_key, .. }, Some(join)) => root_key.derive(join),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EUI: Eui = Eui(0x0303_0303_0303_0303);

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let join = |n: u32| Event::Joined { dev_eui: EUI, join_nonce: n, dev_nonce: n as u16, net_id: 0, dev_addr: n };
        let event = prop_oneof![
            (1_u32..4).prop_map(join),
            (0_u32..4, 0_u32..70_000).prop_map(|(session, f_cnt)| Event::Up { dev_eui: EUI, session, f_cnt }),
            (0_u32..4, 0_u32..9).prop_map(|(session, next)| Event::Down { dev_eui: EUI, session, next }),
            (0_u32..70_000).prop_map(|f_cnt| Event::Up { dev_eui: EUI, session: ABP, f_cnt }),
        ];
        prop::collection::vec(event, 0..12)
    }

    proptest! {
        #[test]
        fn a_snapshot_gives_the_same_states(events in events()) {
            let mut states = States::replay(&events);
            states.all.retain(|_, state| *state != DeviceState::default());
            prop_assert_eq!(&States::replay(&states.snapshot()).all, &states.all);
        }
    }

    #[test]
    fn a_joined_session_replaces_the_old_one_when_it_is_used() {
        let registry =
            Registry::parse("d.toml", "[[device]]\ndev_eui='0303030303030303'\napp_key='0102030405060708090a0b0c0d0e0f10'").unwrap();
        let join = |n: u32| Event::Joined { dev_eui: EUI, join_nonce: n, dev_nonce: n as u16, net_id: 0, dev_addr: n };
        let mut states = States::replay(&[join(1), Event::Up { dev_eui: EUI, session: 1, f_cnt: 7 }, join(2)]);
        states.adopt(&registry);
        assert_eq!((states.at_address(1), states.at_address(2)), (&[EUI][..], &[EUI][..]));
        states.apply(EUI, &Event::Up { dev_eui: EUI, session: 2, f_cnt: 0 });
        assert_eq!((states.at_address(1).len(), states.at_address(2)), (0, &[EUI][..]));
        let state = states.get(EUI).unwrap();
        assert_eq!((state.session.as_ref().unwrap().f_cnt_up, state.joined.as_ref(), state.join_nonce), (Some(0), None, 2));
    }
}
