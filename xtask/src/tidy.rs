//! The floors of the house and the sizes of its rooms, as failing checks.

mod floors;
mod shape;

use crate::contracts;
use anyhow::{Context as _, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

pub(crate) fn run(root: &Path) -> Result<()> {
    let files = tracked(root)?;
    let mut faults = floors::check(root)?;
    for path in &files {
        let Ok(text) = fs::read_to_string(root.join(path)) else { continue };
        faults.extend(shape::check(path, &text));
    }
    faults.extend(map_faults(root)?);
    faults.extend(contracts::breaches(root)?);
    faults.extend(contracts::stale(root)?);
    ensure!(faults.is_empty(), "tidy found {} faults:\n{}", faults.len(), faults.join("\n"));
    println_ok(files.len());
    Ok(())
}

fn println_ok(n: usize) {
    println!("tidy: {n} files, no fault");
}

/// Files that git tracks or would track, relative to the root.
fn tracked(root: &Path) -> Result<Vec<PathBuf>> {
    let out = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git ls-files")?;
    Ok(String::from_utf8_lossy(&out.stdout).lines().map(PathBuf::from).filter(|p| root.join(p).is_file()).collect())
}

/// The map must name every member of the workspace.
fn map_faults(root: &Path) -> Result<Vec<String>> {
    let map = fs::read_to_string(root.join("docs/ARCHITECTURE.md")).context("docs/ARCHITECTURE.md")?;
    Ok(floors::members(root)?
        .into_iter()
        .filter(|m| !map.contains(&format!("`{m}`")))
        .map(|m| format!("docs/ARCHITECTURE.md does not name `{m}`"))
        .collect())
}
