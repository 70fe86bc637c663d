//! What a citizen is owed of a camera: its entry on the map, rows that go when the entry says so, proof that they went, and an end
//! when it leaves the register.

use anyhow::{Result, ensure};
use schemas::{Clock as _, SystemClock, time::DAY_US};
use serde_json::{Value, json};
use std::path::Path;
use tests::{
    Portico, http,
    mqtt::{Numbered, Publisher},
    portico::PASSWORD,
};

const MAPPINGS: &str = include_str!("../../ingest/mappings/video.toml");
/// Ages of events, days. The contract of events keeps 90, the register 10 of one camera and 400 of the other.
const AGES: [i64; 4] = [1, 5, 20, 40];
/// Longest wait for the round at the start.
const ROUNDS_MAX: usize = 2_000;

fn register(streams: &[(&str, u32)]) -> String {
    let entry = |(id, days): &(&str, u32)| {
        format!(
            "[[stream]]\nid = '{id}'\ntenant = 'bologna'\nnames = ['cam-{id}']\nowner = 'Settore Mobilità'\ncontact = 'dpo@example.org'\n\
             purpose_it = 'Conteggio di pedoni'\npurpose_en = 'Counts of pedestrians'\nlegal_basis = 'Art. 6(1)(e) GDPR'\ndpia = 'DPIA-1'\n\
             retention_days = {days}\nrecipients = ['Settore Mobilità', 'Polizia Locale']\nvalid_from = '2018-01-01'\n\
             position = [11.33, 44.49]\nbearing = 90\nangle = 60\nrange_m = 50\n"
        )
    };
    streams.iter().map(entry).collect()
}

fn write(dir: &Path, streams: &[(&str, u32)]) -> Result<()> {
    Ok(std::fs::write(dir.join("cameras/bologna.toml"), register(streams))?)
}

fn event(stream: &str, age: i64) -> Numbered {
    let at = (SystemClock.now().0 - age * DAY_US) / 1_000_000;
    let after = json!({ "id": format!("{stream}-{age}"), "camera": format!("cam-{stream}"), "label": "person", "start_time": at as f64 });
    Numbered { id: age as u64, topic: "frigate/events".into(), payload: json!({ "type": "new", "after": after }).to_string() }
}

fn send(portico: &Portico, events: &[Numbered]) -> Result<()> {
    let mut publisher = Publisher::connect(&portico.mqtt, "frigate", "frigate", PASSWORD)?;
    publisher.send(events)?;
    publisher.settle(0)
}

fn until(portico: &Portico, sql: &str, wanted: i64) -> Result<()> {
    for _ in 0..ROUNDS_MAX {
        // A table is not there before its first row.
        if portico.number(sql).is_ok_and(|n| n == wanted) {
            return Ok(());
        }
    }
    anyhow::bail!("{sql} is {}, not {wanted}:\n{}", portico.number(sql)?, portico.log_tail())
}

fn start(dir: &Path) -> Result<Portico> {
    for name in ["cameras", "mappings"] {
        std::fs::create_dir(dir.join(name))?;
    }
    std::fs::write(dir.join("mappings/video.toml"), MAPPINGS)?;
    write(dir, &[("porta", 10), ("viale", 400)])?;
    let mut portico = Portico::create(dir)?;
    let password = dir.join("password").display().to_string();
    let add =
        ["user", "add", "frigate", "--role", "gateway", "--tenants", "bologna", "--publish", "frigate/#", "--password-file", &password];
    portico.command(&add)?;
    for name in ["cameras", "mappings"] {
        portico.set(&format!("PORTICO_DATA_{}", name.to_uppercase()), &dir.join(name).display().to_string());
    }
    portico.set("PORTICO_LAKE_RETENTION", "false");
    portico.start()?;
    Ok(portico)
}

/// What anybody sees of the register, without signing in.
fn public(portico: &Portico) -> Result<Vec<Value>> {
    let answer = http::request(&portico.http, "GET", "/api/twin/entities?product=camera_register", &[], &[])?;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    let found: Value = serde_json::from_slice(&answer.body)?;
    Ok(found["features"].as_array().cloned().unwrap_or_default())
}

#[test]
fn a_camera_answers_for_itself_and_its_rows_go_when_its_entry_says_so() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut portico = start(dir.path())?;
    let events: Vec<Numbered> = AGES.iter().flat_map(|age| ["porta", "viale"].map(|s| event(s, *age))).collect();
    send(&portico, &events)?;
    until(&portico, "SELECT count(*) FROM video_event", 8)?;
    until(&portico, "SELECT count(*) FROM camera_register", 2)?;
    let cameras = public(&portico)?;
    let values = &cameras.first().map(|c| c["properties"]["values"].clone()).unwrap_or_default();
    ensure!(values["purpose_it"] == "Conteggio di pedoni" && values["recipients"] == "Settore Mobilità; Polizia Locale", "{values}");
    let ring: Vec<[f64; 2]> = serde_json::from_str(values["field_of_view"].as_str().unwrap_or_default())?;
    ensure!(ring.len() > 3 && ring.iter().all(|p| p[0] >= 11.33 - 1e-9), "it looks east: {ring:?}");
    portico.stop()?;

    portico.set("PORTICO_LAKE_RETENTION", "true");
    portico.start()?;
    until(&portico, "SELECT count(*) FROM video_event", 6)?;
    until(&portico, "SELECT count(*) FROM ops.deletions", 1)?;
    ensure!(portico.number("SELECT count(*) FROM camera_register")? == 2, "an entry that did not change is no new row");
    ensure!(portico.number("SELECT count(*) FROM video_event WHERE entity_id LIKE '%:viale'")? == 4, "the other camera keeps its rows");
    let attested = "SELECT rows_removed FROM ops.deletions WHERE entity_id LIKE '%:porta' AND product = 'video_event' AND \
                    version_after = version_before + 1 AND reason LIKE '%register of cameras keeps 10 days (DPIA-1)%'";
    ensure!(portico.number(attested)? == 2, "{:?}", portico.sql("SELECT * FROM ops.deletions")?);
    send(&portico, &events)?;
    until(&portico, "SELECT count(*) FROM ops.quarantine WHERE reason = 'too_old'", 2)?;
    ensure!(portico.number("SELECT count(*) FROM video_event")? == 6, "a row that was removed came back");
    portico.stop()?;
    let said = portico.command(&["deletions"])?;
    ensure!(said.contains("1 attestations, the chain is whole"), "{said}");
    ensure!(portico.command(&["twin", "verify"])?.contains("twin verified"), "TW-1");

    write(dir.path(), &[("viale", 400)])?;
    portico.start()?;
    until(&portico, "SELECT count(*) FROM camera_register WHERE state = 'closed' AND entity_id LIKE '%:porta'", 1)?;
    send(&portico, &[event("porta", 0)])?;
    until(&portico, "SELECT count(*) FROM ops.quarantine WHERE reason = 'no_register_entry'", 1)?;
    let closed: Vec<Value> = public(&portico)?.into_iter().filter(|c| c["properties"]["values"]["state"] == "closed").collect();
    ensure!(closed.len() == 1 && closed.iter().all(|c| c["properties"]["values"]["retention_days"] == 10), "{closed:?}");
    Ok(())
}
