//! Slows down guessing of passwords: failed logins per address.

use hashbrown::HashMap;
use parking_lot::Mutex;
use std::{net::IpAddr, time::Duration};
use tokio::time::Instant;

/// Addresses remembered at most; the one whose window started first makes room.
const ADDRESSES_MAX: usize = 4_096;

/// Counts failed logins per address in windows of fixed length.
#[derive(Debug)]
pub(crate) struct LoginGuard {
    failures_max: u32,
    window: Duration,
    seen: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

impl LoginGuard {
    pub(crate) fn new(failures_max: u32, window: Duration) -> Self {
        Self { failures_max, window, seen: Mutex::default() }
    }

    /// Whether the address may try again now.
    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        let key = network(address);
        let seen = self.seen.lock();
        seen.get(&key).is_none_or(|(start, n)| start.elapsed() >= self.window || *n < self.failures_max)
    }

    pub(crate) fn failed(&self, address: IpAddr) {
        let key = network(address);
        let mut seen = self.seen.lock();
        if seen.len() >= ADDRESSES_MAX && !seen.contains_key(&key) {
            seen.retain(|_, (start, _)| start.elapsed() < self.window);
            if seen.len() >= ADDRESSES_MAX
                && let Some(oldest) = seen.iter().min_by_key(|(_, (start, _))| *start).map(|(k, _)| *k)
            {
                seen.remove(&oldest);
            }
        }
        let entry = seen.entry(key).or_insert_with(|| (Instant::now(), 0));
        if entry.0.elapsed() >= self.window {
            *entry = (Instant::now(), 0);
        }
        entry.1 += 1;
    }
}

/// One household or office has a whole /64 of IPv6, so that is what is counted.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_none() => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        other => other.to_canonical(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[tokio::test(start_paused = true)]
    async fn an_address_waits_for_its_window_and_others_do_not() {
        let guard = LoginGuard::new(3, Duration::from_secs(60));
        let (bad, good) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
        for _ in 0..3 {
            assert!(guard.allows(bad));
            guard.failed(bad);
        }
        assert!(!guard.allows(bad));
        assert!(guard.allows(good));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(guard.allows(bad));
    }

    #[test]
    fn the_map_is_bounded_and_a_v6_network_is_one_address() {
        let guard = LoginGuard::new(1, Duration::from_secs(3_600));
        for i in 0..ADDRESSES_MAX as u32 + 100 {
            guard.failed(IpAddr::V4(i.into()));
        }
        assert_eq!(guard.seen.lock().len(), ADDRESSES_MAX);
        guard.failed("2001:db8::1".parse().unwrap());
        assert!(!guard.allows("2001:db8::2".parse().unwrap()));
    }
}
