use super::{
    control::{Action, Controller, Now, Order, Want, may_follow},
    intervals::{Interval, Intervals},
    messages::{Crosswalk, Loops, Setting},
    redirect::redirect,
    scenario::{Phase, Program, Scenario, Signal},
    utm::Plane,
};
use proptest::prelude::*;
use schemas::{Tenant, Timestamp};
use serde_json::Value;
use std::path::PathBuf;

fn shared(path: &str) -> Option<PathBuf> {
    let root =
        std::env::var_os("PORTICO_SHARED").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let full = root.join("data/sumo").join(path);
    assert!(full.exists() || std::env::var("CI").is_err(), "{} is absent", full.display());
    full.exists().then_some(full)
}

fn setting(crosswalk: Crosswalk) -> Setting {
    Setting { tenant: Tenant::new("bologna").unwrap(), start: Timestamp::parse("2026-11-24T07:00:00Z").unwrap(), crosswalk }
}

fn payloads(messages: &[crate::RawMessage]) -> Vec<(String, Value)> {
    messages.iter().map(|m| (String::from_utf8(m.topic.to_vec()).unwrap(), serde_json::from_slice(&m.payload).unwrap())).collect()
}

#[test]
fn the_plane_gives_what_the_simulator_gives() {
    let projection = "+proj=utm +zone=32 +ellps=WGS84 +datum=WGS84 +units=m +no_defs";
    let plane = Plane::parse(projection, "-683542.41,-4928877.56").unwrap();
    // SUMO's own convertGeo(1000, 1000) in this network.
    let (lon, lat) = plane.degrees((1_000.0, 1_000.0)).unwrap();
    assert!((lon - 11.321_287_342_7).abs() < 1e-8 && (lat - 44.498_627_245_8).abs() < 1e-8, "{lon} {lat}");
    assert_eq!(Plane::parse("+proj=tmerc +lat_0=0", "0,0"), None);
}

#[test]
fn the_scenario_of_the_data_is_read_whole() {
    let Some(dir) = shared("acosta") else { return };
    let scenario = Scenario::load(&dir).unwrap();
    assert_eq!(scenario.detectors.len(), 58);
    assert_eq!(scenario.inputs.len(), 8);
    assert_eq!(scenario.with_detectors, ["acosta_detectors.add.xml"]);
    let mut ids: Vec<&str> = scenario.signals.iter().map(|s| s.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["209", "210", "219", "220", "221", "235", "273"]);
    for s in &scenario.signals {
        let programs: Vec<&str> = s.programs.iter().map(|p| p.id.as_str()).collect();
        assert_eq!(programs, ["0", "utopia"], "{}", s.id);
        let (lon, lat) = s.place.unwrap();
        assert!((11.30..11.34).contains(&lon) && (44.48..44.51).contains(&lat), "{}: {lon} {lat}", s.id);
    }
    let crosswalk = Crosswalk::parse(std::fs::File::open(shared("sumo_e1_to_codice_spira.csv").unwrap()).unwrap()).unwrap();
    assert_eq!(crosswalk.len(), 106);
    // The scenario's places and the city's are those of the same loops: half of them within 30 m.
    let mut metres: Vec<f64> = Vec::new();
    for d in &scenario.detectors {
        if let (Some(a), Some(b)) = (d.place, crosswalk.site(&d.id).place) {
            metres.push(((a.0 - b.0) * 79_500.0).hypot((a.1 - b.1) * 111_100.0));
        }
    }
    metres.sort_by(f64::total_cmp);
    assert!(metres.len() > 40 && metres[metres.len() / 2] < 30.0, "{metres:?}");
}

const OUTPUT: &str = r#"<?xml version="1.0"?><!-- generated --><detector>
  <interval begin="0.00" end="1800.00" id="0.127_2.73_6_1__l0" nVehContrib="10" flow="20.00" occupancy="2.00" speed="9.00" length="5.00" nVehEntered="10"/>
  <interval begin="0.00" end="1800.00" id="0.127_2.73_6_1__l1" nVehContrib="30" flow="60.00" occupancy="4.00" speed="11.00" length="5.00" nVehEntered="31"/>
  <interval begin="0.00" end="1800.00" id="alone" nVehContrib="0" flow="0.00" occupancy="0.00" speed="-1.00" length="-1.00" nVehEntered="0"/>
  <interval begin="1800.00" end="1800.00" id="alone" nVehContrib="0" flow="0.00" occupancy="0.00" speed="-1.00"/>
  <interval begin="0.00" end="60.00" id="area" sampledSeconds="1" nVehEntered="3"/>
</detector>"#;

#[test]
fn lanes_are_rows_of_their_own_and_a_loop_is_their_sum() {
    let csv = "sumo_e1_id,codice_spira,nome_via,direzione,lat,lon\n0.127_2.73_6_1__l0,0.127 2.73 6 1,VIA IRMA BANDIERA,N,44.49,11.31\n\
               0.127_2.73_6_1__l1,0.127 2.73 6 1,VIA IRMA BANDIERA,N,44.49,11.31\n";
    let mut loops = Loops::new(setting(Crosswalk::parse(csv.as_bytes()).unwrap()));
    let mut intervals = Intervals::new(OUTPUT.as_bytes());
    let (mut out, mut flaws) = (Vec::new(), 0);
    while let Some(found) = intervals.next().unwrap() {
        match found {
            Ok(i) => out.extend(loops.take(&i)),
            Err(_) => flaws += 1,
        }
    }
    out.extend(loops.finish());
    assert_eq!(flaws, 1, "an interval without length");
    let out = payloads(&out);
    let lanes: Vec<&Value> = out.iter().filter(|m| m.0 == "portico/bologna/traffic_measure/0.127-2.73-6-1").map(|m| &m.1).collect();
    assert_eq!(lanes.len(), 2);
    assert_eq!((&lanes[1]["index"], &lanes[1]["inputs"], &lanes[1]["speed"]), (&1.into(), &30.into(), &39.6.into()));
    assert_eq!(lanes[1]["observed_at"], "2026-11-24T07:00:00Z");
    let sums: Vec<&Value> = out.iter().filter(|m| m.0 == "portico/bologna/traffic_count/0.127-2.73-6-1").map(|m| &m.1).collect();
    assert_eq!(sums.len(), 1);
    // 10 vehicles of 9 m/s and 30 of 11 m/s.
    assert_eq!((&sums[0]["vehicles"], &sums[0]["speed"], &sums[0]["period"]), (&40.into(), &37.8.into(), &"PT30M".into()));
    assert_eq!((&sums[0]["occupancy"], &sums[0]["street"]), (&3.0.into(), &"VIA IRMA BANDIERA".into()));
    let alone = out.iter().find(|m| m.0 == "portico/bologna/traffic_count/alone").unwrap();
    assert!(alone.1.get("speed").is_none(), "-1 is no speed: {}", alone.1);
    assert!(out.iter().all(|m| m.1["simulated"] == true));
}

#[test]
fn a_loop_whose_lanes_are_known_speaks_at_once() {
    let Some(dir) = shared("acosta") else { return };
    let mut loops = Loops::of(setting(Crosswalk::default()), &Scenario::load(&dir).unwrap());
    let lane = |l: u32| Interval {
        detector: format!("0.127_2.73_6_1__l{l}"),
        begin_secs: 0.0,
        end_secs: 60.0,
        vehicles: 1,
        occupancy: Some(1.0),
        speed: Some(10.0),
    };
    assert_eq!(loops.take(&lane(0)).len(), 1);
    let both = payloads(&loops.take(&lane(1)));
    assert_eq!(both.len(), 2);
    assert!(both[1].1["lon"].is_number(), "the scenario places what the city does not");
    assert!(loops.finish().is_empty());
}

#[test]
fn detectors_write_elsewhere_and_nothing_else_changes() {
    let text = "<additional>\n<e1Detector id=\"file\" lane='1_0' pos=\"2\" freq=\"1800\" file=\"out.xml\"/><!-- kept\n<e1Detector id=\"off\" file=\"out.xml\" -->\
                <inductionLoop id=\"b\" lane=\"2_0\" pos=\"3\" period=\"60\" file='o'><param key=\"file\" value=\"v\"/></inductionLoop>\n\
                <e1DetectorX file=\"no\"/><busStop id=\"s\"/></additional>";
    let want = "<additional>\n<e1Detector id=\"file\" lane='1_0' pos=\"2\" file=\"127.0.0.1:9\" period=\"300\"/><!-- kept\n<e1Detector id=\"off\" file=\"out.xml\" -->\
                <inductionLoop id=\"b\" lane=\"2_0\" pos=\"3\" file=\"127.0.0.1:9\" period=\"300\"><param key=\"file\" value=\"v\"/></inductionLoop>\n\
                <e1DetectorX file=\"no\"/><busStop id=\"s\"/></additional>";
    assert_eq!(redirect(text, "127.0.0.1:9", Some(300.0)), want);
    assert!(redirect(text, "x:1", None).contains("freq=\"1800\" file=\"x:1\"/>"));
}

fn phase(state: &str, duration: f64, min: f64) -> Phase {
    Phase { duration_secs: duration, state: state.into(), min_secs: Some(min), max_secs: None }
}

/// Two streams, a green arrow that outlives its stream, clearances between.
fn crossing() -> Signal {
    let phases = vec![
        phase("GGr", 30.0, 10.0),
        phase("Gyr", 3.0, 3.0),
        phase("Grr", 7.0, 5.0),
        phase("yrr", 3.0, 3.0),
        phase("rrr", 2.0, 2.0),
        phase("rrG", 20.0, 6.0),
        phase("rry", 3.0, 3.0),
        phase("rrr", 2.0, 2.0),
    ];
    let program = |id: &str, phases: Vec<Phase>| Program { id: id.into(), kind: "static".into(), offset_secs: 0.0, phases };
    let night = vec![phase("rrG", 15.0, 5.0), phase("rry", 3.0, 3.0), phase("GGr", 15.0, 5.0), phase("yyr", 3.0, 3.0)];
    Signal { id: "1".into(), place: None, approaches: Vec::new(), programs: vec![program("day", phases), program("night", night)] }
}

fn order(want: Want, hold_secs: f64) -> Order {
    Order { id: "c".into(), want, hold_secs, expires_at: Timestamp(1_000_000_000) }
}

/// A controller of fixed times that also does what it is told, second by second. The phases that it showed, and how long.
fn drive(signal: &Signal, want: Want, hold: f64, start: (usize, f64), secs: usize) -> (Vec<(String, usize, f64)>, Vec<Action>) {
    let (mut program, mut at, mut spent, mut length) = (signal.programs[0].id.clone(), start.0, start.1, None);
    let now =
        |program: &'static str, phase, spent_secs, secs: usize| Now { program, phase, spent_secs, secs: secs as f64, wall: Timestamp(0) };
    let leak = |text: &str| -> &'static str { if text == "day" { "day" } else { "night" } };
    let mut controller = Controller::new(order(want, hold), signal, now(leak(&program), at, spent, 0)).ok();
    let (mut shown, mut actions) = (vec![(program.clone(), at, spent)], Vec::new());
    for t in 0..secs {
        if let Some(c) = &mut controller {
            let action = c.step(signal, now(leak(&program), at, spent, t));
            let to = match &action {
                Action::Jump(to) => Some((program.clone(), *to)),
                Action::Switch(to) | Action::Return(to) => Some((to.clone(), 0)),
                _ => None,
            };
            if let Action::Hold(secs) = &action
                && *secs > 0.0
            {
                length = Some(spent + secs);
            }
            if let Some(to) = to {
                (program, at) = to;
                (spent, length) = (0.0, None);
                shown.push((program.clone(), at, 0.0));
            }
            if matches!(action, Action::Return(_) | Action::Released | Action::Expired | Action::Refused(_)) {
                controller = None;
            }
            if action != Action::Wait {
                actions.push(action);
            }
        }
        spent += 1.0;
        shown.last_mut().unwrap().2 = spent;
        let phases = &signal.programs.iter().find(|p| p.id == program).unwrap().phases;
        if spent >= length.unwrap_or(phases[at].duration_secs) {
            at = (at + 1) % phases.len();
            (spent, length) = (0.0, None);
            shown.push((program.clone(), at, 0.0));
        }
    }
    (shown, actions)
}

#[test]
fn a_commanded_phase_comes_after_the_clearance_and_is_held() {
    let (shown, actions) = drive(&crossing(), Want::Phase(5), 40.0, (0, 2.0), 120);
    assert!(actions.contains(&Action::Hold(40.0)) && actions.last() == Some(&Action::Released), "{actions:?}");
    let phases: Vec<(usize, f64)> = shown.iter().map(|s| (s.1, s.2)).take(6).collect();
    // Green is cut to its minimum, yellow and all-red are whole, phase 5 is held.
    assert_eq!(phases, [(0, 10.0), (1, 3.0), (2, 5.0), (3, 3.0), (4, 2.0), (5, 40.0)]);
}

#[test]
fn what_is_unsafe_or_unknown_is_refused_with_a_reason() {
    let signal = crossing();
    let now = Now { program: "day", phase: 0, spent_secs: 0.0, secs: 0.0, wall: Timestamp(0) };
    let refused = |want, hold| Controller::new(order(want, hold), &signal, now).unwrap_err();
    assert!(refused(Want::Phase(3), 10.0).contains("clears the junction"));
    assert!(refused(Want::Phase(8), 10.0).contains("0 to 7"));
    assert!(refused(Want::Phase(0), 500.0).contains("120 s"));
    assert!(refused(Want::Phase(0), f64::NAN).contains("not allowed"));
    assert!(refused(Want::Program("fast".into()), 60.0).contains("day, night"));
    let late = Order { expires_at: Timestamp(0), ..order(Want::Phase(0), 10.0) };
    assert!(Controller::new(late, &signal, now).unwrap_err().contains("expired"));
    // A phase that had its longest green is not prolonged by another command.
    let mut c = Controller::new(order(Want::Phase(0), 60.0), &signal, now).unwrap();
    let long = Now { spent_secs: 119.5, ..now };
    assert!(matches!(c.step(&signal, long), Action::Refused(_)));
    let mut c = Controller::new(order(Want::Phase(5), 60.0), &signal, now).unwrap();
    assert_eq!(c.step(&signal, Now { wall: Timestamp(2_000_000_000), ..now }), Action::Expired);
}

#[test]
fn another_program_comes_for_a_while_and_goes_again() {
    let (shown, actions) = drive(&crossing(), Want::Program("night".into()), 60.0, (5, 1.0), 200);
    assert_eq!(actions.last(), Some(&Action::Return("day".into())), "{actions:?}");
    assert!(shown.iter().any(|s| s.0 == "night") && shown.last().unwrap().0 == "day");
}

proptest! {
    /// Whatever is commanded whenever: no green is shorter than its minimum, no clearance is cut, no link goes from green to red without yellow.
    #[test]
    fn no_command_breaks_a_clearance(target in 0usize..8, night in any::<bool>(), at in 0usize..8, into in 0.0f64..1.0, hold in 1.0f64..100.0) {
        let signal = crossing();
        let want = if night { Want::Program("night".into()) } else { Want::Phase(target) };
        let start = (at, (into * signal.programs[0].phases[at].duration_secs).floor());
        let (shown, _) = drive(&signal, want, hold, start, 400);
        let of = |s: &(String, usize, f64)| signal.programs.iter().find(|p| p.id == s.0).unwrap().phases[s.1].clone();
        for pair in shown.windows(2) {
            let (from, to) = (of(&pair[0]), of(&pair[1]));
            let n = signal.programs.iter().find(|p| p.id == pair[0].0).unwrap().phases.len();
            let in_order = pair[0].0 == pair[1].0 && pair[1].1 == (pair[0].1 + 1) % n;
            prop_assert!(in_order || may_follow(&from.state, &to.state), "{} to {}", from.state, to.state);
            let least = if from.is_green() { from.min_secs.unwrap() } else { from.duration_secs };
            prop_assert!(pair[0].2 >= least, "{} for {} s", from.state, pair[0].2);
        }
    }

    #[test]
    fn any_output_of_detectors_is_read_or_refused(text in "(<interval (begin|end|id|nVehContrib|speed)=\"[-0-9.a-z]{0,6}\" ?){0,3}[ -~]{0,60}", bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for source in [format!("<detector>{text}/></detector>").into_bytes(), bytes] {
            let mut intervals = Intervals::new(&source[..]);
            while let Ok(Some(_)) = intervals.next() {}
        }
    }

    #[test]
    fn any_text_can_be_redirected(text in "[<>/=\"' a-z\n]{0,80}(<e1Detector |<inductionLoop\t)?[<>/=\"' filefreqé]{0,80}") {
        let _ = redirect(&text, "127.0.0.1:1", Some(60.0));
    }
}
