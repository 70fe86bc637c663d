//! The programs that analysts already have: psql, psycopg, SQLAlchemy.

use anyhow::{Context as _, Result, ensure};
use std::process::Command;
use tests::{Portico, peers, portico::PASSWORD};

fn seeded() -> Result<(tempfile::TempDir, Portico)> {
    let dir = tempfile::tempdir()?;
    let mut portico = Portico::create(dir.path())?;
    portico.start()?;
    let lines: String = (0..100)
        .map(|i| format!("{{\"id\":\"station-{}\",\"observed_at\":{},\"temperature\":{}}}\n", i % 5, 1_760_000_000 + i * 600, i % 30))
        .collect();
    let answer = portico.post("/api/ingest/weather", "application/x-ndjson", lines.as_bytes())?;
    ensure!(answer.status == 200, "{}", answer.text());
    Ok((dir, portico))
}

fn psql(portico: &Portico, command: &str) -> Result<Option<String>> {
    let Some(program) = peers::program("psql") else { return Ok(None) };
    let (host, port) = portico.postgres.split_once(':').context("host:port")?;
    let mut run = Command::new(program);
    run.args(["-X", "-A", "-t", "-h", host, "-p", port, "-U", "anna", "-d", "portico", "-v", "ON_ERROR_STOP=1", "-c", command])
        .env("PGPASSWORD", PASSWORD);
    peers::run(&mut run).map(Some)
}

#[test]
fn psql_lists_describes_and_queries() -> Result<()> {
    let (_dir, portico) = seeded()?;
    let Some(tables) = psql(&portico, "\\dt *.*")? else { return Ok(()) };
    ensure!(tables.contains("weather"), "\\dt says {tables}");
    let columns = psql(&portico, "\\d bologna.weather")?.unwrap_or_default();
    ensure!(columns.contains("temperature") && columns.contains("double precision"), "\\d says {columns}");
    let count = psql(&portico, "SELECT count(*), max(temperature) FROM weather")?.unwrap_or_default();
    ensure!(count.trim().starts_with("100|29"), "{count}");
    let wrong = psql(&portico, "SELECT temprature FROM weather").map(|_| String::new()).unwrap_or_else(|e| e.to_string());
    ensure!(wrong.contains("temperature"), "the nearest name is suggested: {wrong}");
    Ok(())
}

const PYTHON: &str = r#"
import sys, psycopg, sqlalchemy
host, port, password = sys.argv[1:4]
with psycopg.connect(host=host, port=port, user="anna", password=password, dbname="portico") as c:
    n, = c.execute("SELECT count(*) FROM weather WHERE temperature > %s", (9.5,)).fetchone()
    assert n == 60, n
    at, = c.execute("SELECT min(observed_at) FROM weather").fetchone()
    assert at.isoformat() == "2025-10-09T08:53:20+00:00", at
engine = sqlalchemy.create_engine(f"postgresql+psycopg://anna:{password.replace(' ', '%20')}@{host}:{port}/portico")
inspector = sqlalchemy.inspect(engine)
assert "weather" in inspector.get_table_names(schema="bologna"), inspector.get_table_names(schema="bologna")
names = [c["name"] for c in inspector.get_columns("weather", schema="bologna")]
assert "temperature" in names and "observed_at" in names, names
with engine.connect() as c:
    assert c.execute(sqlalchemy.text("SELECT count(*) FROM bologna.weather")).scalar() == 100
print("ok")
"#;

#[test]
fn psycopg_and_sqlalchemy_reflect_and_query() -> Result<()> {
    let (_dir, portico) = seeded()?;
    let (host, port) = portico.postgres.split_once(':').context("host:port")?;
    if let Some(said) = peers::python(PYTHON, &[host, port, PASSWORD])? {
        ensure!(said.trim() == "ok", "{said}");
    }
    Ok(())
}
