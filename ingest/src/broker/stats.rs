//! Counters of the broker.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What the broker did since it started. Gauges are marked; the rest only grows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct BrokerStats { $($(#[$doc])* pub $name: u64,)* }

        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $name: Counter,)* }

        impl Counters {
            pub(crate) fn snapshot(&self) -> BrokerStats {
                BrokerStats { $($name: self.$name.get(),)* }
            }
        }

        impl BrokerStats {
            /// Names and values in the order of declaration, for an exporter.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

counters! {
    /// Gauge: clients connected now.
    connections,
    /// Clients that were let in.
    connections_total,
    /// Refused because there were too many connections, or too many wrong passwords from one address.
    refused_connections,
    /// Refused because of a wrong user or password.
    refused_logins,
    /// Closed because another connection came with the same client identifier.
    takeovers,
    /// Closed because nothing was heard for 1.5 times the keep alive.
    keep_alive_timeouts,
    /// Closed because the peer's bytes broke the protocol or a limit.
    faults,
    /// Closed because the log refused messages.
    sink_failures,
    /// PUBLISH packets passed to the pipeline.
    messages,
    /// Their payload bytes.
    bytes,
    /// PUBACK and PUBREC packets written after durability.
    acks,
    /// QoS 2 messages sent again before their release, not passed a second time.
    resent,
    /// PUBLISH packets to a topic that the user may not write.
    refused_topic,
    /// Messages queued for subscribers.
    deliveries,
    /// Messages that a slow subscriber, or one with a small packet limit, lost.
    dropped_deliveries,
    /// Gauge: retained messages kept.
    retained,
    /// Retained messages not kept because the store was full.
    dropped_retained,
    /// Gauge: subscriptions of connected clients.
    subscriptions,
}

/// A relaxed counter: nothing is ordered by it.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn less(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
