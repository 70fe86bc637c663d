//! Chores of the workspace: `cargo xtask tidy`, `cargo xtask test`, `cargo xtask gen`.

mod contracts;
mod needs;
mod suite;
mod tidy;

use anyhow::{Context as _, Result, bail};
use std::path::PathBuf;

const USAGE: &str = "cargo xtask <command>

  tidy    floors, sizes, forbidden words, contracts and generated files
  test    installs what the tests need, then runs every one of them
  gen     writes the generated files: contracts, settings";

fn main() -> std::process::ExitCode {
    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let root = root()?;
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => tidy::run(&root),
        Some("test") => suite::run(&root),
        Some("gen") => contracts::write(&root).and_then(|()| suite::bless_settings(&root)),
        _ => bail!("{USAGE}"),
    }
}

/// The workspace's root: where this package's folder stands.
fn root() -> Result<PathBuf> {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().map(PathBuf::from).context("xtask has no parent folder")
}
