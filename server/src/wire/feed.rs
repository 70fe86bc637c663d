//! Keeps the twin in step with the log, shares its snapshots, and saves it.

use crate::node::retention::Kept;
use anyhow::{Context as _, Result};
use api::city::ChangeBatch;
use futures::StreamExt as _;
use lakehouse::Lakehouse;
use parking_lot::Mutex;
use schemas::{Contracts, Frame, LogPosition, TableRef, Timestamp, ops};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::broadcast;
use twin::{Limits, Twin, TwinHost};

/// Batches that a slow reader of events may fall behind before it is told so.
const CHANGES_KEPT: usize = 1_024;

/// Attempts to find a moment in which a twin that was folded anew is as far as the live one.
const REFOLD_ROUNDS: usize = 20;

/// The live twin: one writer (the log's subscriber), many readers of snapshots.
#[derive(Debug)]
pub struct TwinFeed {
    host: Mutex<TwinHost>,
    /// The newest snapshot that somebody asked for.
    now: Mutex<Twin>,
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
        let now = Mutex::new(host.snapshot());
        Ok(Arc::new(Self { host: Mutex::new(host), now, changes: broadcast::channel(CHANGES_KEPT).0, file, latest: Mutex::default() }))
    }

    /// Folds frames in log order. Whoever wants to look waits for one frame at most.
    pub fn apply(&self, frames: &[(LogPosition, Arc<Frame>)]) {
        for (position, frame) in frames {
            let mut host = self.host.lock();
            if self.changes.receiver_count() == 0 {
                host.apply_quietly(*position, frame);
                continue;
            }
            let changes = host.apply(*position, frame);
            drop(host);
            if !changes.is_empty() {
                // The last receiver may just have left.
                self.changes.send(Arc::new(ChangeBatch { position: *position, changes })).ok();
            }
        }
    }

    /// The city now. Taken when somebody asks and not with every frame: the writes after it copy what they touch.
    #[must_use]
    pub fn snapshot(&self) -> Twin {
        let host = self.host.lock();
        let mut now = self.now.lock();
        if now.position() != host.position() {
            *now = host.snapshot();
        }
        now.clone()
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

    /// Whether something is shown that retention has removed from the tables.
    #[must_use]
    pub fn outlived(&self, kept: &Kept, now: Timestamp) -> bool {
        self.snapshot().all().any(|e| kept.before(e, now).is_some_and(|date| e.oldest().date() < date))
    }

    /// Folds the tables anew, because rows that the twin shows were removed from them (TW-1). Frames go on coming meanwhile.
    pub async fn refold(&self, lakehouse: &Lakehouse, contracts: &Contracts) -> Result<()> {
        let mut fresh = TwinHost::new(contracts.clone(), Limits::default());
        for _ in 0..REFOLD_ROUNDS {
            // The first round reads everything, the next ones what came during the one before.
            catch_up(lakehouse, &mut fresh).await?;
            let mut host = self.host.lock();
            if fresh.position() >= host.position() {
                *host = fresh;
                *self.now.lock() = host.snapshot();
                return Ok(());
            }
        }
        anyhow::bail!("frames came faster than the twin could be folded anew")
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
