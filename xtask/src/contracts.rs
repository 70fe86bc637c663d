//! Files derived from the contracts, and the check that an edited contract does not break its readers.

use anyhow::{Context as _, Result, ensure};
use schemas::{Contract, Contracts};
use std::{fmt::Write as _, fs, path::Path};

const DOC: &str = "docs/CONTRACTS.md";
const SCHEMAS: &str = "schemas/generated";
/// Contracts as they were last released: what an edit is compared with.
const RELEASED: &str = "schemas/released";

/// Writes the documentation and the JSON schemas, and releases the contracts if no reader breaks.
pub(crate) fn write(root: &Path) -> Result<()> {
    let breaches = breaches(root)?;
    ensure!(breaches.is_empty(), "a contract would break its readers:\n{}", breaches.join("\n"));
    for (path, text) in generated()? {
        let path = root.join(path);
        fs::create_dir_all(path.parent().context("a generated file has a folder")?)?;
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    fs::create_dir_all(root.join(RELEASED))?;
    for (file, yaml) in schemas::catalog::BUILTIN {
        fs::write(root.join(RELEASED).join(file), yaml)?;
    }
    Ok(())
}

/// Generated files that are absent or differ from what they would be now.
pub(crate) fn stale(root: &Path) -> Result<Vec<String>> {
    let differs = |path: &str, text: &str| fs::read_to_string(root.join(path)).map_or(true, |now| now != text);
    Ok(generated()?
        .into_iter()
        .filter(|(path, text)| differs(path, text))
        .map(|(path, _)| format!("{path} is stale: run cargo xtask gen"))
        .collect())
}

/// Changes since the released contracts that would break readers.
pub(crate) fn breaches(root: &Path) -> Result<Vec<String>> {
    let mut out = Vec::new();
    let now = Contracts::builtin()?;
    let Ok(folder) = fs::read_dir(root.join(RELEASED)) else { return Ok(out) };
    for entry in folder {
        let path = entry?.path();
        let released = Contract::parse(&path.display().to_string(), &fs::read_to_string(&path)?)?;
        match now.get(&released.product) {
            None => out.push(format!("contract {} was removed", released.product)),
            Some(new) => out.extend(new.breaches_since(&released).iter().map(|b| format!("contract {}: {b}", released.product))),
        }
    }
    Ok(out)
}

fn generated() -> Result<Vec<(String, String)>> {
    let contracts = Contracts::builtin()?;
    let mut out = vec![(DOC.to_owned(), document(&contracts)?)];
    for c in contracts.iter() {
        out.push((format!("{SCHEMAS}/{}.schema.json", c.product), serde_json::to_string_pretty(&c.json_schema())? + "\n"));
    }
    Ok(out)
}

fn document(contracts: &Contracts) -> Result<String> {
    let mut out = String::from(
        "# Data contracts\n\nGenerated from `schemas/contracts` by `cargo xtask gen`; do not edit.\n\n\
         Every row also carries `entity_id`, `observed_at`, `received_at`, `source`, `quality`, `simulated`, `lon`, `lat`, `h3`, `position` and `date`.\n",
    );
    for c in contracts.iter() {
        write!(out, "\n## {} `{}` {}\n\n{}\n\n", c.label.en, c.product, c.version, c.description)?;
        let kept = c.retention_days.map_or_else(|| "for good".to_owned(), |days| format!("{days} days"));
        writeln!(
            out,
            "Entities are `{}`; a row is expected every {} s, is late after {} s and is kept {kept}. Owner: {}. Licence: {}.\n",
            c.entity_type, c.cadence_secs, c.late_after_secs, c.owner, c.licence
        )?;
        out += "| field | type | unit | range | key | required | what it is | in italiano |\n|---|---|---|---|---|---|---|---|\n";
        for f in &c.fields {
            let bound = |v: Option<f64>| v.map_or_else(String::new, |v| v.to_string());
            let range = if f.min.or(f.max).is_some() { format!("{} to {}", bound(f.min), bound(f.max)) } else { String::new() };
            let yes = |b| if b { "yes" } else { "" };
            let (kind, unit) = (format!("{:?}", f.kind).to_lowercase(), f.unit.as_deref().unwrap_or_default());
            writeln!(
                out,
                "| `{}` | {kind} | {unit} | {range} | {} | {} | {} | {} |",
                f.name,
                yes(f.key),
                yes(f.required),
                f.description,
                f.label.it
            )?;
        }
    }
    Ok(out)
}
