//! The doors of the HTTP surface: how many requests pass side by side, how many event streams are open, how often a sign-in may fail.

use crate::{config::ApiLimits, error::ApiError};
use parking_lot::Mutex;
use schemas::{Kind, Timestamp, time::SECOND_US};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Addresses remembered at once; beyond, the rest share one line.
const ADDRESSES_MAX: usize = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Read,
    Past,
    Sql,
    Ingest,
}

/// A place at a door, given back on drop.
pub(crate) type Place = OwnedSemaphorePermit;

#[derive(Debug)]
pub(crate) struct Doors {
    read: Arc<Semaphore>,
    past: Arc<Semaphore>,
    sql: Arc<Semaphore>,
    ingest: Arc<Semaphore>,
    queue_timeout: Duration,
    events: Arc<Mutex<HashMap<IpAddr, usize>>>,
    events_per_client_max: usize,
    events_total_max: usize,
    failures: Mutex<HashMap<IpAddr, (i64, u32)>>,
    failures_max: u32,
}

impl Doors {
    pub(crate) fn new(limits: &ApiLimits) -> Self {
        let places = |n: usize| Arc::new(Semaphore::new(n.clamp(1, Semaphore::MAX_PERMITS)));
        Self {
            read: places(limits.read_concurrency_max),
            past: places(limits.past_concurrency_max),
            sql: places(limits.sql_concurrency_max),
            ingest: places(limits.ingest_concurrency_max),
            queue_timeout: limits.queue_timeout,
            events: Arc::default(),
            events_per_client_max: limits.events_per_client_max,
            events_total_max: limits.events_total_max,
            failures: Mutex::default(),
            failures_max: limits.sign_in_failures_per_minute_max,
        }
    }

    /// Waits for a place, at most `queue_timeout`. Error: `Unavailable`.
    pub(crate) async fn enter(&self, door: Door) -> Result<Place, ApiError> {
        let semaphore = match door {
            Door::Read => &self.read,
            Door::Past => &self.past,
            Door::Sql => &self.sql,
            Door::Ingest => &self.ingest,
        };
        let full = || ApiError::new(Kind::Unavailable, "too many requests of this kind are running").with_hint("try again in a moment");
        tokio::time::timeout(self.queue_timeout, Arc::clone(semaphore).acquire_owned()).await.map_err(|_| full())?.map_err(|_| full())
    }

    /// A place for one event stream of one client. Error: `Limit`.
    pub(crate) fn open_events(&self, ip: Option<IpAddr>) -> Result<EventsPlace, ApiError> {
        let ip = client(ip);
        let mut open = self.events.lock();
        let full = |what: &str| {
            ApiError::new(Kind::Limit, format!("too many event streams are open {what}")).with_hint("close one, or share it between tabs")
        };
        if open.values().sum::<usize>() >= self.events_total_max {
            return Err(full("in all"));
        }
        let own = open.entry(ip).or_default();
        if *own >= self.events_per_client_max {
            return Err(full("from this address"));
        }
        *own += 1;
        Ok(EventsPlace { ip, open: Arc::clone(&self.events) })
    }

    /// Error: `Limit`, when this address failed too often in this minute.
    pub(crate) fn check_sign_in(&self, ip: Option<IpAddr>, now: Timestamp) -> Result<(), ApiError> {
        let minute = now.0.div_euclid(60 * SECOND_US);
        match self.failures.lock().get(&client(ip)) {
            Some((m, n)) if *m == minute && *n >= self.failures_max => {
                Err(ApiError::new(Kind::Limit, "too many failed sign-ins from this address")
                    .with_hint("wait a minute")
                    .with_retry(schemas::RetryHint::AfterMillis(60_000)))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn note_failure(&self, ip: Option<IpAddr>, now: Timestamp) {
        let minute = now.0.div_euclid(60 * SECOND_US);
        let mut failures = self.failures.lock();
        let mut ip = client(ip);
        if failures.len() >= ADDRESSES_MAX && !failures.contains_key(&ip) {
            failures.retain(|_, (m, _)| *m == minute);
            if failures.len() >= ADDRESSES_MAX {
                ip = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            }
        }
        let entry = failures.entry(ip).or_insert((minute, 0));
        *entry = if entry.0 == minute { (minute, entry.1.saturating_add(1)) } else { (minute, 1) };
    }
}

/// One counted event stream.
#[derive(Debug)]
pub(crate) struct EventsPlace {
    ip: IpAddr,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Drop for EventsPlace {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        if let Some(n) = open.get_mut(&self.ip) {
            *n -= 1;
            if *n == 0 {
                open.remove(&self.ip);
            }
        }
    }
}

/// The line an address is counted on: a home has a whole IPv6 /64, so it is one client.
fn client(ip: Option<IpAddr>) -> IpAddr {
    match ip {
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Some(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        Some(other) => other.to_canonical(),
    }
}
