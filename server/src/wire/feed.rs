//! Keeps the twin in step with the log, shares its snapshots, and saves it.

use anyhow::{Context as _, Result};
use api::city::ChangeBatch;
use futures::StreamExt as _;
use lakehouse::Lakehouse;
use parking_lot::{Mutex, RwLock};
use schemas::{Contracts, Frame, LogPosition, TableRef, ops};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::broadcast;
use twin::{Limits, Twin, TwinHost};

/// Batches that a slow reader of events may fall behind before it is told so.
const CHANGES_KEPT: usize = 1_024;

/// The live twin: one writer (the log's subscriber), many readers of snapshots.
#[derive(Debug)]
pub struct TwinFeed {
    host: Mutex<TwinHost>,
    now: RwLock<Twin>,
    changes: broadcast::Sender<Arc<ChangeBatch>>,
    file: PathBuf,
    pub(super) latest: Mutex<HashMap<TableRef, super::latest::Cached>>,
}

impl TwinFeed {
    /// Loads the saved twin, if there is a good one, and folds everything that the log and tables hold beyond it.
    pub async fn open(lakehouse: &Lakehouse, contracts: &Contracts, state_dir: &Path) -> Result<Arc<Self>> {
        let file = state_dir.join("twin.bin");
        let mut host = load(&file, contracts).unwrap_or_else(|| TwinHost::new(contracts.clone(), Limits::default()));
        let from = host.position();
        let position = catch_up(lakehouse, &mut host).await?;
        tracing::info!(from, position, entities = host.snapshot().len(), "twin is current");
        let now = RwLock::new(host.snapshot());
        Ok(Arc::new(Self { host: Mutex::new(host), now, changes: broadcast::channel(CHANGES_KEPT).0, file, latest: Mutex::default() }))
    }

    /// Folds frames in log order, then shares one snapshot of the result: a snapshot makes the next writes copy what they touch.
    pub fn apply(&self, frames: &[(LogPosition, Arc<Frame>)]) {
        let mut host = self.host.lock();
        let batches: Vec<_> =
            frames.iter().map(|(position, frame)| ChangeBatch { position: *position, changes: host.apply(*position, frame) }).collect();
        *self.now.write() = host.snapshot();
        drop(host);
        for batch in batches.into_iter().filter(|b| !b.changes.is_empty()) {
            // No receiver is no error: nobody looks at the map.
            self.changes.send(Arc::new(batch)).ok();
        }
    }

    #[must_use]
    pub fn snapshot(&self) -> Twin {
        self.now.read().clone()
    }

    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<ChangeBatch>> {
        self.changes.subscribe()
    }

    /// Rows that no entity could be made of.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.host.lock().refused()
    }

    /// Writes the snapshot beside and renames it over.
    pub fn save(&self) -> Result<LogPosition> {
        let twin = self.snapshot();
        let beside = self.file.with_extension("new");
        let mut out = std::io::BufWriter::new(std::fs::File::create(&beside).with_context(|| beside.display().to_string())?);
        twin.save(&mut out)?;
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&beside, &self.file)?;
        Ok(twin.position())
    }
}

/// The saved twin; `None` when there is none or it is damaged (then it is rebuilt, which costs time and nothing else).
fn load(file: &Path, contracts: &Contracts) -> Option<TwinHost> {
    let bytes = std::fs::File::open(file).ok()?;
    match Twin::load(contracts.clone(), &mut std::io::BufReader::new(bytes)) {
        Ok(twin) => Some(TwinHost::resume(&twin, Limits::default())),
        Err(error) => {
            tracing::warn!(%error, file = %file.display(), "saved twin is not usable, rebuilding it");
            None
        }
    }
}

/// A twin folded from the tables alone.
pub async fn rebuild(lakehouse: &Lakehouse, contracts: &Contracts) -> Result<Twin> {
    let mut host = TwinHost::new(contracts.clone(), Limits::default());
    catch_up(lakehouse, &mut host).await?;
    Ok(host.snapshot())
}

async fn catch_up(lakehouse: &Lakehouse, host: &mut TwinHost) -> Result<LogPosition> {
    let after = host.position();
    let (end, mut tail) = lakehouse.tail(after);
    while let Some(part) = tail.next().await {
        let (table, rows): (TableRef, _) = part?;
        if ops::OpsTable::of(&table).is_none() {
            host.apply_rows(&table, &rows)?;
        }
    }
    host.advance_to(end);
    Ok(end)
}
