//! Arrow Flight SQL as Python's ADBC driver speaks it.

use anyhow::{Result, ensure};
use tests::{Portico, peers, portico::PASSWORD};

fn seed(portico: &Portico) -> Result<()> {
    let lines: String = (0..100)
        .map(|i| format!("{{\"id\":\"station-{}\",\"observed_at\":{},\"temperature\":{}}}\n", i % 5, 1_760_000_000 + i * 600, i % 30))
        .collect();
    let answer = portico.post("/api/ingest/weather", "application/x-ndjson", lines.as_bytes())?;
    ensure!(answer.status == 200, "{}", answer.text());
    Ok(())
}

const ADBC: &str = r#"
import datetime, sys
import adbc_driver_manager
from adbc_driver_flightsql import dbapi
place, user, password = sys.argv[1:4]
options = {"username": user, "password": password}

def refused(work):
    try:
        work()
    except adbc_driver_manager.Error as e:
        return str(e)
    raise AssertionError("it was not refused")

with dbapi.connect(place, db_kwargs=options, autocommit=True) as c:
    tree = c.adbc_get_objects(depth="all", db_schema_filter="bologna", table_name_filter="weather").read_all().to_pylist()
    schemas = tree[0]["catalog_db_schemas"]
    assert tree[0]["catalog_name"] == "portico" and schemas[0]["db_schema_name"] == "bologna", tree
    table = schemas[0]["db_schema_tables"][0]
    assert table["table_name"] == "weather" and table["table_type"] == "TABLE", table
    assert "temperature" in [x["column_name"] for x in table["table_columns"]], table
    assert "observed_at" in c.adbc_get_table_schema("weather", db_schema_filter="bologna").names
    assert c.adbc_get_table_types() == ["TABLE"]
    assert c.adbc_get_info()["vendor_name"] == "Portico", c.adbc_get_info()
    with c.cursor() as q:
        q.execute("SELECT count(*) AS n, max(temperature) AS t FROM weather")
        assert q.fetch_arrow_table().to_pylist() == [{"n": 100, "t": 29.0}]
        for placeholder in ("$1", "?"):
            q.execute(f"SELECT count(*) FROM weather WHERE temperature > {placeholder}", (9.5,))
            assert q.fetchone() == (60,)
        since = datetime.datetime(2025, 10, 9, 9, 53, 20, tzinfo=datetime.timezone.utc)
        q.execute("SELECT count(*) FROM weather WHERE observed_at >= $1 AND entity_id LIKE $2", (since, "%station-0"))
        assert q.fetchone() == (18,), "parameters of other types"
        q.execute("SELECT * FROM weather ORDER BY observed_at LIMIT 3")
        assert q.fetch_arrow_table().column("temperature").to_pylist() == [0, 1, 2]
        q.execute("SELECT x FROM generate_series(1, 300000) a(x)")
        assert sum(len(b) for b in q.fetch_record_batch()) == 300000
        assert "temperature" in refused(lambda: q.execute("SELECT temprature FROM weather"))
        assert "(line 2, column 6)" in refused(lambda: q.execute("SELECT 1\nFROM wether"))
        assert "read only" in refused(lambda: q.execute("DELETE FROM weather"))
        assert "read only" in refused(lambda: q.adbc_ingest("mine", q.execute("SELECT 1 AS a").fetch_arrow_table()))
        # Left in the middle of an endless answer: the server stops it, and the connection lives on.
        q.execute("SELECT x FROM generate_series(1, 1000000000000) a(x)")
        q.fetchone()
    with c.cursor() as q:
        q.execute("SELECT 1")
        assert q.fetchone() == (1,)

for wrong in ({**options, "password": "wrong"}, {k: v for k, v in options.items() if k not in ("username", "password")}):
    said = refused(lambda: dbapi.connect(place, db_kwargs=wrong, autocommit=True).cursor().execute("SELECT 1"))
    assert "UNAUTHENTICATED" in said.upper(), said
print("ok")
"#;

#[test]
fn adbc_lists_tables_and_queries_with_parameters() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut portico = Portico::create(dir.path())?;
    portico.start()?;
    seed(&portico)?;
    if let Some(said) = peers::python(ADBC, &[&format!("grpc://{}", portico.flight), "anna", PASSWORD])? {
        ensure!(said.trim() == "ok", "{said}");
    }
    let gateway = "import sys; from adbc_driver_flightsql import dbapi\n\
                   try:\n  dbapi.connect(sys.argv[1], db_kwargs={'username': 'gate', 'password': sys.argv[2]}).cursor().execute('SELECT 1')\n\
                   except Exception as e: print(e)";
    if let Some(said) = peers::python(gateway, &[&format!("grpc://{}", portico.flight), PASSWORD])? {
        ensure!(said.contains("may not use SQL"), "a gateway has no SQL: {said}");
    }
    Ok(())
}

#[test]
fn a_taken_port_names_its_setting() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut portico = Portico::create(dir.path())?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    portico.set("PORTICO_FLIGHT_BIND", &taken.local_addr()?.to_string());
    let said = portico.start().map(|()| String::new()).unwrap_or_else(|e| e.to_string());
    ensure!(said.contains("flight.bind") && said.contains("PORTICO_FLIGHT_BIND"), "{said}");
    Ok(())
}
