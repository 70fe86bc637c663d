//! Rows older than their contract keeps go by themselves, stay away, and leave tables that others read.

use anyhow::{Context as _, Result, ensure};
use schemas::Clock as _;
use tests::{Portico, peers};

const COUNT: &str = "import sys; from deltalake import DeltaTable; t = DeltaTable(sys.argv[1]); \
                     print(t.to_pyarrow_table().num_rows, t.history(1)[0]['operation'])";

/// Longest wait for the round at the start.
const ROUNDS_MAX: usize = 2_000;

fn noise(observed_at: &str, id: usize) -> String {
    format!("{{\"id\":\"m{id}\",\"observed_at\":{observed_at},\"period\":\"PT1S\",\"laeq\":50}}\n")
}

#[test]
fn old_dates_are_removed_and_refused_from_then_on() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let contracts = dir.path().join("contracts");
    std::fs::create_dir(&contracts)?;
    let (_, built_in) = schemas::catalog::BUILTIN.iter().find(|c| c.0 == "noise.yaml").context("a contract for noise")?;
    let short = built_in.replace("property: retention\n    value: 10\n    unit: y", "property: retention\n    value: 2\n    unit: d");
    ensure!(short != *built_in, "the contract of noise has a retention");
    std::fs::write(contracts.join("noise.yaml"), short)?;

    let mut portico = Portico::create(dir.path())?;
    portico.set("PORTICO_DATA_CONTRACTS", &contracts.display().to_string());
    portico.set("PORTICO_LAKE_RETENTION", "false");
    portico.start()?;
    let now = format!("\"{}\"", schemas::SystemClock.now().to_rfc3339());
    let old: String = (0..1_000).map(|i| noise(&(1_760_000_000 + i * 600).to_string(), i)).collect();
    let recent: String = (0..10).map(|i| noise(&now, i)).collect();
    for body in [&old, &recent] {
        let answer = portico.post("/api/ingest/noise", "application/x-ndjson", body.as_bytes())?;
        ensure!(answer.status == 200, "{}", answer.text());
    }
    ensure!(portico.number("SELECT count(*) FROM noise")? == 1_010, "retention is off: everything is kept");
    portico.stop()?;

    portico.set("PORTICO_LAKE_RETENTION", "true");
    portico.start()?;
    let mut rounds = 0;
    while portico.number("SELECT count(*) FROM noise")? != 10 {
        rounds += 1;
        ensure!(rounds < ROUNDS_MAX, "the old rows are still there:\n{}", portico.log_tail());
    }
    let again = portico.post("/api/ingest/noise", "application/x-ndjson", noise("1760000000", 0).as_bytes())?;
    ensure!(again.text().contains("too_old") && again.text().contains("keeps 2 days"), "{}", again.text());
    ensure!(portico.number("SELECT count(*) FROM noise")? == 10, "a row that was removed came back");
    portico.stop()?;
    let verified = portico.command(&["twin", "verify"])?;
    ensure!(verified.contains("twin verified"), "{verified}");
    let table = dir.path().join("data/tables/bologna/noise").display().to_string();
    if let Some(said) = peers::python(COUNT, &[&table])? {
        ensure!(said.trim() == "10 DELETE", "deltalake reads {said}");
    }
    Ok(())
}
