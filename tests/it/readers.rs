//! Readers that know nothing of Portico: deltalake in Python, and DuckDB on the bare Parquet files.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::{
    Portico,
    mqtt::{Numbered, Publisher},
    peers,
    portico::PASSWORD,
};

const READ: &str = r#"
import json, sys
import duckdb
from deltalake import DeltaTable
root = sys.argv[1]
table = DeltaTable(root)
rows = table.to_pyarrow_table(columns=["laeq"])
files = table.file_uris()
n, total = duckdb.sql(f"SELECT count(*), sum(laeq) FROM read_parquet({files})").fetchall()[0]
print(json.dumps({"delta": [rows.num_rows, sum(rows["laeq"].to_pylist())], "duckdb": [n, total], "files": len(files)}))
"#;

#[test]
fn other_readers_see_the_same_counts_and_sums() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut portico = Portico::create(dir.path())?;
    portico.start()?;
    let mut publisher = Publisher::connect(&portico.mqtt, "writer", "gate", PASSWORD)?;
    let messages: Vec<Numbered> = (0..5_000u64)
        .map(|id| Numbered {
            id,
            topic: format!("portico/bologna/noise/r{}", id % 40),
            payload: format!(r#"{{"observed_at":{},"period":"PT1S","laeq":{}}}"#, 1_760_000_000 + id, 30 + id % 70),
        })
        .collect();
    publisher.send(&messages)?;
    publisher.settle(0)?;
    let expected: u64 = (0..5_000u64).map(|id| 30 + id % 70).sum();
    ensure!(portico.number("SELECT CAST(sum(laeq) AS BIGINT) FROM noise")? as u64 == expected, "hot rows are not all visible");
    portico.stop()?;
    let table = dir.path().join("data/tables/bologna/noise").display().to_string();
    let Some(text) = peers::python(READ, &[&table])? else { return Ok(()) };
    let seen: Value = serde_json::from_str(&text)?;
    for reader in ["delta", "duckdb"] {
        let total = seen[reader][1].as_f64().context("sum")?;
        ensure!(seen[reader][0] == 5_000 && total as u64 == expected, "{reader} sees {}", seen[reader]);
    }
    Ok(())
}
