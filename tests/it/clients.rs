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
    let whole = psql(&portico, "\\d+ bologna.air_quality")?.unwrap_or_default();
    ensure!(whole.contains("Mass concentration of nitrogen dioxide [ug/m3]; open"), "\\d+ says {whole}");
    let sizes = psql(&portico, "\\dt+ bologna.*")?.unwrap_or_default();
    ensure!(sizes.contains("Air quality.") && sizes.contains("bytes"), "\\dt+ says {sizes}");
    let sees = [("\\dn", "bologna"), ("\\dn+", "bologna"), ("\\l", "portico"), ("\\l+", "portico"), ("\\df", ""), ("\\d", "weather")];
    for (command, name) in sees {
        let said = psql(&portico, command)?.unwrap_or_default();
        ensure!(said.contains(name), "{command} says {said}");
    }
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
    with c.cursor(name="many") as rows:
        rows.itersize = 7
        rows.execute("SELECT temperature FROM weather WHERE temperature > %s ORDER BY observed_at", (9.5,))
        assert rows.description[0].name == "temperature", rows.description
        assert len(rows.fetchmany(10)) == 10 and len(list(rows)) == 50
    c.commit()
    with c.cursor(name="forgotten", withhold=True) as rows:
        rows.execute("SELECT x FROM generate_series(1, 1000000000000) a(x)")
        c.commit()
        assert rows.fetchone() == (1,)
    try:
        c.execute("FETCH 1 FROM many")
    except psycopg.Error as e:
        assert e.sqlstate == "34000", e
    c.rollback()
engine = sqlalchemy.create_engine(f"postgresql+psycopg://anna:{password.replace(' ', '%20')}@{host}:{port}/portico")
inspector = sqlalchemy.inspect(engine)
assert "weather" in inspector.get_table_names(schema="bologna"), inspector.get_table_names(schema="bologna")
names = [c["name"] for c in inspector.get_columns("weather", schema="bologna")]
assert "temperature" in names and "observed_at" in names, names
for question in (inspector.get_indexes, inspector.get_foreign_keys, inspector.get_unique_constraints, inspector.get_check_constraints):
    assert question("weather", schema="bologna") == [], question
assert inspector.get_pk_constraint("weather", schema="bologna")["constrained_columns"] == []
table = sqlalchemy.Table("weather", sqlalchemy.MetaData(), schema="bologna", autoload_with=engine)
assert "[Cel]" in table.c.temperature.comment, table.c.temperature.comment
with engine.connect() as c:
    assert c.execute(sqlalchemy.text("SELECT count(*) FROM bologna.weather")).scalar() == 100
    assert c.execute(sqlalchemy.select(sqlalchemy.func.max(table.c.temperature))).scalar() == 29
    rows = c.execution_options(stream_results=True, yield_per=9).execute(sqlalchemy.select(table.c.temperature))
    assert len(rows.all()) == 100
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
