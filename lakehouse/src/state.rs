//! Small durable state beside the log: which versions must not be vacuumed.

use crate::{LakehouseError, log::recover::sync_dir};
use parking_lot::Mutex;
use schemas::TableRef;
use serde::{Deserialize, Serialize};
use std::{io::Write, path::PathBuf};

/// A version of a table that somebody published or cited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub table: TableRef,
    pub version: i64,
    /// Who holds it, for example `receipt/42`.
    pub owner: String,
}

/// `state/holds.json`, rewritten whole on each change.
#[derive(Debug)]
pub(crate) struct Holds {
    path: PathBuf,
    list: Mutex<Vec<Hold>>,
}

impl Holds {
    pub(crate) fn open(dir: &std::path::Path) -> Result<Self, LakehouseError> {
        let path = dir.join("holds.json");
        let list = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| LakehouseError::Corrupt {
                file: path.clone(),
                offset: e.column() as u64,
                rule: e.to_string(),
            })?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(LakehouseError::io(format!("reading {}", path.display()))(e)),
        };
        Ok(Self { path, list: Mutex::new(list) })
    }

    pub(crate) fn list(&self) -> Vec<Hold> {
        self.list.lock().clone()
    }

    /// Versions of a table that are held.
    pub(crate) fn versions(&self, table: &TableRef) -> Vec<i64> {
        self.list.lock().iter().filter(|h| &h.table == table).map(|h| h.version).collect()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Vec<Hold>)) -> Result<(), LakehouseError> {
        let mut list = self.list.lock();
        let mut next = list.clone();
        change(&mut next);
        let bytes = serde_json::to_vec_pretty(&next).map_err(|e| LakehouseError::Internal(format!("holds: {e}")))?;
        self.replace(&bytes).map_err(LakehouseError::io(format!("writing {}", self.path.display())))?;
        *list = next;
        Ok(())
    }

    fn replace(&self, bytes: &[u8]) -> std::io::Result<()> {
        let new = self.path.with_extension("json.new");
        let mut file = std::fs::File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        self.path.parent().map_or(Ok(()), sync_dir)
    }
}
