//! Other people's programs, and data that is not ours to keep: found, or a loud failure in CI.

use anyhow::{Result, ensure};
use std::{path::PathBuf, process::Command};

/// Whether absence is a failure.
fn must_be_there() -> bool {
    std::env::var("CI").is_ok_and(|v| v == "true")
}

/// The shared data, or `None` (by name, not in CI).
#[must_use]
pub fn shared(path: &str) -> Option<PathBuf> {
    let root =
        std::env::var_os("PORTICO_SHARED").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let full = root.join(path);
    if full.exists() {
        return Some(full);
    }
    assert!(!must_be_there(), "{} is absent and CI=true", full.display());
    eprintln!("skipped: {} is absent; set PORTICO_SHARED", full.display());
    None
}

/// A program on the path, or `None` (by name, not in CI).
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let found = std::env::var_os("PATH")
        .and_then(|p| std::env::split_paths(&p).chain(["/usr/sbin".into()]).map(|d| d.join(name)).find(|f| f.is_file()));
    assert!(found.is_some() || !must_be_there(), "{name} is absent and CI=true");
    if found.is_none() {
        eprintln!("skipped: {name} is not installed; cargo xtask test installs it");
    }
    found
}

/// The Python that has the test clients, or `None` (by name, not in CI).
#[must_use]
pub fn python_program() -> Option<PathBuf> {
    let found = std::env::var_os("TEST_PYTHON").map(PathBuf::from).filter(|p| p.is_file());
    assert!(found.is_some() || !must_be_there(), "TEST_PYTHON is not set and CI=true; run cargo xtask test");
    if found.is_none() {
        eprintln!("skipped: TEST_PYTHON is not set; cargo xtask test sets it");
    }
    found
}

/// Runs Python with the test clients and returns standard output; `None` when they are absent.
pub fn python(script: &str, args: &[&str]) -> Result<Option<String>> {
    let Some(python) = python_program() else { return Ok(None) };
    // Threads of deltalake's store now and then abort the interpreter while it ends, when the answer is already out.
    let script = format!("{script}\nimport os, sys\nsys.stdout.flush()\nos._exit(0)\n");
    run(Command::new(python).arg("-c").arg(script).args(args)).map(Some)
}

/// Standard output of a command that must succeed.
pub fn run(command: &mut Command) -> Result<String> {
    let out = command.output()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    ensure!(out.status.success(), "{command:?} failed:\n{text}{}", String::from_utf8_lossy(&out.stderr));
    Ok(text)
}
