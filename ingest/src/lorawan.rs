//! LoRaWAN gateways without a network server: Semtech's packet forwarder over UDP ([`gwmp`]) and LoRa Basics Station over a
//! WebSocket ([`station`]). LoRaWAN 1.0.x, class A, EU868.
//!
//! ```text
//! gateway -> door / station -> gather (200 ms: one frame, all receptions) -> network (keys, MIC, counters) -> state on disk
//!         <- PULL_RESP / dnmsg: join accept, acknowledgement, downlink    <-            -> the pipeline, like any message
//! ```
//!
//! A verified uplink is a message on the topic `lorawan/{dev_eui}/up` with the document of [`document`], which ordinary mappings
//! read:
//!
//! ```toml
//! [[mapping]]
//! topic = "lorawan/{dev_eui}/up"
//! product = "waste_container"
//! entity = "{dev_eui}"
//! observed_at = "/time"
//! ```
//!
//! What no key fits, what was altered and what was sent before is never passed on: it is counted, and kept raw in the quarantine as
//! far as the rate of its gateway allows. GWMP has no authentication: listening beyond the machine needs a list of gateways.

pub mod device;
mod document;
mod door;
mod downlink;
mod frame;
#[cfg(fuzzing)]
pub mod fuzz;
mod gateway;
mod gather;
mod gwmp;
mod hub;
mod network;
mod radio;
pub mod state;
mod station;
mod stats;
pub mod store;
pub mod text;

pub use device::Registry;
pub use downlink::{DownlinkId, DownlinkState};
pub use stats::LorawanStats;
pub use store::FileStore;
pub use text::Eui;

use crate::{Door, IngestError, Publisher};
use gateway::{Gateways, Limits};
use gather::Gather;
use hub::{Air, Hub};
use network::Network;
use parking_lot::Mutex;
use schemas::Clock;
use serde::Deserialize;
use state::SessionStore;
use std::{net::SocketAddr, path::PathBuf, sync::Arc};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Allows every gateway, also beyond the machine.
const ANY: &str = "*";
const GATEWAYS_LISTED_MAX: usize = 100_000;

/// Settings of the LoRaWAN doors. Unknown keys are refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LorawanConfig {
    /// Where packet forwarders send (GWMP over UDP).
    pub listen: SocketAddr,
    /// Where Basics Stations connect (WebSocket); `None` for nowhere.
    pub station_listen: Option<SocketAddr>,
    /// EUIs of the gateways that are read. Empty: any, which only a loopback address allows; `*`: any.
    pub gateways: Vec<String>,
    /// TOML or CSV file with devices and keys ([`device`]).
    pub devices: PathBuf,
    /// Of this network, 6 hexadecimal digits; 000000 and 000001 are for private networks.
    pub net_id: String,
    /// How long copies of one frame are waited for.
    pub window_ms: u64,
    /// Packets and frames of one gateway.
    pub frames_per_second_max: u32,
    /// Untrusted frames of one gateway that are kept; the rest is counted only.
    pub quarantined_per_minute_max: u32,
    /// Gateways at once.
    pub gateways_max: usize,
    /// Frames whose window is open, of all gateways.
    pub frames_waiting_max: usize,
    /// Of every downlink.
    pub tx_power_dbm: i8,
    /// Where addresses of joining devices and tokens of downlinks start. Different for every run.
    #[serde(skip)]
    pub seed: u64,
}

impl Default for LorawanConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 1700)),
            station_listen: None,
            gateways: Vec::new(),
            devices: PathBuf::new(),
            net_id: "000000".into(),
            window_ms: 200,
            frames_per_second_max: 50,
            quarantined_per_minute_max: 30,
            gateways_max: 1_000,
            frames_waiting_max: 4_096,
            tx_power_dbm: 14,
            seed: 0,
        }
    }
}

impl LorawanConfig {
    /// The numbers and lists of the settings, checked.
    fn checked(&self) -> Result<(Limits, u32), IngestError> {
        let wrong = |key: &str, rule: String| IngestError::Config { place: format!("lorawan.{key}"), rule };
        let net_id = text::unhex(&self.net_id).and_then(|b| <[u8; 3]>::try_from(b).ok());
        let [a, b, c] = net_id.ok_or_else(|| wrong("net_id", format!("'{}' must be 6 hexadecimal digits", self.net_id)))?;
        // Confirmed frames are answered a second after they ended; the copies must be in well before.
        if !(1..=800).contains(&self.window_ms) {
            return Err(wrong("window_ms", "must be 1 to 800: a device listens for its answer after one second".into()));
        }
        if !(0..=27).contains(&self.tx_power_dbm) {
            return Err(wrong("tx_power_dbm", "must be 0 to 27".into()));
        }
        let any = self.gateways.iter().any(|g| g == ANY);
        let open = [Some(self.listen), self.station_listen].into_iter().flatten().any(|a| !a.ip().is_loopback());
        if open && self.gateways.is_empty() {
            let rule = "name the EUIs of the gateways when others than this machine can send: the protocol proves nothing about the sender \
                        (['*'] allows any)";
            return Err(wrong("gateways", rule.into()));
        }
        if self.gateways.len() > GATEWAYS_LISTED_MAX {
            return Err(wrong("gateways", format!("lists {}, the limit is {GATEWAYS_LISTED_MAX}", self.gateways.len())));
        }
        let read =
            |text: &String| Eui::parse(text).ok_or_else(|| wrong("gateways", format!("'{text}' is not an EUI of 16 hexadecimal digits")));
        let listed = self.gateways.iter().filter(|g| *g != ANY).map(read).collect::<Result<_, _>>()?;
        let limits = Limits {
            allowed: (!any && !self.gateways.is_empty()).then_some(listed),
            gateways_max: self.gateways_max.max(1),
            per_second: self.frames_per_second_max,
            quarantined_per_minute: self.quarantined_per_minute_max,
        };
        Ok((limits, u32::from_be_bytes([0, a, b, c])))
    }
}

/// The LoRaWAN doors. Cheap to clone; [`Lorawan::run`] and the listeners do the work.
#[derive(Clone)]
pub struct Lorawan(Arc<Hub>);

impl std::fmt::Debug for Lorawan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lorawan").field("config", &self.0.config).field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Lorawan {
    /// Reads the devices and what is stored of their sessions. Messages count as sent by `publisher`.
    ///
    /// # Errors
    /// Names the setting, the line of the file of devices, or the damage of the store.
    pub fn open(
        config: LorawanConfig,
        publisher: Arc<Publisher>,
        door: Arc<dyn Door>,
        store: Arc<dyn SessionStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, IngestError> {
        let (limits, net_id) = config.checked()?;
        let registry = if config.devices.as_os_str().is_empty() { Registry::default() } else { Registry::read(&config.devices)? };
        let network = Network::new(registry, &store.load()?, net_id, config.seed);
        // Kept short from the start: a run that is stopped often would otherwise never do it.
        store.replace(&network.states.snapshot())?;
        let window_us = i64::try_from(config.window_ms).unwrap_or(200) * 1_000;
        Ok(Self(Arc::new(Hub {
            publisher,
            door,
            store,
            clock,
            counters: stats::Counters::default(),
            air: Mutex::new(Air {
                gather: Gather::new(window_us, config.frames_waiting_max),
                gateways: Gateways::new(limits),
                rejects: Vec::new(),
            }),
            network: Mutex::new(network),
            transmissions: Mutex::new(downlink::Transmissions::new(config.seed)),
            wake: Notify::new(),
            config,
        })))
    }

    /// Passes frames on until `stop`, then returns when those that were received are durable. Exactly one such task must run.
    pub async fn run(&self, stop: CancellationToken) {
        Arc::clone(&self.0).run(stop).await;
    }

    /// Packet forwarders on one socket, until `stop`.
    pub async fn serve_udp(&self, socket: UdpSocket, stop: CancellationToken) {
        door::serve(&self.0, socket, stop).await;
    }

    /// Basics Stations on one listener, until `stop`.
    ///
    /// # Errors
    /// When the listener itself fails.
    pub async fn serve_station(&self, listener: TcpListener, tls: Option<TlsAcceptor>, stop: CancellationToken) -> Result<(), IngestError> {
        station::serve(Arc::clone(&self.0), listener, tls, stop).await
    }

    /// Queues a message for a device, to be sent when it next speaks. The queue does not survive a restart.
    ///
    /// # Errors
    /// A device that is not known, a port that is not for applications, bytes or a queue over the limit.
    pub fn enqueue(&self, dev_eui: Eui, f_port: u8, bytes: &[u8]) -> Result<DownlinkId, IngestError> {
        let mut network = self.0.network.lock();
        if network.registry.get(dev_eui).is_none() {
            return Err(IngestError::Invalid(format!("device {dev_eui} is not in the registry of devices; add it with its keys")));
        }
        let id = network.downlinks.enqueue(dev_eui, f_port, bytes)?;
        self.0.counters.downlinks_queued.set(network.downlinks.n_queued());
        Ok(id)
    }

    /// What became of a downlink of this run; `None` when it is not known (any more).
    #[must_use]
    pub fn downlink(&self, id: DownlinkId) -> Option<DownlinkState> {
        self.0.network.lock().downlinks.state(id)
    }

    /// Puts other devices in the place of those known. Counters of devices that stay go on.
    pub fn set_devices(&self, registry: Registry) {
        self.0.network.lock().set_registry(registry);
    }

    /// Number of devices whose keys are known.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.0.network.lock().registry.len()
    }

    #[must_use]
    pub fn stats(&self) -> LorawanStats {
        self.0.counters.snapshot()
    }
}

#[cfg(test)]
mod tests;
