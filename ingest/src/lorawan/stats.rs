//! Counters of the LoRaWAN doors.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What the LoRaWAN doors did since they started. Gauges are marked; the rest only grows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct LorawanStats { $($(#[$doc])* pub $name: u64,)* }

        #[derive(Debug, Default)]
        pub(super) struct Counters { $(pub(super) $name: Counter,)* }

        impl Counters {
            pub(super) fn snapshot(&self) -> LorawanStats {
                LorawanStats { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }

        impl LorawanStats {
            /// Names and values in the order of declaration, for an exporter.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

counters! {
    /// Gauge: gateways heard of lately.
    gateways,
    /// Gauge: Basics Stations connected.
    stations,
    /// Datagrams and WebSocket messages.
    packets,
    /// Their bytes.
    bytes,
    /// Packets of gateways that are not allowed, or of too many different ones.
    refused_gateways,
    /// Packets and frames over a gateway's rate; not acknowledged, not read.
    over_limit,
    /// Packets, and frames in packets, that could not be read.
    malformed,
    /// Receptions of frames.
    receptions,
    /// Receptions whose checksum the radio found wrong.
    crc_failed,
    /// Receptions of a frame that another gateway, or another antenna, told of before.
    copies,
    /// Frames lost because too many waited.
    overflow,
    /// Verified uplinks that are durable.
    uplinks,
    /// Verified uplinks without anything for an application.
    mac_only,
    /// Join requests accepted.
    joins,
    /// Frames accepted before that came again within a minute.
    repeats,
    /// Frames that are no LoRaWAN uplink.
    not_lorawan,
    /// Frames of devices that are not in the registry.
    unknown_device,
    /// Frames whose MIC fits no key.
    bad_mic,
    /// Authentic frames with a used counter or nonce.
    replayed,
    /// Untrusted frames and packets that are durable in the quarantine.
    quarantined,
    /// Untrusted frames and packets that were only counted: their gateway was over its rate of quarantine.
    quarantine_skipped,
    /// Messages that the log refused for good, or did not take before the stop.
    lost,
    /// Failed attempts to write the state of sessions.
    store_failures,
    /// Gauge: downlinks that wait for their device.
    downlinks_queued,
    /// Frames handed to a gateway for transmission, join accepts included.
    downlinks_sent,
    /// Those that the gateway took or sent.
    downlinks_acknowledged,
    /// Those that the gateway refused in both windows, or never answered.
    downlinks_failed,
    /// Answers that no gateway could carry.
    no_route,
}

/// A relaxed counter: nothing is ordered by it.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(super) fn one(&self) {
        self.add(1);
    }

    pub(super) fn less(&self, n: usize) {
        self.0.fetch_sub(n as u64, Ordering::Relaxed);
    }

    pub(super) fn set(&self, n: usize) {
        self.0.store(n as u64, Ordering::Relaxed);
    }
}
