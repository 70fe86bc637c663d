//! Agents of other systems write over HTTP, and what they were told is true after a power cut.

use anyhow::{Result, ensure};
use std::fmt::Write as _;
use tests::{Portico, http, portico::PASSWORD};

/// 500 lines of one batch: sensors, instants and values follow from its number.
fn lines(batch: i64) -> String {
    let mut out = String::new();
    for i in 0..500 {
        let at = (1_760_000_000 + batch) * 1_000_000_000;
        // Writing to a text cannot fail.
        let _ = writeln!(out, "weather,id=w{i},host=h temperature={},humidity=40i {at}", i % 30);
    }
    out
}

#[test]
fn lines_that_were_answered_with_204_survive_a_power_cut() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut portico = Portico::create(dir.path())?;
    portico.start()?;
    let gate = [http::basic("gate", PASSWORD)];
    ensure!(http::request(&portico.http, "GET", "/ping", &[], &[])?.status == 204, "ping");
    for round in 0..3 {
        for batch in 0..4 {
            // The last batch of a round is sent again in the next one.
            let body = lines(round * 3 + batch);
            let answer = http::request(&portico.http, "POST", "/write?db=city", &gate, body.as_bytes())?;
            ensure!(answer.status == 204, "{}: {}", answer.status, answer.text());
        }
        portico.kill()?;
        portico.start()?;
        let want = (round * 3 + 4) * 500;
        ensure!(portico.number("SELECT count(*) FROM bologna.weather")? == want, "after round {round} there should be {want} rows");
    }
    let half = format!("{}weather,id=w temperature=500 1760000000000000000\n", lines(100));
    let answer = http::request(&portico.http, "POST", "/api/v2/write?org=o&bucket=b", &gate, half.as_bytes())?;
    ensure!(answer.status == 422 && answer.text().contains("\"line\":501"), "{}: {}", answer.status, answer.text());
    ensure!(portico.number("SELECT count(*) FROM bologna.weather")? == 11 * 500, "the good lines of a partial write are stored");
    ensure!(
        portico.number("SELECT count(*) FROM ops.quarantine WHERE topic = 'influx/b/weather'")? == 1,
        "the bad one is in the quarantine"
    );
    Ok(())
}
