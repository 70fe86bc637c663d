//! Which crate may depend on which: a floor stands only on lower floors.

use anyhow::{Context as _, Result};
use std::{collections::BTreeSet, fs, path::Path};

/// Crate and the crates of ours that it may name.
const FLOORS: &[(&str, &[&str])] = &[
    ("schemas", &[]),
    ("sensors-sim", &["schemas"]),
    ("ingest", &["schemas"]),
    ("lakehouse", &["schemas"]),
    ("twin", &["schemas"]),
    ("api", &["schemas", "twin"]),
    ("server", &["schemas", "sensors-sim", "ingest", "lakehouse", "twin", "api"]),
    ("tests", &["schemas", "sensors-sim"]),
    ("xtask", &["schemas"]),
];

/// Outside crates that only some of ours may name: the absence is the invariant.
const GUARDED: &[(&str, &[&str])] = &[
    ("datafusion", &["lakehouse"]),
    ("datafusion-pg-catalog", &["lakehouse"]),
    ("pgwire", &["lakehouse"]),
    ("arrow-flight", &["lakehouse"]),
    ("tonic", &["lakehouse"]),
    ("deltalake-core", &["lakehouse"]),
    ("rumqttc", &["ingest", "server"]),
    ("axum", &["api", "server"]),
];

pub(super) fn members(root: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(root.join("Cargo.toml"))?;
    let table: toml::Table = text.parse()?;
    let list = table["workspace"]["members"].as_array().context("workspace.members")?;
    Ok(list.iter().filter_map(|m| m.as_str().map(str::to_owned)).collect())
}

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let members = members(root)?;
    for member in &members {
        let manifest: toml::Table = fs::read_to_string(root.join(member).join("Cargo.toml"))?.parse()?;
        let names = |section: &str| -> BTreeSet<String> {
            manifest.get(section).and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys).cloned().collect()
        };
        let Some((_, allowed)) = FLOORS.iter().find(|f| f.0 == member) else {
            faults.push(format!("{member}: has no floor; give it one in xtask/src/tidy/floors.rs"));
            continue;
        };
        for name in &names("dependencies") {
            if members.contains(name) && !allowed.contains(&name.as_str()) {
                faults.push(format!("{member}: depends on {name}, which is not on a lower floor"));
            }
            if let Some((_, may)) = GUARDED.iter().find(|g| g.0 == name).filter(|g| !g.1.contains(&member.as_str())) {
                faults.push(format!("{member}: names {name}; only {} may", may.join(", ")));
            }
        }
    }
    faults.extend(leaks(&root.join("lakehouse/src"))?);
    Ok(faults)
}

/// DataFusion in a public signature of the lakehouse.
fn leaks(folder: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            faults.extend(leaks(&path)?);
            continue;
        }
        let text = fs::read_to_string(&path)?;
        for (n, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("pub ") && line.contains("datafusion::") {
                faults.push(format!("{}:{}: DataFusion in a public item", path.display(), n + 1));
            }
        }
    }
    Ok(faults)
}
