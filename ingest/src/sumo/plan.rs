//! A signal plan to be tried: new durations, offsets or phases for some signals, and corridors whose green wave it is about.

use super::{
    control::may_follow,
    scenario::{Phase, Program, Scenario},
};
use crate::IngestError;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Name of the program that a plan makes.
pub const PROGRAM: &str = "plan";
const TEXT_BYTES_MAX: usize = 1 << 20;
const SIGNALS_MAX: usize = 1_000;
const PHASE_SECS: std::ops::RangeInclusive<f64> = 1.0..=600.0;
const CYCLE_SECS_MAX: f64 = 600.0;

/// The file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub name: String,
    #[serde(rename = "signal")]
    pub signals: Vec<Change>,
    #[serde(default, rename = "corridor")]
    pub corridors: Vec<Corridor>,
}

/// What is new at one signal. What is left out stays as it is in the program of today.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    pub id: String,
    pub offset: Option<f64>,
    /// Seconds of each phase of today's program.
    pub durations: Option<Vec<f64>>,
    /// Other phases altogether.
    pub phases: Option<Vec<NewPhase>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPhase {
    pub duration: f64,
    pub state: String,
}

/// Signals along a street, in the direction of travel.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Corridor {
    pub name: String,
    /// km/h
    pub speed: f64,
    pub signals: Vec<Stop>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    pub id: String,
    /// Metres from the first.
    pub distance: f64,
    /// Index in the states of the link that carries the corridor.
    pub link: usize,
}

/// A plan that fits its scenario.
#[derive(Debug, Clone)]
pub struct Checked {
    pub plan: Plan,
    /// SHA-256 of the file, in hex.
    pub digest: String,
    /// Signal and its new program.
    pub programs: Vec<(String, Program)>,
}

impl Checked {
    /// # Errors
    /// The file is not a plan, or does not fit the scenario: the message names signal, rule and fix.
    pub fn parse(text: &str, scenario: &Scenario) -> Result<Self, IngestError> {
        let fail = |rule: String| IngestError::Invalid(format!("plan: {rule}"));
        if text.len() > TEXT_BYTES_MAX {
            return Err(fail(format!("has {} bytes, at most {TEXT_BYTES_MAX} are read", text.len())));
        }
        let plan: Plan = toml::from_str(text).map_err(|e| fail(e.to_string()))?;
        if !(1..=SIGNALS_MAX).contains(&plan.signals.len()) || plan.name.is_empty() || plan.name.len() > 64 {
            return Err(fail(format!("needs a name of at most 64 bytes and 1 to {SIGNALS_MAX} signals")));
        }
        let mut programs: Vec<(String, Program)> = Vec::new();
        for change in &plan.signals {
            if programs.iter().any(|(id, _)| *id == change.id) {
                return Err(fail(format!("signal '{}' stands twice", change.id)));
            }
            let today = today(scenario, &change.id).map_err(fail)?;
            let program = change.program(today).map_err(|rule| fail(format!("signal '{}': {rule}", change.id)))?;
            programs.push((change.id.clone(), program));
        }
        for corridor in &plan.corridors {
            corridor.check(scenario).map_err(|rule| fail(format!("corridor '{}': {rule}", corridor.name)))?;
        }
        let digest = Sha256::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, b| {
            write!(hex, "{b:02x}").ok();
            hex
        });
        Ok(Self { plan, digest, programs })
    }

    /// The additional file that puts the plan in force, because it is loaded last.
    #[must_use]
    pub fn additional(&self) -> String {
        let mut out = String::from("<additional>\n");
        for (id, program) in &self.programs {
            let (id, offset) = (escaped(id), program.offset_secs);
            writeln!(out, "<tlLogic id=\"{id}\" type=\"static\" programID=\"{PROGRAM}\" offset=\"{offset}\">").ok();
            for p in &program.phases {
                writeln!(out, "<phase duration=\"{}\" state=\"{}\"/>", p.duration_secs, p.state).ok();
            }
            out.push_str("</tlLogic>\n");
        }
        out.push_str("</additional>\n");
        out
    }

    /// The program of a signal with the plan.
    #[must_use]
    pub fn program<'p>(&'p self, scenario: &'p Scenario, id: &str) -> Option<&'p Program> {
        let new = self.programs.iter().find(|(s, _)| s == id).map(|(_, p)| p);
        new.or_else(|| scenario.signal(id).and_then(|s| s.programs.last()))
    }
}

fn today<'s>(scenario: &'s Scenario, id: &str) -> Result<&'s Program, String> {
    let program = scenario.signal(id).and_then(|s| s.programs.last());
    program.ok_or_else(|| {
        let known: Vec<&str> = scenario.signals.iter().map(|s| s.id.as_str()).take(20).collect();
        format!("there is no signal '{id}' in the scenario; it has {}", known.join(", "))
    })
}

impl Change {
    fn program(&self, today: &Program) -> Result<Program, String> {
        let mut phases = today.phases.clone();
        match (&self.durations, &self.phases) {
            (Some(_), Some(_)) => return Err("durations and phases exclude each other".into()),
            (Some(durations), None) => {
                if durations.len() != phases.len() {
                    return Err(format!("{} durations for {} phases", durations.len(), phases.len()));
                }
                for (phase, duration) in phases.iter_mut().zip(durations) {
                    phase.duration_secs = *duration;
                }
            }
            (None, Some(new)) => {
                let links = today.phases.first().map_or(0, |p| p.state.len());
                phases = new
                    .iter()
                    .map(|p| Phase { duration_secs: p.duration, state: p.state.clone(), min_secs: None, max_secs: None })
                    .collect();
                check_states(&phases, links)?;
            }
            (None, None) => {}
        }
        for (i, p) in phases.iter().enumerate() {
            if !PHASE_SECS.contains(&p.duration_secs) {
                return Err(format!("phase {i} lasts {} s; {} to {} are allowed", p.duration_secs, PHASE_SECS.start(), PHASE_SECS.end()));
            }
            // Clearances are not for a plan to shorten, nor greens below what the program of today allows.
            let least = if p.is_green() { p.min_secs } else { today.phases.get(i).filter(|t| t.state == p.state).map(|t| t.duration_secs) };
            if let Some(least) = least.filter(|least| p.duration_secs < *least) {
                return Err(format!("phase {i} ({}) lasts {} s, at least {least} are needed", p.state, p.duration_secs));
            }
        }
        let offset_secs = self.offset.unwrap_or(today.offset_secs);
        let program = Program { id: PROGRAM.into(), kind: "static".into(), offset_secs, phases };
        let cycle = program.cycle_secs();
        if cycle > CYCLE_SECS_MAX || !(0.0..cycle).contains(&offset_secs) {
            return Err(format!(
                "cycle {cycle} s, offset {offset_secs} s; a cycle has at most {CYCLE_SECS_MAX} s and the offset lies in it"
            ));
        }
        Ok(program)
    }
}

fn check_states(phases: &[Phase], links: usize) -> Result<(), String> {
    if phases.len() < 2 {
        return Err("a program needs two phases or more".into());
    }
    for (i, p) in phases.iter().enumerate() {
        if p.state.len() != links || !p.state.bytes().all(|b| b"GgyYrsuOo".contains(&b)) {
            return Err(format!("phase {i}: state '{}' is not {links} letters of G, g, y, r", p.state));
        }
        let next = &phases[(i + 1) % phases.len()].state;
        let cut = p.state.chars().zip(next.chars()).position(|(a, b)| matches!(a, 'G' | 'g') && b == 'r');
        if let Some(link) = cut {
            return Err(format!("phase {i}: link {link} goes from green to red; put a phase with y between"));
        }
        if !p.state.contains('y') && !may_follow(&p.state, next) && !next.contains('y') {
            return Err(format!("phase {i} ({}) cannot be followed by {next}", p.state));
        }
    }
    Ok(())
}

impl Corridor {
    fn check(&self, scenario: &Scenario) -> Result<(), String> {
        if !(1.0..=150.0).contains(&self.speed) || self.signals.len() < 2 || self.name.is_empty() || self.name.len() > 64 {
            return Err("needs a name, a speed of 1 to 150 km/h and two signals or more".into());
        }
        if !self.signals.windows(2).all(|s| s[0].distance < s[1].distance)
            || self.signals.iter().any(|s| !(0.0..=1e5).contains(&s.distance))
        {
            return Err("distances must grow from 0 to at most 100000 m".into());
        }
        for stop in &self.signals {
            let links = today(scenario, &stop.id)?.phases.first().map_or(0, |p| p.state.len());
            if stop.link >= links {
                return Err(format!("signal '{}' has the links 0 to {}, not {}", stop.id, links.saturating_sub(1), stop.link));
            }
        }
        Ok(())
    }
}

/// The band of a corridor.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    /// Seconds of the cycle in which whoever passes the first signal at the speed of progression meets no red. `None` when the cycles differ.
    pub bandwidth_secs: Option<f64>,
    /// Green of each signal for the corridor, in its cycle.
    pub green_secs: Vec<f64>,
}

/// Tries every second of the cycle: exact for programs of whole seconds, and no closed form covers split greens.
#[must_use]
pub fn band<'p>(corridor: &Corridor, program: impl Fn(&str) -> Option<&'p Program>) -> Band {
    let programs: Vec<Option<&Program>> = corridor.signals.iter().map(|s| program(&s.id)).collect();
    let green = |p: &Program, link: usize, at: f64| {
        let mut t = (at - p.offset_secs).rem_euclid(p.cycle_secs().max(1.0));
        for phase in &p.phases {
            if t < phase.duration_secs {
                return matches!(phase.state.as_bytes().get(link), Some(b'G' | b'g'));
            }
            t -= phase.duration_secs;
        }
        false
    };
    let is_green = |phase: &&Phase, link: usize| matches!(phase.state.as_bytes().get(link), Some(b'G' | b'g'));
    let green_secs = corridor
        .signals
        .iter()
        .zip(&programs)
        .map(|(s, p)| p.map_or(0.0, |p| p.phases.iter().filter(|ph| is_green(ph, s.link)).map(|ph| ph.duration_secs).sum()))
        .collect();
    let cycle = programs.first().and_then(|p| *p).map_or(0.0, Program::cycle_secs);
    let same = cycle > 0.0 && programs.iter().all(|p| p.is_some_and(|p| (p.cycle_secs() - cycle).abs() < 1e-6));
    let passes = |t: usize| {
        corridor
            .signals
            .iter()
            .zip(&programs)
            .all(|(s, p)| p.is_some_and(|p| green(p, s.link, t as f64 + s.distance / (corridor.speed / 3.6))))
    };
    let bandwidth_secs = same.then(|| {
        let seconds: Vec<bool> = (0..cycle.ceil() as usize).map(passes).collect();
        // The longest run, which may go on over the end of the cycle.
        let (mut best, mut run) = (0usize, 0usize);
        for t in 0..seconds.len() * 2 {
            run = if seconds[t % seconds.len()] { run + 1 } else { 0 };
            best = best.max(run);
        }
        (best as f64).min(cycle)
    });
    Band { bandwidth_secs, green_secs }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
