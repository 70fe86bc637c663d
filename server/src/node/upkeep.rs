//! Work in the background: the twin follows the log, the twin is saved, the health of devices is judged, old dates are removed,
//! old files are vacuumed.

use super::Parts;
use crate::{config::Config, wire::TwinFeed};
use anyhow::{Context as _, Result};
use futures::FutureExt as _;
use ingest::IngestConfig;
use lakehouse::{Lakehouse, LakehouseConfig, ObjectStoreConfig};
use std::{sync::Arc, time::Duration};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Frames folded between two snapshots of the twin when the log is ahead of it.
const FRAMES_PER_SNAPSHOT: usize = 64;
const SAVE_TWIN_EVERY: Duration = Duration::from_secs(60);
const VACUUM_EVERY: Duration = Duration::from_secs(3_600);
const EXPIRE_EVERY: Duration = Duration::from_secs(3_600);

pub(super) fn lakehouse_config(config: &Config) -> Result<LakehouseConfig> {
    let mut out = LakehouseConfig::new(&config.data.dir);
    out.home = Some(schemas::Tenant::new(&config.city.tenant)?);
    out.flush_interval = Duration::from_secs(config.lake.flush_secs);
    out.hot_bytes_max = usize::try_from(config.lake.hot_mib_max << 20)?;
    // The vacuum below knows the setting of how long old versions stay readable.
    out.vacuum_interval = Duration::ZERO;
    out.compact_interval = Duration::from_secs(config.lake.compact_secs);
    if !config.data.store.is_empty() {
        let options = std::env::vars().filter(|(k, _)| k.starts_with("AWS_")).map(|(k, v)| (k.to_lowercase(), v)).collect();
        out.object_store = ObjectStoreConfig::S3 { url: config.data.store.clone(), options };
    }
    Ok(out)
}

pub(super) fn ingest_config(config: &Config) -> IngestConfig {
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let mut out = IngestConfig { http_body_bytes_max: size(config.http.body_bytes_max), ..IngestConfig::default() };
    out.retention = config.lake.retention;
    out.broker.packet_max = size(config.mqtt.packet_bytes_max);
    out.broker.connections_max = size(config.mqtt.connections_max);
    out
}

/// Folds every durable frame into the twin, in log order, until the log closes.
pub(super) fn follow(lakehouse: &Lakehouse, feed: &Arc<TwinFeed>, tasks: &TaskTracker) {
    let (mut frames, feed) = (lakehouse.subscribe(), Arc::clone(feed));
    tasks.spawn(async move {
        while let Some(first) = frames.next().await {
            let mut ready = vec![first];
            while ready.len() < FRAMES_PER_SNAPSHOT {
                match frames.next().now_or_never().flatten() {
                    Some(frame) => ready.push(frame),
                    None => break,
                }
            }
            feed.apply(&ready);
        }
    });
}

pub(super) fn start(parts: &Arc<Parts>, config: &Config, stop: &CancellationToken, tasks: &TaskTracker) {
    let feed = Arc::clone(&parts.feed);
    every(SAVE_TWIN_EVERY, stop, tasks, move || {
        let feed = Arc::clone(&feed);
        async move {
            let saved = tokio::task::spawn_blocking(move || feed.save()).await.context("saving the twin")?;
            saved.map(|_| ())
        }
    });
    let judged = Arc::clone(parts);
    every(super::health::EVERY, stop, tasks, move || {
        let parts = Arc::clone(&judged);
        async move { super::health::round(&parts).await }
    });
    let counted = Arc::clone(parts);
    every(super::quality::EVERY, stop, tasks, move || {
        let parts = Arc::clone(&counted);
        async move { super::quality::round(&parts).await }
    });
    if config.lake.retention {
        let parts = Arc::clone(parts);
        // Also at the start: a Portico that is stopped every night must get to it too.
        repeat(Duration::ZERO, EXPIRE_EVERY, stop, tasks, move || {
            let parts = Arc::clone(&parts);
            async move { super::retention::round(&parts).await }
        });
    }
    let described = Arc::clone(parts);
    // Again, because entries end by themselves.
    repeat(Duration::ZERO, EXPIRE_EVERY, stop, tasks, move || {
        let parts = Arc::clone(&described);
        async move { super::camera_register::round(&parts).await }
    });
    let (lakehouse, retain) = (parts.lakehouse.clone(), Duration::from_secs(config.lake.vacuum_hours * 3_600));
    every(VACUUM_EVERY, stop, tasks, move || {
        let lakehouse = lakehouse.clone();
        async move { Ok(lakehouse.vacuum(retain).await.map(|report| tracing::info!(?report, "vacuum"))?) }
    });
}

fn every<F: Future<Output = Result<()>> + Send>(
    period: Duration,
    stop: &CancellationToken,
    tasks: &TaskTracker,
    work: impl FnMut() -> F + Send + 'static,
) {
    repeat(period, period, stop, tasks, work);
}

fn repeat<F: Future<Output = Result<()>> + Send>(
    first: Duration,
    period: Duration,
    stop: &CancellationToken,
    tasks: &TaskTracker,
    mut work: impl FnMut() -> F + Send + 'static,
) {
    let stop = stop.clone();
    tasks.spawn(async move {
        let mut pause = first;
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            pause = period;
            if let Err(error) = work().await {
                tracing::warn!(%error, "upkeep failed, it is tried again");
            }
        }
    });
}
