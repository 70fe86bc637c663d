//! `portico backup` and `portico restore`.

use crate::{config::Config, node, out::say, wire};
use anyhow::{Context as _, Result, ensure};
use schemas::SystemClock;
use std::{path::Path, sync::Arc};

/// Copies log, tables and state of a stopped Portico.
pub async fn backup(config: &Config, destination: &Path) -> Result<()> {
    let contracts = node::contracts(config)?;
    let lakehouse = node::open_lakehouse(config, &contracts, Arc::new(SystemClock)).await?;
    let report = lakehouse.backup(destination).await;
    lakehouse.close().await?;
    let report = report?;
    copy_state(&config.state_dir(), &destination.join("state"))?;
    say(&format!("backed up {} files, {} bytes, to {}", report.files, report.bytes, destination.display()));
    Ok(())
}

/// Puts a backup where there is nothing, then opens it and rebuilds the twin from it.
pub async fn restore(config: &Config, source: &Path) -> Result<()> {
    let dir = &config.data.dir;
    let occupied = std::fs::read_dir(dir).is_ok_and(|mut d| d.next().is_some());
    ensure!(!occupied, "{} is not empty; move it away first, nothing is overwritten", dir.display());
    ensure!(source.is_dir(), "{} is not a directory with a backup", source.display());
    copy_tree(source, dir)?;
    let contracts = node::contracts(config)?;
    let lakehouse = node::open_lakehouse(config, &contracts, Arc::new(SystemClock)).await?;
    let twin = wire::rebuild(&lakehouse, &contracts).await?;
    let rows: u64 = lakehouse.stats().tables.iter().map(|t| t.rows + t.hot_rows).sum();
    lakehouse.close().await?;
    say(&format!("restored into {}: {rows} rows, {} entities, position {}", dir.display(), twin.len(), twin.position()));
    Ok(())
}

/// Users and what else is state; the twin is left out because it is rebuilt.
fn copy_state(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name() != "twin.bin" {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target).with_context(|| target.display().to_string())?;
        }
    }
    Ok(())
}
