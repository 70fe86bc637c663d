//! The same frame from several gateways, gathered for a short while and then handed on once, with all receptions.

use super::{radio::Reception, text::Eui};
use bytes::Bytes;
use hashbrown::HashMap;
use schemas::Timestamp;
use std::collections::VecDeque;

/// Receptions kept with one frame; a city has no place that more gateways hear.
const RECEPTIONS_MAX: usize = 64;

/// One frame of the air.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Heard {
    pub(super) phy: Bytes,
    /// When the first gateway told of it.
    pub(super) first_at: Timestamp,
    /// One for each gateway, best first once the window is closed.
    pub(super) receptions: Vec<Reception>,
}

impl Heard {
    pub(super) fn best(&self) -> Option<Eui> {
        self.receptions.first().map(|r| r.gateway)
    }
}

/// What became of a reception.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    First,
    /// Another gateway's, or another antenna's, copy of a frame that waits.
    Copy,
    /// Too many frames wait; this one is lost.
    Full,
}

/// Frames whose window is open, in order of their first reception.
#[derive(Debug)]
pub(super) struct Gather {
    window_us: i64,
    frames_max: usize,
    waiting: VecDeque<Heard>,
    /// Place of a frame, counted from the first frame ever.
    places: HashMap<Bytes, u64>,
    n_gone: u64,
}

impl Gather {
    pub(super) fn new(window_us: i64, frames_max: usize) -> Self {
        Self { window_us, frames_max: frames_max.max(1), waiting: VecDeque::new(), places: HashMap::new(), n_gone: 0 }
    }

    pub(super) fn add(&mut self, reception: Reception, now: Timestamp) -> Taken {
        if let Some(place) = self.places.get(&reception.phy) {
            if let Some(heard) = self.waiting.get_mut((place - self.n_gone) as usize) {
                let n = heard.receptions.len();
                match heard.receptions.iter_mut().find(|r| r.gateway == reception.gateway) {
                    Some(known) if known.strength() < reception.strength() => *known = reception,
                    None if n < RECEPTIONS_MAX => heard.receptions.push(reception),
                    _ => {}
                }
            }
            return Taken::Copy;
        }
        if self.waiting.len() >= self.frames_max {
            return Taken::Full;
        }
        self.places.insert(reception.phy.clone(), self.n_gone + self.waiting.len() as u64);
        self.waiting.push_back(Heard { phy: reception.phy.clone(), first_at: now, receptions: vec![reception] });
        Taken::First
    }

    /// Frames whose window has closed. A clock that was set back closes windows too, it never keeps them open.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<Heard> {
        let over = |first: Timestamp| now < first || now.0.saturating_sub(first.0) >= self.window_us;
        let n = self.waiting.iter().take_while(|h| over(h.first_at)).count();
        self.take(n)
    }

    /// Everything, for the end.
    pub(super) fn drain(&mut self) -> Vec<Heard> {
        self.take(self.waiting.len())
    }

    fn take(&mut self, n: usize) -> Vec<Heard> {
        self.n_gone += n as u64;
        let mut out: Vec<Heard> = self.waiting.drain(..n).collect();
        for heard in &mut out {
            self.places.remove(&heard.phy);
            heard.receptions.sort_by(|a, b| {
                let ((snr_a, rssi_a), (snr_b, rssi_b)) = (a.strength(), b.strength());
                snr_b.total_cmp(&snr_a).then(rssi_b.total_cmp(&rssi_a)).then(a.gateway.cmp(&b.gateway))
            });
        }
        out
    }

    /// When the next window closes.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.waiting.front().map(|h| Timestamp(h.first_at.0.saturating_add(self.window_us)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reception(gateway: u64, phy: &'static str, snr: Option<f64>) -> Reception {
        Reception {
            gateway: Eui(gateway),
            phy: phy.into(),
            time: None,
            frequency_hz: None,
            modulation: None,
            channel: None,
            rssi: Some(-80.0),
            snr,
            position: None,
            answer_at: None,
        }
    }

    #[test]
    fn one_frame_of_three_gateways_is_one_best_first() {
        let mut gather = Gather::new(200, 10);
        assert_eq!(gather.add(reception(1, "a", None), Timestamp(1_000)), Taken::First);
        assert_eq!(gather.add(reception(2, "b", Some(1.0)), Timestamp(1_100)), Taken::First);
        assert_eq!(gather.add(reception(3, "a", Some(7.5)), Timestamp(1_150)), Taken::Copy);
        assert_eq!(gather.add(reception(2, "a", Some(-3.0)), Timestamp(1_199)), Taken::Copy);
        // The second antenna of a gateway is no second gateway; the better one stays.
        assert_eq!(gather.add(reception(2, "a", Some(-1.0)), Timestamp(1_199)), Taken::Copy);
        assert!(gather.due(Timestamp(1_199)).is_empty());
        assert_eq!(gather.next_due(), Some(Timestamp(1_200)));
        let due = gather.due(Timestamp(1_200));
        let receptions: Vec<_> = due[0].receptions.iter().map(|r| (r.gateway.0, r.snr)).collect();
        assert_eq!((due.len(), receptions), (1, vec![(3, Some(7.5)), (2, Some(-1.0)), (1, None)]));
        // After the window it is a frame of its own: the counters tell that it is an old one.
        assert_eq!(gather.add(reception(4, "a", None), Timestamp(1_250)), Taken::First);
        assert_eq!(gather.drain().len(), 2);
        assert_eq!(gather.next_due(), None);
    }

    #[test]
    fn the_waiting_room_is_bounded_and_a_clock_set_back_does_not_close_it() {
        let mut gather = Gather::new(200, 2);
        for (phy, taken) in [("a", Taken::First), ("b", Taken::First), ("c", Taken::Full), ("a", Taken::Copy)] {
            assert_eq!(gather.add(reception(1, phy, None), Timestamp(1_000)), taken);
        }
        assert_eq!(gather.due(Timestamp(10)).len(), 2);
        assert_eq!(gather.add(reception(1, "c", None), Timestamp(10)), Taken::First);
        assert_eq!(gather.due(Timestamp(210)).len(), 1);
    }
}
