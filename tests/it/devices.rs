//! A device that nobody announced: from its first message in quarantine to rows in a table, without a restart.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::{
    Portico,
    http::{self, Answer},
    mqtt::{Numbered, Publisher},
    portico::PASSWORD,
};

const STATIONS: u64 = 3;
const EACH: u64 = 40;

fn ask(portico: &Portico, method: &str, path: &str, body: &Value) -> Result<Answer> {
    let headers = [http::basic("admin", PASSWORD), ("Content-Type".into(), "application/json".into())];
    http::request(&portico.http, method, path, &headers, if body.is_null() { Vec::new() } else { body.to_string().into_bytes() }.as_slice())
}

fn json_of(portico: &Portico, method: &str, path: &str, body: &Value) -> Result<Value> {
    let answer = ask(portico, method, path, body)?;
    ensure!(answer.status == 200, "{method} {path}: {} {}", answer.status, answer.text());
    Ok(serde_json::from_slice(&answer.body)?)
}

/// Messages of a few stations, as their gateway sends them; numbers from `from` on.
fn messages(from: u64) -> Vec<Numbered> {
    let start = 1_760_000_000 + from * 60;
    (0..STATIONS * EACH)
        .map(|i| Numbered {
            id: from + i,
            topic: format!("campo/meteo/st-{:02}", i % STATIONS),
            payload: json!({"ts": start + i * 60, "temp": 180 + i % 50, "umidita": 40 + i % 20, "rssi": -70}).to_string(),
        })
        .collect()
}

fn publish(portico: &Portico, all: &[Numbered]) -> Result<()> {
    let mut publisher = Publisher::connect(&portico.mqtt, "field", "field", PASSWORD)?;
    publisher.send(all)?;
    publisher.settle(0)
}

#[test]
fn a_device_that_appears_by_itself_becomes_rows_when_its_suggestion_is_accepted() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mappings = dir.path().join("mappings");
    std::fs::create_dir(&mappings)?;
    let mut portico = Portico::create(dir.path())?;
    portico.set("PORTICO_DATA_MAPPINGS", &mappings.display().to_string());
    let password = dir.path().join("password").display().to_string();
    let add = ["user", "add", "field", "--role", "gateway", "--tenants", "bologna", "--publish", "campo/#"];
    portico.command(&[&add[..], &["--password-file", &password]].concat())?;
    portico.start()?;
    publish(&portico, &messages(0))?;
    let waits = i64::try_from(STATIONS * EACH)?;
    ensure!(portico.number("SELECT count(*) FROM ops.quarantine")? == waits, "what nobody reads is quarantined");

    let found = json_of(&portico, "GET", "/api/quarantine/suggestions", &Value::Null)?;
    let s = found["suggestions"].get(0).context("a suggestion")?.clone();
    ensure!(s["state"] == "mapping" && s["product"] == "weather" && s["devices"] == STATIONS, "{s:#}");
    ensure!(s["decoded"] == s["checked"], "{s:#}");
    let accept = json!({"tenant": "bologna", "id": s["id"], "mapping": s["mapping"]});
    let wrong =
        json!({"tenant": "bologna", "id": s["id"], "mapping": s["mapping"].as_str().unwrap_or_default().replace("topic =", "tpic =")});
    ensure!(ask(&portico, "POST", "/api/quarantine/accept", &wrong)?.status == 400, "a wrong text is refused");
    ensure!(std::fs::read_dir(&mappings)?.count() == 0, "and nothing is written");
    let foreign = json!({"tenant": "imola", "id": s["id"], "mapping": s["mapping"]});
    ensure!(ask(&portico, "POST", "/api/quarantine/accept", &foreign)?.status == 400, "a mapping of another tenant is refused");
    ensure!(json_of(&portico, "POST", "/api/quarantine/accept", &accept)?["in_force"] == true, "in force at once");

    // New messages need no restart.
    publish(&portico, &messages(1_000))?;
    ensure!(portico.number("SELECT count(*) FROM bologna.weather")? == waits, "new messages are read");

    let mut done = 0;
    loop {
        let step =
            json_of(&portico, "POST", "/api/quarantine/replay", &json!({"tenant": "bologna", "topic": s["topic"], "messages_max": 50}))?;
        done += step["stored"].as_i64().unwrap_or(0) + step["late"].as_i64().unwrap_or(0);
        if step["left"] == 0 {
            break;
        }
    }
    ensure!(done == waits, "{done} of {waits} replayed");
    ensure!(portico.number("SELECT count(*) FROM bologna.weather")? == 2 * waits, "what waited is in the table");
    let again = json_of(&portico, "POST", "/api/quarantine/replay", &json!({"tenant": "bologna"}))?;
    ensure!(again["replayed"] == 0, "what was replayed does not wait any more: {again}");
    ensure!(json_of(&portico, "GET", "/api/quarantine/suggestions", &Value::Null)?["waiting"] == 0, "nothing waits");
    let open =
        portico.number("SELECT CAST(sum(received - stored - duplicate - late - quarantined - dropped) AS BIGINT) FROM ops.ledger")?;
    ensure!(open == 0, "the ledger is off by {open}");
    let sent = "SELECT CAST(sum(received) AS BIGINT) FROM ops.ledger WHERE source NOT LIKE 'replay/%'";
    ensure!(portico.number(sent)? == 2 * waits, "devices sent what they sent");
    let hot = portico.number("SELECT count(*) FROM bologna.weather WHERE temperature BETWEEN 18 AND 23")?;
    ensure!(hot == 2 * waits, "180 was read as 18.0: {hot}");

    // After a restart the accepted file is still in force, and another replay finds what is there.
    portico.stop()?;
    ensure!(portico.command(&["quarantine", "list"])?.starts_with("0 messages"), "the command sees the same");
    portico.start()?;
    publish(&portico, &messages(2_000))?;
    ensure!(portico.number("SELECT count(*) FROM bologna.weather")? == 3 * waits, "after a restart");
    Ok(())
}

#[test]
fn the_register_answers_what_a_sensor_is_and_keeps_what_it_was() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut portico = Portico::create(dir.path())?;
    portico.start()?;
    let row = br#"{"id":"n1","observed_at":1760000000,"laeq":55}"#;
    ensure!(portico.post("/api/ingest/noise", "application/x-ndjson", row)?.status == 200, "ingest");
    let id = "urn:ngsi-ld:NoiseLevelObserved:bologna:n1";
    let put = |owner: &str| {
        let entry = json!({"class": "Fonometro", "owner": owner, "purpose_it": "Misura il rumore", "personal_data": false, "contact_person": "interno 5"});
        ask(&portico, "PUT", &format!("/api/register/{id}"), &entry).map(|a| a.status)
    };
    ensure!(put("Comune")? == 200 && put("Arpae")? == 200, "two entries");
    ensure!(put("")? == 400, "an owner is needed");
    let history = portico.sql(&format!("SELECT owner FROM bologna.sensor_register WHERE entity_id = '{id}' ORDER BY observed_at"))?;
    ensure!(history.len() == 2, "the history is kept: {history:?}");
    // A citizen reads the entry, and not what is internal. The twin follows the log; it is asked until it has caught up.
    let path = format!("/api/twin/entities/{id}?product=sensor_register");
    let mut seen = String::new();
    for _ in 0..1_000 {
        seen = http::request(&portico.http, "GET", &path, &[], &[])?.text();
        if seen.contains("Arpae") {
            break;
        }
        std::thread::yield_now();
    }
    ensure!(seen.contains("Arpae") && !seen.contains("interno 5"), "{seen}");
    let own = http::request(&portico.http, "GET", &format!("/api/twin/entities/{id}"), &[], &[])?.text();
    ensure!(own.contains("laeq"), "the sensor's own data come first: {own}");
    Ok(())
}
