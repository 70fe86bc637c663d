//! Doors are closed unless opened, and say what is wrong.

use anyhow::{Result, ensure};
use tests::{
    Portico, http,
    mqtt::{Numbered, Publisher},
    portico::PASSWORD,
};

#[test]
fn nothing_is_anonymous_but_what_is_declared_public() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut portico = Portico::create(dir.path())?;
    portico.start()?;
    let nobody = |method: &str, path: &str, body: &[u8]| {
        http::request(&portico.http, method, path, &[("Content-Type".into(), "text/plain".into())], body).map(|a| a.status)
    };
    ensure!(nobody("POST", "/api/sql", b"SELECT 1")? == 401, "SQL without a sign-in");
    ensure!(nobody("POST", "/api/ingest/noise", b"{}")? == 401, "ingest without a sign-in");
    ensure!(nobody("GET", "/api/ledger", b"")? == 401, "ledger without a sign-in");
    ensure!(nobody("GET", "/api/products", b"")? == 200, "public products");
    ensure!(nobody("GET", "/healthz", b"")? == 200, "health");
    ensure!(Publisher::connect(&portico.mqtt, "x", "gate", "wrong").is_err(), "MQTT with a wrong password");
    Ok(())
}

#[test]
fn a_gateway_publishes_only_where_it_may() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut portico = Portico::create(dir.path())?;
    portico.start()?;
    let mut publisher = Publisher::connect(&portico.mqtt, "stray", "gate", PASSWORD)?;
    publisher.send(&[Numbered {
        id: 1,
        topic: "portico/imola/noise/a".into(),
        payload: r#"{"observed_at":1760000000,"laeq":50}"#.into(),
    }])?;
    ensure!(publisher.settle(0).is_err(), "a message for another tenant was acknowledged");
    ensure!(portico.number("SELECT count(*) FROM ops.ledger WHERE tenant = 'imola'")? == 0, "it reached the ledger");
    Ok(())
}

#[test]
fn a_second_server_on_a_directory_is_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut portico = Portico::create(dir.path())?;
    portico.start()?;
    let error = portico.command(&["twin", "verify"]).map(|_| String::new()).unwrap_or_else(|e| e.to_string());
    ensure!(error.contains("in use"), "{error}");
    Ok(())
}

#[test]
fn a_backup_restores_to_the_same_figures() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut portico = Portico::create(dir.path())?;
    portico.start()?;
    let body: String =
        (0..500).map(|i| format!("{{\"id\":\"b{}\",\"observed_at\":{},\"level\":{}}}\n", i % 7, 1_760_000_000 + i, i % 10)).collect();
    ensure!(portico.post("/api/ingest/water_level", "application/x-ndjson", body.as_bytes())?.status == 200, "ingest");
    portico.stop()?;
    let backup = dir.path().join("backup").display().to_string();
    portico.command(&["backup", &backup])?;
    std::fs::remove_dir_all(dir.path().join("data"))?;
    portico.command(&["restore", &backup])?;
    portico.start()?;
    ensure!(
        portico.number("SELECT CAST(sum(level) AS BIGINT) FROM bologna.water_level")? == (0..500).map(|i| i % 10).sum::<i64>(),
        "the sum after the restore"
    );
    Ok(())
}
