use super::*;
use schemas::{Contracts, FieldType, ProductId, time::DAY_US, time::HOUR_US};
use std::collections::{HashMap, HashSet};

mod against_real_figures;

fn bologna() -> Scenario {
    Scenario::builtin("bologna").unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_does_not() {
    let start = at("2026-03-02T07:00:00Z");
    let run = |seed| Sim::live(seed, &bologna(), start).take(5_000).collect::<Vec<_>>();
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn the_map_moves_at_once_and_evenly() {
    let scenario = bologna();
    assert!(scenario.entities() > 1_400, "{}", scenario.entities());
    let start = at("2026-03-02T07:00:00Z");
    let mut per_second = [0u32; 30];
    let mut last = start;
    for (at, _) in Sim::live(1, &scenario, start) {
        assert!(at >= last, "messages leave in order");
        last = at;
        match per_second.get_mut(((at.0 - start.0) / SECOND_US) as usize) {
            Some(n) => *n += 1,
            None => break,
        }
    }
    assert!(per_second.iter().all(|n| (12..80).contains(n)), "{per_second:?}");
}

#[test]
fn the_made_up_past_is_what_would_have_been_sent_live() {
    let scenario = bologna().without_faults();
    let (from, to) = (at("2026-03-02T07:00:00Z"), at("2026-03-02T08:00:00Z"));
    let live: HashSet<(Timestamp, Vec<u8>)> =
        Sim::live(4, &scenario, from).take_while(|(at, _)| *at < to).map(|(at, m)| (at, m.payload)).collect();
    let past: Vec<_> = Sim::backfill(4, &scenario, from, to).collect();
    assert!(past.len() > 1_500 && past.len() * 5 < live.len(), "{} of {}", past.len(), live.len());
    for (at, m) in past {
        assert!(live.contains(&(at, m.payload)), "{} at {at}", m.topic);
    }
}

#[test]
fn every_payload_keeps_its_contract() {
    let contracts = Contracts::builtin().unwrap();
    let mut seen: HashMap<String, u32> = HashMap::new();
    for (day, hours) in [("2026-01-15T04:00:00Z", 5), ("2026-07-04T16:00:00Z", 3)] {
        let (from, to) = (at(day), Timestamp(at(day).0 + hours * HOUR_US));
        for (_, m) in Sim::backfill(9, &bologna(), from, to).filter(|(_, m)| m.fault != Some(FaultKind::Garbage)) {
            let level: Vec<&str> = m.topic.split('/').collect();
            let ["portico", "bologna", product, local] = level.as_slice() else { panic!("{}", m.topic) };
            assert!(!local.is_empty());
            let contract = contracts.get(&ProductId::new(product).unwrap()).unwrap();
            check_payload(contract, &m);
            *seen.entry((*product).to_owned()).or_default() += 1;
        }
    }
    assert_eq!(seen.len(), 10, "{seen:?}");
}

fn check_payload(contract: &schemas::Contract, m: &Message) {
    let value: serde_json::Map<String, Value> = serde_json::from_slice(&m.payload).unwrap();
    let shown = String::from_utf8_lossy(&m.payload);
    Timestamp::parse(value["observed_at"].as_str().unwrap()).unwrap();
    assert!(schemas::Position::new(value["lon"].as_f64().unwrap(), value["lat"].as_f64().unwrap()).is_some());
    for (name, v) in value.iter().filter(|(n, _)| !["observed_at", "lon", "lat"].contains(&n.as_str())) {
        let (_, field) = contract.field(name).unwrap_or_else(|| panic!("{}: no field {name}", m.topic));
        let good = match field.kind {
            FieldType::Float => v.is_number(),
            FieldType::Int => v.is_i64(),
            FieldType::Text => v.as_str().is_some_and(|t| t.len() <= field.len_max),
            FieldType::Bool => v.is_boolean(),
        };
        let n = v.as_f64();
        let inside = n.is_none_or(|n| field.min.is_none_or(|min| n >= min) && field.max.is_none_or(|max| n <= max));
        assert!(good && inside, "{} {name} in {shown}", m.topic);
    }
    for field in contract.fields.iter().filter(|f| f.required) {
        assert!(value.contains_key(&field.name), "{} lacks {} in {shown}", m.topic, field.name);
    }
}

#[test]
fn faults_strike_as_often_as_the_scenario_says() {
    let faults = r#"
        [[faults]]
        kind = "silence"
        share = 0.1
        hours = 1
        [[faults]]
        kind = "stuck"
        share = 0.1
        hours = 1
        [[faults]]
        kind = "duplicate"
        share = 0.05
        [[faults]]
        kind = "late"
        share = 0.05
        by = 600
        [[faults]]
        kind = "garbage"
        share = 0.02
    "#;
    let text = include_str!("../../scenarios/bologna.toml");
    let (head, rest) = (text.split("[[faults]]").next().unwrap(), &text[text.find("[profiles.loop_volume]").unwrap()..]);
    let loops = include_str!("../../scenarios/bologna/loops.csv");
    let scenario = Scenario::parse(&format!("{head}{faults}\n{rest}"), loops).unwrap().only(&["traffic_count"]);
    let (from, to) = (at("2026-03-02T00:00:00Z"), at("2026-03-03T06:00:00Z"));
    let all = Sim::backfill(5, &scenario.without_faults(), from, to).count() as f64;
    let mut count: HashMap<Option<FaultKind>, f64> = HashMap::new();
    let (mut said, mut repeated) = (HashSet::new(), 0);
    for (_, m) in Sim::backfill(5, &scenario, from, to) {
        *count.entry(m.fault).or_default() += 1.0;
        match m.fault {
            Some(FaultKind::Duplicate) => repeated += i32::from(said.contains(&(m.topic, m.payload))),
            _ => {
                said.insert((m.topic, m.payload));
            }
        }
    }
    // Earlier lines of the list win, so a later one strikes what is left.
    let expect = |kind, share: f64| {
        let have = count.get(&Some(kind)).copied().unwrap_or(0.0) / all;
        assert!((have / share - 1.0).abs() < 0.12, "{kind:?}: {have} instead of {share}");
    };
    expect(FaultKind::Stuck, 0.09);
    expect(FaultKind::Duplicate, 0.81 * 0.05);
    expect(FaultKind::Late, 0.81 * 0.95 * 0.05);
    expect(FaultKind::Garbage, 0.81 * 0.95 * 0.95 * 0.02);
    let total: f64 = count.values().sum::<f64>() - count[&Some(FaultKind::Duplicate)];
    assert!((total / all - 0.9).abs() < 0.01, "a tenth is silent: {total} of {all}");
    assert_eq!(f64::from(repeated), count[&Some(FaultKind::Duplicate)], "a duplicate repeats bytes already sent");
}

#[test]
fn garbage_breaks_every_contract() {
    let contracts = Contracts::builtin().unwrap();
    let scenario = bologna();
    let (from, to) = (at("2026-03-02T00:00:00Z"), at("2026-03-02T08:00:00Z"));
    let bad: Vec<_> = Sim::backfill(1, &scenario, from, to).filter(|(_, m)| m.fault == Some(FaultKind::Garbage)).collect();
    assert!(bad.len() > 5, "{}", bad.len());
    for (sent, m) in bad {
        let Ok(value) = serde_json::from_slice::<serde_json::Map<String, Value>>(&m.payload) else { continue };
        let product = m.topic.split('/').nth(2).unwrap();
        let contract = contracts.get(&ProductId::new(product).unwrap()).unwrap();
        let time = value["observed_at"].as_str().and_then(|t| Timestamp::parse(t).ok());
        let soon = time.is_some_and(|t| t.0 < sent.0 + DAY_US);
        let low = contract.field(&contract.headline).unwrap().1.min.is_some_and(|min| value[&contract.headline].as_f64().unwrap() < min);
        assert!(!soon || low, "{value:?}");
    }
}

#[test]
fn counters_never_run_back() {
    let scenario = bologna().without_faults().only(&["street_light"]);
    let (from, to) = (at("2026-06-01T00:00:00Z"), at("2026-06-03T00:00:00Z"));
    let mut last: HashMap<Arc<str>, f64> = HashMap::new();
    for (_, m) in Sim::backfill(1, &scenario, from, to) {
        let value: Value = serde_json::from_slice(&m.payload).unwrap();
        let energy = value["energy"].as_f64().unwrap();
        assert!(last.insert(m.topic, energy).is_none_or(|before| energy >= before));
    }
}
