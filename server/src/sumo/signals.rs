//! `portico signals simulate`: the programs of today and a plan in the same simulated traffic, one after the other, and the effect beside today's.

use super::{
    child::{self, RunDir},
    target,
};
use crate::{
    cli::{BrokerArgs, SimulateArgs},
    out::say,
    publish::Publisher,
};
use anyhow::{Context as _, Result, ensure};
use ingest::sumo::{
    effect::{self, Effect},
    plan::{self, Checked, Corridor},
    scenario::{Program, Scenario},
};
use schemas::{Clock, EntityId, Tenant};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::{fmt::Write as _, path::Path, sync::Arc};

const PLAN_FILE: &str = "portico.plan.add.xml";
const MEASURE_FILE: &str = "portico.measure.add.xml";
/// Entity of the sums.
const TOTAL: &str = "total";

/// Both runs of one plan.
struct Compared {
    id: String,
    today: (Effect, Vec<Effect>),
    plan: (Effect, Vec<Effect>),
}

pub async fn simulate(tenant: Tenant, args: SimulateArgs, clock: Arc<dyn Clock>) -> Result<()> {
    ensure!((60.0..=86_400.0).contains(&args.duration), "--duration must be 60 to 86400 simulated seconds");
    let scenario = Scenario::load(&args.scenario)?;
    let text = std::fs::read_to_string(&args.plan).with_context(|| args.plan.display().to_string())?;
    let checked = Checked::parse(&text, &scenario)?;
    let program = child::program(args.sumo.as_deref())?;
    let (today, plan) =
        tokio::try_join!(run(&program, &scenario, None, &args, "today"), run(&program, &scenario, Some(&checked), &args, "plan"))?;
    let compared = Compared { id: identifier(&scenario, &checked, &args)?, today, plan };
    print(&compared, &scenario, &checked);
    let Some(broker) = &args.broker else {
        say("not stored: name a broker with --broker, --user and --password-file to keep it as rows");
        return Ok(());
    };
    let (Some(user), Some(password_file)) = (&args.user, &args.password_file) else {
        anyhow::bail!("--broker needs --user and --password-file")
    };
    let at_broker = BrokerArgs { broker: broker.clone(), user: user.clone(), password_file: password_file.clone() };
    let mut target = target(&at_broker)?;
    target.client_id = format!("portico-signals-{user}");
    let mut publisher = Publisher::connect(&target);
    for (product, local, fields) in rows(&compared, &scenario, &checked, &args, &clock.now().to_rfc3339()) {
        let topic = format!("portico/{tenant}/{product}/{}", EntityId::local_part(&local));
        publisher.publish(&topic, Value::Object(fields).to_string().into_bytes()).await?;
    }
    say(&format!("{} rows stored as simulation {}", publisher.finish().await?, compared.id));
    Ok(())
}

/// One run without control, in a directory of its own.
async fn run(
    program: &Path,
    scenario: &Scenario,
    plan: Option<&Checked>,
    args: &SimulateArgs,
    name: &str,
) -> Result<(Effect, Vec<Effect>)> {
    let dir = RunDir::make(None, name)?;
    dir.fill(scenario, &[])?;
    std::fs::write(dir.path().join(MEASURE_FILE), effect::measure())?;
    let mut additional = scenario.additional.clone();
    if let Some(plan) = plan {
        std::fs::write(dir.path().join(PLAN_FILE), plan.additional())?;
        additional.push(PLAN_FILE.to_owned());
    }
    additional.push(MEASURE_FILE.to_owned());
    let end = scenario.begin_secs + args.duration;
    let mut command = child::command(program, &dir, &scenario.config)?;
    command.args(["--additional-files", &additional.join(","), "--tripinfo-output", effect::TRIPS]);
    command.args(["--seed", &args.seed.to_string(), "--end", &end.to_string()]);
    let status = command.spawn().with_context(|| program.display().to_string())?.wait().await?;
    ensure!(status.success(), "SUMO failed with the programs of {name} ({status}): {}", child::complaints(&dir));
    Ok(effect::read(dir.path(), scenario, args.duration)?)
}

/// The same plan in the same traffic has the same identifier.
fn identifier(scenario: &Scenario, checked: &Checked, args: &SimulateArgs) -> Result<String> {
    let mut hash = Sha256::new();
    for name in scenario.inputs.iter().chain([&scenario.config]) {
        hash.update(std::fs::read(scenario.dir.join(name)).with_context(|| name.clone())?);
    }
    hash.update(format!("{} {} {}", checked.digest, args.seed, args.duration));
    Ok(hash.finalize().iter().take(8).fold(String::new(), |mut hex, b| {
        write!(hex, "{b:02x}").ok();
        hex
    }))
}

fn print(c: &Compared, scenario: &Scenario, checked: &Checked) {
    say(&format!("simulation {} of plan '{}' ({})\n", c.id, checked.plan.name, &checked.digest[..16]));
    say("signal        delay s         queue           CO2 kg          vehicles");
    say("              today   plan    today   plan    today   plan    today   plan");
    let line = |name: &str, a: &Effect, b: &Effect| {
        let delay = |e: &Effect| e.delay_secs.map_or_else(|| "-".to_owned(), |d| format!("{d:.1}"));
        say(&format!(
            "{name:<13} {:<7} {:<7} {:<7.1} {:<7.1} {:<7.1} {:<7.1} {:<7} {:<7}",
            delay(a),
            delay(b),
            a.queue,
            b.queue,
            a.co2_kg,
            b.co2_kg,
            a.vehicles,
            b.vehicles
        ));
    };
    for (signal, (a, b)) in scenario.signals.iter().zip(c.today.1.iter().zip(&c.plan.1)) {
        line(&signal.id, a, b);
    }
    line(TOTAL, &c.today.0, &c.plan.0);
    for corridor in &checked.plan.corridors {
        let width = |band: plan::Band| band.bandwidth_secs.map_or_else(|| "no common cycle".to_owned(), |s| format!("{s} s"));
        let (a, b) = (width(band(corridor, scenario, None)), width(band(corridor, scenario, Some(checked))));
        say(&format!("green wave '{}' at {} km/h: {a} today, {b} with the plan", corridor.name, corridor.speed));
    }
}

fn program<'p>(scenario: &'p Scenario, checked: Option<&'p Checked>, id: &str) -> Option<&'p Program> {
    match checked {
        Some(checked) => checked.program(scenario, id),
        None => scenario.signal(id).and_then(|s| s.programs.last()),
    }
}

fn band(corridor: &Corridor, scenario: &Scenario, checked: Option<&Checked>) -> plan::Band {
    plan::band(corridor, |id| program(scenario, checked, id))
}

type Row = (&'static str, String, Map<String, Value>);

/// Product, entity and fields of every row.
fn rows(c: &Compared, scenario: &Scenario, checked: &Checked, args: &SimulateArgs, at: &str) -> Vec<Row> {
    let mut out = Vec::new();
    let one = |local: &str, place: Option<(f64, f64)>, a: &Effect, b: &Effect| {
        let mut fields = json!({
            "observed_at": at, "simulated": true, "simulation": c.id, "plan": checked.plan.name, "plan_digest": checked.digest,
            "seed": args.seed, "simulated_secs": args.duration, "queue_today": rounded(a.queue), "queue_plan": rounded(b.queue),
            "co2_today": rounded(a.co2_kg), "co2_plan": rounded(b.co2_kg), "vehicles_today": a.vehicles, "vehicles_plan": b.vehicles,
        });
        let means = [("delay_today", a.delay_secs), ("delay_plan", b.delay_secs), ("stops_today", a.stops), ("stops_plan", b.stops)];
        let place = [("lon", place.map(|p| p.0)), ("lat", place.map(|p| p.1))];
        for (name, value) in means.into_iter().map(|(n, v)| (n, v.map(rounded))).chain(place) {
            if let Some(value) = value {
                fields[name] = value.into();
            }
        }
        ("signal_simulation", local.to_owned(), object(fields))
    };
    for (signal, (a, b)) in scenario.signals.iter().zip(c.today.1.iter().zip(&c.plan.1)) {
        out.push(one(&signal.id, signal.place, a, b));
    }
    out.push(one(TOTAL, None, &c.today.0, &c.plan.0));
    for corridor in &checked.plan.corridors {
        for plan in [None, Some(checked)] {
            out.extend(wave(corridor, scenario, plan, at));
        }
    }
    out
}

/// A green wave: a row for each of its signals.
fn wave(corridor: &Corridor, scenario: &Scenario, checked: Option<&Checked>, at: &str) -> Vec<Row> {
    let band = band(corridor, scenario, checked);
    let row = |(order, stop): (usize, &plan::Stop)| {
        let program = program(scenario, checked, &stop.id)?;
        let mut fields = json!({
            "observed_at": at, "simulated": true, "corridor": corridor.name, "program": program.id, "order": order, "distance_m": stop.distance,
            "speed": corridor.speed, "cycle_secs": program.cycle_secs(), "offset_secs": program.offset_secs,
            "green_secs": band.green_secs.get(order),
        });
        if let Some(width) = band.bandwidth_secs {
            fields["bandwidth_secs"] = width.into();
        }
        if let Some((lon, lat)) = scenario.signal(&stop.id).and_then(|s| s.place) {
            (fields["lon"], fields["lat"]) = (lon.into(), lat.into());
        }
        Some(("green_wave", stop.id.clone(), object(fields)))
    };
    corridor.signals.iter().enumerate().filter_map(row).collect()
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}

fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
