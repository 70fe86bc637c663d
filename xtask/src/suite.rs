//! `cargo xtask test`: one command that brings what is needed and runs every test.

use crate::{needs, tidy};
use anyhow::{Context as _, Result, bail};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

pub(crate) fn run(root: &Path) -> Result<()> {
    let target = target_dir(root);
    step("what the tests need", || needs::install(&target))?;
    step("format", || cargo(root, &target, &["fmt", "--all", "--check"]))?;
    step("tidy", || tidy::run(root))?;
    // One build of program and tests together: apart, they would need the dependencies with two sets of features.
    step("build", || cargo(root, &target, &["build", "--workspace", "--bins", "--tests"]))?;
    step("tests", || cargo(root, &target, &["test", "--workspace"]))?;
    Ok(())
}

/// Rewrites `docs/CONFIGURATION.md` from the declared settings.
pub(crate) fn bless_settings(root: &Path) -> Result<()> {
    let target = target_dir(root);
    let status = plain_cargo()
        .args(["test", "--workspace", "--bin", "portico", "--", "settings_reference_is_current"])
        .current_dir(root)
        .env("CARGO_TARGET_DIR", &target)
        .env("BLESS", "1")
        .status()?;
    if status.success() { Ok(()) } else { bail!("the settings reference could not be written") }
}

/// `CARGO_TARGET_DIR`, else `$HOME/.cache/portico-target`: outside the clone, so that a fresh clone reuses what was built.
fn target_dir(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache/portico-target")))
        .unwrap_or_else(|| root.join("target"))
}

/// Cargo as a shell would start it: what `cargo run` tells this program about its own package would make build scripts
/// of dependencies run again, and everything above them compile again.
fn plain_cargo() -> Command {
    let mut command = Command::new("cargo");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|n| {
            n.starts_with("CARGO_PKG_") || n.starts_with("CARGO_MANIFEST_") || n.starts_with("CARGO_BIN_") || n == "CARGO_CRATE_NAME"
        }) {
            command.env_remove(name);
        }
    }
    command
}

fn cargo(root: &Path, target: &Path, args: &[&str]) -> Result<()> {
    let python = target.join("test-python/bin/python");
    let status = plain_cargo()
        .args(args)
        .current_dir(root)
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_INCREMENTAL", "0")
        .env("TEST_PYTHON", python)
        .env("TEST_PORTICO", target.join("debug/portico"))
        .status()
        .context("cargo")?;
    if status.success() { Ok(()) } else { bail!("cargo {} failed", args.join(" ")) }
}

fn step(name: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    println!("== {name}");
    run().with_context(|| name.to_owned())?;
    println!("== {name}: {} s", start.elapsed().as_secs());
    Ok(())
}
