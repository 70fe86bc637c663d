//! The gateways: which may speak, how much, and how each is answered. GWMP proves nothing about the sender, so these limits are
//! all that stands between the network and the disk.

use super::{radio::Position, text::Eui};
use hashbrown::{HashMap, HashSet};
use schemas::Timestamp;
use std::{net::SocketAddr, sync::Arc};
use tokio::{net::UdpSocket, sync::mpsc};

/// A forwarder asks every few seconds; after this silence its address may be another's.
const ROUTE_US: i64 = 120_000_000;
/// A gateway silent for so long makes room for another when there are too many.
const FORGET_US: i64 = 600_000_000;
const MINUTE_US: i64 = 60_000_000;

/// How a gateway is answered.
#[derive(Debug, Clone)]
pub(super) enum Route {
    Udp {
        socket: Arc<UdpSocket>,
        to: SocketAddr,
        version: u8,
    },
    /// Text messages for the WebSocket; the number tells connections of one gateway apart.
    Station {
        to: mpsc::Sender<String>,
        connection: u64,
    },
}

/// Whether a packet is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Admitted,
    Refused,
    OverLimit,
}

/// A bucket of tokens that fills at a steady rate.
#[derive(Debug)]
struct Bucket {
    /// In millionths of a token.
    level: i64,
    at: Timestamp,
}

impl Bucket {
    fn full(tokens_max: u32, now: Timestamp) -> Self {
        Self { level: i64::from(tokens_max) * 1_000_000, at: now }
    }

    /// `per_minute` tokens come back in a minute, `tokens_max` are kept at most.
    fn take(&mut self, n: u32, per_minute: u64, tokens_max: u32, now: Timestamp) -> bool {
        // A clock set back gives nothing and takes nothing.
        let passed = now.0.saturating_sub(self.at.0).clamp(0, MINUTE_US * 60);
        let gained = i64::try_from(u64::try_from(passed).unwrap_or(0).saturating_mul(per_minute) / 60).unwrap_or(i64::MAX);
        self.level = self.level.saturating_add(gained).min(i64::from(tokens_max) * 1_000_000);
        self.at = now;
        let wanted = i64::from(n) * 1_000_000;
        let enough = self.level >= wanted;
        if enough {
            self.level -= wanted;
        }
        enough
    }
}

#[derive(Debug)]
struct Gateway {
    seen_at: Timestamp,
    packets: Bucket,
    quarantine: Bucket,
    position: Option<Position>,
    route: Option<(Route, Timestamp)>,
}

/// Limits of all gateways.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// `None`: any.
    pub(super) allowed: Option<HashSet<Eui>>,
    pub(super) gateways_max: usize,
    pub(super) per_second: u32,
    pub(super) quarantined_per_minute: u32,
}

#[derive(Debug)]
pub(super) struct Gateways {
    limits: Limits,
    all: HashMap<Eui, Gateway>,
}

impl Gateways {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, all: HashMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Takes `n` packets or frames off the rate of a gateway.
    pub(super) fn admit(&mut self, eui: Eui, n: u32, now: Timestamp) -> Admission {
        if self.limits.allowed.as_ref().is_some_and(|allowed| !allowed.contains(&eui)) || !self.make_room(eui, now) {
            return Admission::Refused;
        }
        let per_second = self.limits.per_second.max(1);
        // Two seconds' worth at once: forwarders send in bursts.
        let (per_minute, burst) = (u64::from(per_second) * 60, per_second.saturating_mul(2));
        let gateway = self.all.entry(eui).or_insert_with(|| Gateway {
            seen_at: now,
            packets: Bucket::full(burst, now),
            quarantine: Bucket::full(self.limits.quarantined_per_minute, now),
            position: None,
            route: None,
        });
        gateway.seen_at = now;
        if gateway.packets.take(n, per_minute, burst, now) { Admission::Admitted } else { Admission::OverLimit }
    }

    fn make_room(&mut self, eui: Eui, now: Timestamp) -> bool {
        if self.all.len() < self.limits.gateways_max || self.all.contains_key(&eui) {
            return true;
        }
        self.all.retain(|_, g| now.0.saturating_sub(g.seen_at.0) < FORGET_US);
        self.all.len() < self.limits.gateways_max
    }

    /// Whether one more untrusted piece of this gateway's input is kept.
    pub(super) fn may_quarantine(&mut self, eui: Eui, now: Timestamp) -> bool {
        let max = self.limits.quarantined_per_minute;
        self.all.get_mut(&eui).is_some_and(|g| g.quarantine.take(1, u64::from(max), max, now))
    }

    pub(super) fn set_position(&mut self, eui: Eui, position: Position) {
        if let Some(gateway) = self.all.get_mut(&eui) {
            gateway.position = Some(position);
        }
    }

    pub(super) fn position(&self, eui: Eui) -> Option<Position> {
        self.all.get(&eui)?.position
    }

    pub(super) fn set_route(&mut self, eui: Eui, route: Route, now: Timestamp) {
        if let Some(gateway) = self.all.get_mut(&eui) {
            gateway.route = Some((route, now));
        }
    }

    /// Forgets the route of a WebSocket that has closed, unless the gateway has come back since.
    pub(super) fn close_route(&mut self, eui: Eui, closed: u64) {
        if let Some(gateway) = self.all.get_mut(&eui)
            && matches!(&gateway.route, Some((Route::Station { connection, .. }, _)) if *connection == closed)
        {
            gateway.route = None;
        }
    }

    /// How a gateway can be answered now.
    pub(super) fn route(&self, eui: Eui, now: Timestamp) -> Option<Route> {
        let (route, at) = self.all.get(&eui)?.route.as_ref()?;
        let fresh = matches!(route, Route::Station { .. }) || now.0.saturating_sub(at.0) < ROUTE_US;
        fresh.then(|| route.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateways(allowed: Option<&[u64]>) -> Gateways {
        let allowed = allowed.map(|a| a.iter().copied().map(Eui).collect());
        Gateways::new(Limits { allowed, gateways_max: 2, per_second: 10, quarantined_per_minute: 3 })
    }

    #[test]
    fn a_flood_is_cut_to_the_rate_and_the_rate_comes_back() {
        let mut all = gateways(None);
        let count = |all: &mut Gateways, at| (0..1_000).filter(|_| all.admit(Eui(1), 1, Timestamp(at)) == Admission::Admitted).count();
        assert_eq!(count(&mut all, 1_000_000), 20);
        assert_eq!(count(&mut all, 1_500_000), 5);
        assert_eq!(count(&mut all, 900_000_000), 20);
        // The clock is set back: the flood goes on being one.
        assert_eq!(count(&mut all, 1_000_000), 0);
        assert_eq!(all.admit(Eui(2), 1, Timestamp(1_000_000)), Admission::Admitted, "others are not punished");
        let kept = (0..100).filter(|_| all.may_quarantine(Eui(1), Timestamp(900_000_000))).count();
        assert_eq!((kept, all.may_quarantine(Eui(9), Timestamp(0))), (3, false));
    }

    #[test]
    fn only_listed_gateways_and_only_so_many() {
        let mut all = gateways(Some(&[1]));
        assert_eq!((all.admit(Eui(1), 1, Timestamp(0)), all.admit(Eui(2), 1, Timestamp(0))), (Admission::Admitted, Admission::Refused));
        let mut all = gateways(None);
        let mut admit = |eui, at| all.admit(Eui(eui), 1, Timestamp(at));
        assert_eq!((admit(1, 0), admit(2, 1), admit(3, 2)), (Admission::Admitted, Admission::Admitted, Admission::Refused));
        assert_eq!(admit(3, FORGET_US), Admission::Admitted, "a gateway that left makes room");
        assert_eq!(all.len(), 2);
    }
}
