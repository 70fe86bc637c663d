//! The doors of LoRaWAN gateways.

use super::Parts;
use crate::{
    config::Config,
    listen::{self, WhenTaken},
};
use anyhow::{Context as _, Result};
use ingest::{
    Publisher,
    lorawan::{FileStore, Lorawan, LorawanConfig},
};
use schemas::{SourceId, Tenant};
use std::{net::SocketAddr, sync::Arc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Doors that are open.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) udp: Option<SocketAddr>,
    pub(super) station: Option<SocketAddr>,
    /// Ends after the stop, when what was received is durable: before that the pipeline must not close.
    pub(super) task: JoinHandle<()>,
}

fn settings(config: &Config) -> Result<LorawanConfig> {
    let set = &config.lorawan;
    Ok(LorawanConfig {
        listen: set.bind,
        station_listen: set.station_enabled.then_some(set.station_bind),
        gateways: set.gateways.clone(),
        devices: set.devices.clone(),
        net_id: set.net_id.clone(),
        window_ms: set.window_ms,
        frames_per_second_max: u32::try_from(set.frames_per_second_max).context("lorawan.frames_per_second_max")?,
        quarantined_per_minute_max: u32::try_from(set.quarantined_per_minute_max).context("lorawan.quarantined_per_minute_max")?,
        seed: rand::random(),
        ..LorawanConfig::default()
    })
}

/// Opens the doors that are set; `None` when none is.
pub(super) async fn start(
    parts: &Arc<Parts>,
    config: &Config,
    tls: Option<Arc<rustls::ServerConfig>>,
    when_taken: WhenTaken,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<Option<Running>> {
    let set = &config.lorawan;
    if !set.enabled && !set.station_enabled {
        return Ok(None);
    }
    let tenant = if set.tenant.is_empty() { &config.city.tenant } else { &set.tenant };
    let publisher = Publisher {
        source: SourceId::new(&set.source).context("lorawan.source")?,
        tenant: Tenant::new(tenant).context("lorawan.tenant")?,
        publish: Vec::new(),
        subscribe: Vec::new(),
        simulated: false,
    };
    let store = FileStore::open(config.state_dir().join("lorawan"))?;
    let lorawan = Lorawan::open(settings(config)?, Arc::new(publisher), parts.ingest.door(), Arc::new(store), Arc::clone(&parts.clock))?;
    let (mut udp, mut station) = (None, None);
    if set.enabled {
        let socket = listen::bind_udp("lorawan.bind", set.bind, when_taken).await?;
        udp = Some(socket.local_addr()?);
        let (door, stop) = (lorawan.clone(), stop.clone());
        tasks.spawn(async move { door.serve_udp(socket, stop).await });
    }
    if set.station_enabled {
        let listener = listen::bind("lorawan.station_bind", set.station_bind, when_taken).await?;
        station = Some(listener.local_addr()?);
        let (door, stop, tls) = (lorawan.clone(), stop.clone(), tls.map(TlsAcceptor::from));
        tasks.spawn(async move {
            if let Err(error) = door.serve_station(listener, tls, stop).await {
                tracing::error!(%error, "the door of the LoRa Basics Stations closed");
            }
        });
    }
    if lorawan.devices() == 0 {
        tracing::info!("no LoRaWAN device is known, so no frame is trusted; name a file of devices in lorawan.devices");
    }
    parts.lorawan.set(lorawan.clone()).ok();
    let stop = stop.clone();
    let task = tasks.spawn(async move { lorawan.run(stop).await });
    Ok(Some(Running { udp, station, task }))
}
