//! Messages for devices: queued until the device speaks (class A), sent through the gateway that heard it best, and followed until
//! that gateway says what became of them. The queue lives in memory; a restart forgets it, and the caller sees `None`.

use super::{gwmp::Txpk, text::Eui};
use crate::IngestError;
use hashbrown::HashMap;
use schemas::Timestamp;
use std::collections::VecDeque;

/// Downlinks that wait for one device, and for all.
const PER_DEVICE_MAX: usize = 16;
const QUEUED_MAX: usize = 10_000;
/// Downlinks whose state is remembered; the oldest makes room.
const REMEMBERED_MAX: usize = 20_000;
/// Longest FRMPayload of EU868.
const BYTES_MAX: usize = 222;
/// Transmissions that wait for the word of their gateway.
const IN_FLIGHT_MAX: usize = 10_000;
/// A gateway answers when it has queued or sent a frame, seconds at most.
const ANSWER_WITHIN_US: i64 = 15_000_000;

/// Names one downlink of this run of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DownlinkId(pub u64);

/// What became of a downlink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DownlinkState {
    /// Waits for the device to speak.
    Queued,
    /// Handed to this gateway, which has not answered. Gateways of protocol version 1 never do.
    Sent {
        gateway: Eui,
    },
    /// The gateway took it for transmission (TX_ACK), or has transmitted it (Basics Station).
    Acknowledged {
        gateway: Eui,
    },
    Failed {
        reason: String,
    },
}

/// One message for a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) id: DownlinkId,
    pub(super) f_port: u8,
    pub(super) bytes: Vec<u8>,
}

/// Queues and states.
#[derive(Debug, Default)]
pub(super) struct Downlinks {
    next_id: u64,
    n_queued: usize,
    queues: HashMap<Eui, VecDeque<Waiting>>,
    states: HashMap<DownlinkId, DownlinkState>,
    /// Order of the states.
    remembered: VecDeque<DownlinkId>,
}

impl Downlinks {
    pub(super) fn enqueue(&mut self, dev_eui: Eui, f_port: u8, bytes: &[u8]) -> Result<DownlinkId, IngestError> {
        if !(1..=223).contains(&f_port) {
            return Err(IngestError::Invalid(format!("f_port {f_port} is not for applications; use 1 to 223")));
        }
        let limit = |what, value: usize, limit: usize, fix| IngestError::Limit { what, value: value as u64, limit: limit as u64, fix };
        if bytes.len() > BYTES_MAX {
            return Err(limit("the downlink in bytes", bytes.len(), BYTES_MAX, "send it in parts"));
        }
        let n = self.queues.get(&dev_eui).map_or(0, VecDeque::len);
        if n >= PER_DEVICE_MAX || self.n_queued >= QUEUED_MAX {
            let (value, max) = if n >= PER_DEVICE_MAX { (n, PER_DEVICE_MAX) } else { (self.n_queued, QUEUED_MAX) };
            return Err(limit("the queue of downlinks", value, max, "wait until the device has spoken"));
        }
        self.next_id += 1;
        self.n_queued += 1;
        let id = DownlinkId(self.next_id);
        self.queues.entry(dev_eui).or_default().push_back(Waiting { id, f_port, bytes: bytes.to_vec() });
        self.remembered.push_back(id);
        self.states.insert(id, DownlinkState::Queued);
        while self.remembered.len() > REMEMBERED_MAX {
            // Queued ones are fewer than remembered ones, so only states of ended ones are forgotten in practice.
            if let Some(old) = self.remembered.pop_front() {
                self.states.remove(&old);
            }
        }
        Ok(id)
    }

    /// Takes the next downlink that fits, and says whether more wait. One that can never fit at this rate fails.
    pub(super) fn take(&mut self, dev_eui: Eui, bytes_max: usize) -> (Option<Waiting>, bool) {
        let Some(queue) = self.queues.get_mut(&dev_eui) else { return (None, false) };
        let mut too_long = Vec::new();
        let mut next = queue.pop_front();
        while let Some(waiting) = next.take_if(|w| w.bytes.len() > bytes_max) {
            too_long.push(waiting);
            next = queue.pop_front();
        }
        let more = !queue.is_empty();
        if !more {
            self.queues.remove(&dev_eui);
        }
        self.n_queued -= too_long.len() + usize::from(next.is_some());
        for waiting in too_long {
            let reason = format!("{} bytes do not fit the device's data rate, which takes {bytes_max}", waiting.bytes.len());
            self.set(waiting.id, DownlinkState::Failed { reason });
        }
        (next, more)
    }

    pub(super) fn set(&mut self, id: DownlinkId, state: DownlinkState) {
        if let Some(known) = self.states.get_mut(&id) {
            *known = state;
        }
    }

    pub(super) fn state(&self, id: DownlinkId) -> Option<DownlinkState> {
        self.states.get(&id).cloned()
    }

    pub(super) fn n_queued(&self) -> usize {
        self.n_queued
    }
}

/// A transmission that a gateway has not answered.
#[derive(Debug, Clone)]
pub(super) struct InFlight {
    /// `None` for join accepts and bare acknowledgements.
    pub(super) id: Option<DownlinkId>,
    pub(super) sent_at: Timestamp,
    /// The same frame in the second window, for when the first is refused.
    pub(super) second: Option<Txpk>,
}

/// Transmissions by gateway and token.
#[derive(Debug, Default)]
pub(super) struct Transmissions {
    last_token: u16,
    open: HashMap<(Eui, u16), InFlight>,
}

impl Transmissions {
    /// Tokens begin where the seed says, so that those of an earlier run are not taken for ours.
    pub(super) fn new(seed: u64) -> Self {
        Self { last_token: seed as u16, open: HashMap::new() }
    }

    /// The token of a new transmission; `None` when too many are open.
    pub(super) fn open(&mut self, gateway: Eui, flight: InFlight) -> Option<u16> {
        if self.open.len() >= IN_FLIGHT_MAX {
            return None;
        }
        self.last_token = self.last_token.wrapping_add(1);
        self.open.insert((gateway, self.last_token), flight);
        Some(self.last_token)
    }

    pub(super) fn close(&mut self, gateway: Eui, token: u16) -> Option<InFlight> {
        self.open.remove(&(gateway, token))
    }

    /// Those that no gateway will answer any more.
    pub(super) fn expired(&mut self, now: Timestamp) -> Vec<InFlight> {
        let over = |f: &InFlight| now < f.sent_at || now.0.saturating_sub(f.sent_at.0) > ANSWER_WITHIN_US;
        self.open.extract_if(|_, f| over(f)).map(|(_, f)| f).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_bounded_ordered_and_say_what_does_not_fit() {
        let mut all = Downlinks::default();
        let eui = Eui(1);
        assert!(all.enqueue(eui, 0, &[1]).unwrap_err().to_string().contains("1 to 223"));
        assert!(all.enqueue(eui, 1, &[0; 223]).unwrap_err().to_string().contains("222"));
        let ids: Vec<_> = [&[0_u8; 100][..], &[1], &[2]].into_iter().map(|b| all.enqueue(eui, 9, b).unwrap()).collect();
        let (next, more) = all.take(eui, 51);
        assert_eq!((next.unwrap().bytes, more, all.n_queued()), (vec![1], true, 1));
        assert!(matches!(all.state(ids[0]), Some(DownlinkState::Failed { reason }) if reason.contains("takes 51")));
        assert_eq!(all.state(ids[2]), Some(DownlinkState::Queued));
        assert!((1..PER_DEVICE_MAX).all(|_| all.enqueue(eui, 1, &[]).is_ok()));
        assert!(all.enqueue(eui, 1, &[]).unwrap_err().to_string().contains("queue"));
        while all.take(eui, 51).0.is_some() {}
        assert_eq!((all.n_queued(), all.take(eui, 51)), (0, (None, false)));
    }

    #[test]
    fn a_transmission_is_answered_once_or_expires() {
        let mut open = Transmissions::new(65_535);
        let flight = |at| InFlight { id: None, sent_at: Timestamp(at), second: None };
        let token = open.open(Eui(1), flight(0)).unwrap();
        assert!(open.close(Eui(2), token).is_none(), "another gateway answers for itself only");
        assert!(open.close(Eui(1), token).is_some() && open.close(Eui(1), token).is_none());
        open.open(Eui(1), flight(0)).unwrap();
        assert_eq!((open.expired(Timestamp(ANSWER_WITHIN_US)).len(), open.expired(Timestamp(ANSWER_WITHIN_US + 1)).len()), (0, 1));
    }
}
