//! SUMO beside Portico: the real simulator on the real scenario, its loops through MQTT into the lake, its signals by command.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tests::{Portico, http, peers, portico, portico::PASSWORD};

/// Local second 0 of the simulations: 07:00 UTC.
const START: &str = "2026-11-24T08:00";
const SEED: &str = "7";

/// Longest wait for something that a running simulation does.
const WAIT_MAX: Duration = Duration::from_secs(120);

struct Simulator {
    home: PathBuf,
    scenario: PathBuf,
    crosswalk: PathBuf,
}

/// The simulator of `SUMO_HOME` or of the tests' Python, and the scenario; `None` when one is absent (by name, not in CI).
fn simulator() -> Result<Option<Simulator>> {
    let (Some(scenario), Some(crosswalk)) = (peers::shared("data/sumo/acosta"), peers::shared("data/sumo/sumo_e1_to_codice_spira.csv"))
    else {
        return Ok(None);
    };
    let home = match std::env::var_os("SUMO_HOME") {
        Some(home) => PathBuf::from(home),
        None => match peers::python("import sumo; print(sumo.SUMO_HOME)", &[])? {
            Some(text) => PathBuf::from(text.trim()),
            None => return Ok(None),
        },
    };
    ensure!(home.join("bin/sumo").is_file(), "{} has no bin/sumo", home.display());
    Ok(Some(Simulator { home, scenario, crosswalk }))
}

/// What the detectors of SUMO alone wrote, and what the lake must have by it: Python reads XML and CSV, and knows nothing of Portico.
const EXPECTED: &str = r#"
import csv, json, re, sys
import xml.etree.ElementTree as E
output, crosswalk = sys.argv[1:3]
codes = {r["sumo_e1_id"]: r["codice_spira"] for r in csv.DictReader(open(crosswalk))}
lanes, loops = {}, {}
for i in E.parse(output).getroot().iter("interval"):
    name, lane = re.fullmatch(r"(.*)__l(\d+)", i.get("id")).groups()
    code = codes.get(i.get("id"), name.replace("_", " ")).replace(" ", "-").lower()
    n, begin = int(i.get("nVehContrib")), int(float(i.get("begin")))
    speed = float(i.get("speed"))
    lanes[f"{code}/{lane}/{begin}"] = [n, float(i.get("occupancy")), None if speed < 0 else speed]
    loops[f"{code}/{begin}"] = loops.get(f"{code}/{begin}", 0) + n
print(json.dumps({"lanes": lanes, "loops": loops}))
"#;

impl Simulator {
    /// SUMO alone, without Portico: its own output file.
    fn alone(&self, dir: &Path, secs: u32, interval: u32) -> Result<PathBuf> {
        std::fs::create_dir_all(dir)?;
        for entry in std::fs::read_dir(&self.scenario)? {
            let path = entry?.path();
            let target = dir.join(path.file_name().context("a name")?);
            if path.ends_with("acosta_detectors.add.xml") {
                std::fs::write(&target, std::fs::read_to_string(&path)?.replace("freq=\"1800\"", &format!("freq=\"{interval}\"")))?;
            } else {
                std::os::unix::fs::symlink(&path, &target)?;
            }
        }
        let mut sumo = Command::new(self.home.join("bin/sumo"));
        sumo.env("SUMO_HOME", &self.home).current_dir(dir).args(["-c", "run.sumocfg", "--no-warnings", "true", "--seed", SEED]);
        peers::run(sumo.args(["--end", &secs.to_string()]))?;
        Ok(dir.join("e1_output.xml"))
    }

    /// `portico sumo` against a running Portico.
    fn beside(&self, portico: &Portico, more: &[&str]) -> Result<Command> {
        let mut command = Command::new(portico::binary()?);
        command.env("SUMO_HOME", &self.home).args(["sumo", "--user", "sumo", "--seed", SEED, "--start", START]);
        command.arg("--scenario").arg(&self.scenario).arg("--crosswalk").arg(&self.crosswalk);
        command.arg("--password-file").arg(portico.dir.join("password")).arg("--broker").arg(format!("mqtt://{}", portico.mqtt)).args(more);
        Ok(command)
    }
}

fn city(dir: &Path) -> Result<Portico> {
    let mut portico = Portico::create(dir)?;
    let password = dir.join("password").display().to_string();
    let user = ["user", "add", "sumo", "--role", "gateway", "--tenants", "bologna", "--subscribe", "command/bologna/#"];
    portico.command(&[&user[..], &["--password-file", &password]].concat())?;
    portico.start()?;
    Ok(portico)
}

fn cell<'v>(row: &'v Value, i: usize, name: &str) -> &'v Value {
    row.get(i).or_else(|| row.get(name)).unwrap_or(&Value::Null)
}

fn seconds(observed_at: &Value) -> Result<i64> {
    let at = schemas::Timestamp::parse(observed_at.as_str().context("a time")?)?;
    let start = schemas::Timestamp::parse("2026-11-24T07:00:00Z")?;
    Ok((at.0 - start.0) / 1_000_000)
}

fn local(urn: &Value) -> String {
    urn.as_str().and_then(|u| u.rsplit(':').next()).unwrap_or_default().to_owned()
}

/// Every interval of every detector, count by count, occupancy and speed to the last decimal that SUMO writes.
fn check_intervals(portico: &Portico, expected: &Value) -> Result<usize> {
    let lanes = expected["lanes"].as_object().context("lanes")?;
    let rows = portico.sql(
        "SELECT entity_id, \"index\", observed_at, inputs, occupancy, speed, simulated FROM bologna.traffic_measure ORDER BY 1, 2, 3",
    )?;
    ensure!(rows.len() == lanes.len(), "{} intervals in the lake, SUMO wrote {}", rows.len(), lanes.len());
    for row in &rows {
        let (urn, index) = (cell(row, 0, "entity_id"), cell(row, 1, "index"));
        let key = format!("{}/{index}/{}", local(urn), seconds(cell(row, 2, "observed_at"))?);
        let want = lanes.get(&key).with_context(|| format!("{key} is not in SUMO's file"))?;
        let (count, occupancy, speed) = (cell(row, 3, "inputs"), cell(row, 4, "occupancy"), cell(row, 5, "speed"));
        ensure!(count == &want[0], "{key}: {count} vehicles, SUMO wrote {}", want[0]);
        ensure!(occupancy.as_f64() == want[1].as_f64(), "{key}: occupancy {occupancy}, SUMO wrote {}", want[1]);
        let same = match (speed.as_f64(), want[2].as_f64()) {
            (Some(kmh), Some(ms)) => (kmh / 3.6 - ms).abs() < 1e-6,
            (have, want) => have.is_none() && want.is_none(),
        };
        ensure!(same, "{key}: {speed} km/h, SUMO wrote {} m/s", want[2]);
        ensure!(cell(row, 6, "simulated") == &Value::Bool(true), "{key} is not marked as simulated");
    }
    let loops = expected["loops"].as_object().context("loops")?;
    let rows = portico.sql("SELECT entity_id, observed_at, vehicles, simulated FROM bologna.traffic_count")?;
    ensure!(rows.len() == loops.len(), "{} intervals of loops in the lake, {} expected", rows.len(), loops.len());
    for row in &rows {
        let key = format!("{}/{}", local(cell(row, 0, "entity_id")), seconds(cell(row, 1, "observed_at"))?);
        ensure!(Some(cell(row, 2, "vehicles")) == loops.get(&key), "{key}: {row}, the sum of its lanes is {:?}", loops.get(&key));
        ensure!(cell(row, 3, "simulated") == &Value::Bool(true), "{key} is not marked as simulated");
    }
    Ok(lanes.len())
}

/// The signals showed the phases of their programs, in order.
fn check_signals(portico: &Portico) -> Result<()> {
    let plans = portico.sql("SELECT entity_id, count(*) AS n FROM bologna.signal_plan WHERE program = 'utopia' GROUP BY 1 ORDER BY 1")?;
    ensure!(plans.len() == 7, "{} signals have a plan", plans.len());
    for plan in plans {
        let (urn, n) = (cell(&plan, 0, "entity_id").as_str().context("urn")?.to_owned(), cell(&plan, 1, "n").as_i64().context("n")?);
        let shown = portico
            .sql(&format!("SELECT phase, program, lon FROM bologna.traffic_signal WHERE entity_id = '{urn}' ORDER BY observed_at"))?;
        let phases: Vec<i64> = shown.iter().filter_map(|r| cell(r, 0, "phase").as_i64()).collect();
        ensure!(phases.len() > 10, "{urn} changed {} times", phases.len());
        ensure!(phases.windows(2).all(|p| p[1] == (p[0] + 1) % n), "{urn} showed {phases:?} of {n} phases");
        ensure!(shown.iter().all(|r| cell(r, 1, "program") == "utopia" && cell(r, 2, "lon").is_number()), "{urn}: program and place");
    }
    Ok(())
}

#[test]
fn every_interval_of_the_detectors_is_in_the_lake_as_sumo_alone_writes_it() -> Result<()> {
    const SECS: u32 = 900;
    let Some(simulator) = simulator()? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let output = simulator.alone(&dir.path().join("alone"), SECS, 60)?;
    let crosswalk = simulator.crosswalk.display().to_string();
    let Some(text) = peers::python(EXPECTED, &[&output.display().to_string(), &crosswalk])? else { return Ok(()) };
    let expected: Value = serde_json::from_str(&text)?;
    let mut portico = city(dir.path())?;
    let said = peers::run(&mut simulator.beside(&portico, &["--speed", "0", "--interval", "60", "--duration", &SECS.to_string()])?)?;
    let n = check_intervals(&portico, &expected).with_context(|| said.clone())?;
    ensure!(n >= 58 * 15, "{n} intervals");
    check_signals(&portico)?;
    let open =
        portico.number("SELECT CAST(sum(received - stored - duplicate - late - quarantined - dropped) AS BIGINT) FROM ops.ledger")?;
    ensure!(open == 0, "the ledger is off by {open}");
    ensure!(portico.number("SELECT count(*) FROM ops.quarantine")? == 0, "something was refused");
    portico.stop()?;
    // SUMO's own file says the same once more: every row is known.
    let output = output.display().to_string();
    let report = portico.command(&["import", &output, "--start", START, "--crosswalk", &crosswalk])?;
    ensure!(report.contains("stored 0 ") && report.contains("quarantined 0 ") && report.contains("late 0 "), "{report}");
    portico.start()?;
    check_intervals(&portico, &expected).context("after the import of the same output")?;
    portico.stop()
}

#[test]
fn an_import_of_a_simulation_asks_when_it_takes_place() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let portico = Portico::create(dir.path())?;
    let file = dir.path().join("e1.xml");
    let interval = r#"<interval begin="0" end="60" id="a__l0" nVehContrib="2" occupancy="1.5" speed="10"/>"#;
    let broken = interval.replace("\"2\"", "\"-2\"");
    std::fs::write(&file, format!("<?xml version=\"1.0\"?>\n<detector>{interval}{broken}</detector>"))?;
    let file = file.display().to_string();
    let error = portico.command(&["import", &file]).unwrap_err().to_string();
    ensure!(error.contains("--start 2024-03-05T08:00"), "{error}");
    let error = portico.command(&["import", &file, "--start", "2026-03-29T02:30"]).unwrap_err().to_string();
    ensure!(error.contains("does not exist in Europe/Rome"), "{error}");
    let report = portico.command(&["import", &file, "--start", "2026-03-29T03:30"])?;
    ensure!(report.contains("1 quarantined") && report.contains("nVehContrib"), "{report}");
    Ok(())
}

/// A simulation that runs until it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Asks again until the answer has rows, or for too long.
fn eventually(portico: &Portico, query: &str) -> Result<Vec<Value>> {
    let start = Instant::now();
    loop {
        let rows = portico.sql(query)?;
        if !rows.is_empty() {
            return Ok(rows);
        }
        ensure!(start.elapsed() < WAIT_MAX, "no answer to {query}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn command(portico: &Portico, user: &str, body: &str) -> Result<(u16, Value)> {
    let path = "/api/signals/urn:ngsi-ld:TrafficSignal:bologna:209/command";
    let headers = [http::basic(user, PASSWORD), ("Content-Type".into(), "application/json".into())];
    let answer = http::request(&portico.http, "POST", path, &headers, body.as_bytes())?;
    Ok((answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null)))
}

#[test]
fn a_signal_takes_a_commanded_phase_and_says_what_became_of_it() -> Result<()> {
    let Some(simulator) = simulator()? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let mut portico = city(dir.path())?;
    let mut sumo = simulator.beside(&portico, &["--speed", "25", "--duration", "3600"])?;
    let _running = Running(sumo.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    eventually(&portico, "SELECT phase FROM bologna.traffic_signal WHERE entity_id LIKE '%:209'")?;
    let (status, _) = command(&portico, "anna", r#"{"phase": 5, "hold_secs": 20, "reason": "corteo in via Saragozza"}"#)?;
    ensure!(status == 403, "an analyst commanded a signal: {status}");
    let (status, refusal) = command(&portico, "admin", r#"{"phase": 5, "hold_secs": 20}"#)?;
    ensure!(status == 400 && refusal.to_string().contains("reason"), "{status} {refusal}");
    let (status, taken) = command(&portico, "admin", r#"{"phase": 5, "hold_secs": 20, "reason": "corteo in via Saragozza"}"#)?;
    ensure!(status == 202, "{status} {taken}");
    let id = taken["command"].as_str().context("an identifier")?;
    eventually(&portico, &format!("SELECT * FROM bologna.signal_command WHERE command = '{id}' AND status = 'released'"))?;
    let states = portico
        .sql(&format!("SELECT status, requested_by, simulated FROM bologna.signal_command WHERE command = '{id}' ORDER BY position"))?;
    let names: Vec<&str> = states.iter().filter_map(|r| cell(r, 0, "status").as_str()).collect();
    ensure!(names == ["requested", "sent", "applied", "released"], "{names:?}");
    ensure!(cell(&states[0], 1, "requested_by") == "admin", "{states:?}");
    let followed = eventually(&portico, &format!("SELECT phase FROM bologna.traffic_signal WHERE command = '{id}' AND phase = 5"))?;
    ensure!(followed.len() == 1, "{followed:?}");
    let audited =
        eventually(&portico, &format!("SELECT actor, outcome FROM ops.audit WHERE action = 'signal_command' AND object LIKE '%{id}'"))?;
    ensure!(cell(&audited[0], 0, "actor") == "admin" && cell(&audited[0], 1, "outcome") == "ok", "{audited:?}");
    // Phase 6 is a clearance: the controller says no, and why.
    let (status, taken) = command(&portico, "admin", r#"{"phase": 6, "hold_secs": 5, "reason": "prova di rifiuto"}"#)?;
    ensure!(status == 202, "{status} {taken}");
    let id = taken["command"].as_str().context("an identifier")?;
    let refused =
        eventually(&portico, &format!("SELECT message FROM bologna.signal_command WHERE command = '{id}' AND status = 'refused'"))?;
    ensure!(cell(&refused[0], 0, "message").as_str().is_some_and(|m| m.contains("clears the junction")), "{refused:?}");
    portico.stop()
}

#[test]
fn a_device_cannot_command_a_signal() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut portico = Portico::create(dir.path())?;
    let password = dir.path().join("password").display().to_string();
    // Even one that may publish everywhere.
    let user = ["user", "add", "evil", "--role", "gateway", "--tenants", "bologna", "--publish", "#", "--password-file", &password];
    portico.command(&user)?;
    portico.start()?;
    let mut device = tests::mqtt::Publisher::connect(&portico.mqtt, "evil", "evil", PASSWORD)?;
    let message = tests::mqtt::Numbered { id: 1, topic: "command/bologna/traffic_signal/209".into(), payload: "{}".into() };
    device.send(&[message])?;
    ensure!(device.settle(0).is_err(), "the broker took a command from a device");
    portico.stop()
}

/// What SUMO alone says of its trips.
const TRIPS: &str = r#"
import json, sys
import xml.etree.ElementTree as E
trips = [t for t in E.parse(sys.argv[1]).getroot().iter("tripinfo") if float(t.get("arrival")) >= 0]
n = len(trips)
mean = lambda *names: sum(float(t.get(k)) for t in trips for k in names) / n
print(json.dumps([n, mean("timeLoss", "departDelay"), mean("waitingCount")]))
"#;

const PLAN: &str = "name = \"prova\"\n[[signal]]\nid = \"209\"\n";

#[test]
fn a_plan_is_simulated_beside_the_programs_of_today() -> Result<()> {
    const SECS: u32 = 600;
    let Some(simulator) = simulator()? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let output = simulator.alone(&dir.path().join("alone"), SECS, 1800)?;
    let Some(text) = peers::python(TRIPS, &[&output.with_file_name("tripinfos.xml").display().to_string()])? else { return Ok(()) };
    let trips: Value = serde_json::from_str(&text)?;
    let mut portico = city(dir.path())?;
    let plan = dir.path().join("plan.toml");
    let simulate = |more: &str| -> Result<std::process::Output> {
        std::fs::write(&plan, format!("{PLAN}{more}"))?;
        let mut command = Command::new(portico::binary()?);
        command.env("SUMO_HOME", &simulator.home).args(["signals", "simulate", "--duration", &SECS.to_string(), "--seed", SEED]);
        command.arg("--scenario").arg(&simulator.scenario).arg("--plan").arg(&plan);
        command.args(["--user", "sumo", "--broker", &format!("mqtt://{}", portico.mqtt)]);
        Ok(command.arg("--password-file").arg(portico.dir.join("password")).output()?)
    };
    let refused = simulate("durations = [60, 1, 7, 3, 3, 35, 3, 3]")?;
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(!refused.status.success() && text.contains("phase 1 (yrGGGyy) lasts 1 s, at least 3"), "{text}");
    // Much less green for the main street, and a corridor.
    let corridor = "\n[[corridor]]\nname = \"prova\"\nspeed = 45\nsignals = [{ id = \"209\", distance = 0, link = 2 }, { id = \"210\", distance = 300, link = 0 }]";
    let done = simulate(&format!("durations = [45, 3, 7, 3, 3, 120, 3, 3]{corridor}"))?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let rows = portico.sql(
        "SELECT entity_id, vehicles_today, delay_today, stops_today, delay_plan, queue_today, queue_plan, co2_today, co2_plan, plan_digest \
         FROM bologna.signal_simulation ORDER BY entity_id",
    )?;
    ensure!(rows.len() == 8, "seven signals and the total: {}", rows.len());
    let total = rows.iter().find(|r| local(cell(r, 0, "entity_id")) == "total").context("the total")?;
    let close = |have: &Value, want: &Value| (have.as_f64().unwrap_or(-1.0) - want.as_f64().unwrap_or(-2.0)).abs() < 0.001;
    ensure!(close(cell(total, 1, "vehicles_today"), &trips[0]), "{total}, SUMO alone says {trips}");
    ensure!(
        close(cell(total, 2, "delay_today"), &trips[1]) && close(cell(total, 3, "stops_today"), &trips[2]),
        "{total}, SUMO alone says {trips}"
    );
    let number = |row: &Value, i: usize, name: &str| cell(row, i, name).as_f64().unwrap_or(-1.0);
    let at = rows.iter().find(|r| local(cell(r, 0, "entity_id")) == "209").context("signal 209")?;
    ensure!(number(at, 6, "queue_plan") > number(at, 5, "queue_today"), "less green and no longer queue: {at}");
    ensure!(number(at, 7, "co2_today") > 0.0 && number(at, 8, "co2_plan") > 0.0, "{at}");
    ensure!(cell(at, 9, "plan_digest").as_str().is_some_and(|d| d.len() == 64), "{at}");
    let waves = portico.sql("SELECT program, count(*) FROM bologna.green_wave GROUP BY 1 ORDER BY 1")?;
    ensure!(!waves.is_empty(), "no green wave");
    portico.stop()
}
