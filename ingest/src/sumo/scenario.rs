//! The files of a scenario, as far as the city needs them: which detectors there are and where, which signals with which programs, and which
//! files belong to it. Everything else is SUMO's own business.

use super::utm::Plane;
use crate::{
    IngestError,
    xml::{Element, Elements, Tree},
};
use hashbrown::{HashMap, HashSet};
use std::{
    fs::File,
    io::BufReader,
    path::{Component, Path, PathBuf},
};

const DETECTORS_MAX: usize = 100_000;
const SIGNALS_MAX: usize = 10_000;
const PHASES_MAX: usize = 256;
const FILES_MAX: usize = 1_000;

/// Degrees, longitude first.
pub type Place = (f64, f64);

/// One phase of a signal program.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    pub duration_secs: f64,
    /// A letter for each link of the junction: `G`, `g` green, `y` yellow, `r` red, and the rarer ones of SUMO.
    pub state: String,
    pub min_secs: Option<f64>,
    pub max_secs: Option<f64>,
}

/// One program of a signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    pub id: String,
    /// `static`, `actuated`, `delay_based`, …
    pub kind: String,
    pub offset_secs: f64,
    pub phases: Vec<Phase>,
}

impl Program {
    #[must_use]
    pub fn cycle_secs(&self) -> f64 {
        self.phases.iter().map(|p| p.duration_secs).sum()
    }
}

/// A signal: the junctions that one controller switches.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    pub id: String,
    pub place: Option<Place>,
    /// Edges that lead to it, in order.
    pub approaches: Vec<String>,
    /// In the order of the files; the last is in force at the start.
    pub programs: Vec<Program>,
}

/// An induction loop (E1) on one lane.
#[derive(Debug, Clone, PartialEq)]
pub struct Detector {
    pub id: String,
    pub lane: String,
    pub position_m: f64,
    pub place: Option<Place>,
}

/// A scenario on disk.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Directory of the configuration; paths below are relative to it.
    pub dir: PathBuf,
    pub config: String,
    /// Every input file that the configuration names, the additional ones among them.
    pub inputs: Vec<String>,
    pub additional: Vec<String>,
    /// The additional files that hold detectors.
    pub with_detectors: Vec<String>,
    pub detectors: Vec<Detector>,
    pub signals: Vec<Signal>,
    /// Simulated second at which the configuration begins.
    pub begin_secs: f64,
}

impl Scenario {
    /// Reads the one `.sumocfg` of a directory, or the named one, and what it names.
    ///
    /// # Errors
    /// A file is absent or is not SUMO's, or a limit is passed.
    pub fn load(path: &Path) -> Result<Self, IngestError> {
        let (dir, config) = find(path)?;
        let mut scenario = Self {
            dir,
            config,
            inputs: Vec::new(),
            additional: Vec::new(),
            with_detectors: Vec::new(),
            detectors: Vec::new(),
            signals: Vec::new(),
            begin_secs: 0.0,
        };
        let net = scenario.configuration()?;
        let mut network = Network::default();
        for file in scenario.additional.clone() {
            scenario.additional_file(&file, &mut network)?;
        }
        scenario.network(&net, &mut network)?;
        scenario.place(&network);
        Ok(scenario)
    }

    #[must_use]
    pub fn signal(&self, id: &str) -> Option<&Signal> {
        self.signals.iter().find(|s| s.id == id)
    }

    /// An additional file with its induction loops writing to `file`, at another interval when one is given.
    ///
    /// # Errors
    /// It cannot be read, or is larger than what detectors need.
    pub fn redirected(&self, name: &str, file: &str, interval_secs: Option<f64>) -> Result<String, IngestError> {
        const BYTES_MAX: u64 = 64 << 20;
        let path = self.dir.join(name);
        let fail = |rule: String| IngestError::Invalid(format!("{}: {rule}", path.display()));
        let bytes = path.metadata().map_err(|e| fail(e.to_string()))?.len();
        if bytes > BYTES_MAX {
            return Err(fail(format!("has {bytes} bytes; put the detectors into a file of their own of at most {BYTES_MAX}")));
        }
        let text = std::fs::read_to_string(&path).map_err(|e| fail(e.to_string()))?;
        Ok(super::redirect::redirect(&text, file, interval_secs))
    }

    /// Name of the network file.
    fn configuration(&mut self) -> Result<String, IngestError> {
        let mut net = None;
        let file = self.config.clone();
        each(&self.dir.join(&file), &["net-file", "route-files", "additional-files", "gui-settings-file", "begin"], |e| {
            let value = e.attribute("value").or_else(|| e.attribute("v")).unwrap_or_default();
            if e.name() == "begin" {
                self.begin_secs = seconds(value).ok_or_else(|| format!("begin '{value}' is not a time in seconds"))?;
                return Ok(());
            }
            let files: Vec<String> = value.split([',', ' ']).filter(|f| !f.is_empty()).map(str::to_owned).collect();
            for name in &files {
                let plain = Path::new(name).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
                if !plain {
                    return Err(format!("input '{name}' is outside the directory of the configuration; put it inside"));
                }
            }
            match e.name() {
                "net-file" => net = files.first().cloned(),
                "additional-files" => self.additional.extend(files.iter().cloned()),
                _ => {}
            }
            self.inputs.extend(files);
            if self.inputs.len() > FILES_MAX { Err(format!("more than {FILES_MAX} input files")) } else { Ok(()) }
        })?;
        net.ok_or_else(|| IngestError::Invalid(format!("{file}: net-file is missing; is it a SUMO configuration?")))
    }

    fn additional_file(&mut self, file: &str, network: &mut Network) -> Result<(), IngestError> {
        let before = self.detectors.len();
        each(&self.dir.join(file), &["e1Detector", "inductionLoop", "tlLogic"], |e| {
            if e.name() == "tlLogic" {
                return self.logic(e);
            }
            let text = |name: &str| e.attribute(name).map(str::to_owned).ok_or_else(|| format!("a detector has no {name}"));
            let (id, lane) = (text("id")?, text("lane")?);
            let position_m = e.attribute("pos").and_then(|t| t.parse().ok()).filter(|p: &f64| p.is_finite());
            let position_m = position_m.ok_or_else(|| format!("detector '{id}': pos is not a number"))?;
            network.lanes.insert(lane.clone(), Vec::new());
            self.detectors.push(Detector { id, lane, position_m, place: None });
            if self.detectors.len() > DETECTORS_MAX { Err(format!("more than {DETECTORS_MAX} detectors")) } else { Ok(()) }
        })?;
        if self.detectors.len() > before {
            self.with_detectors.push(file.to_owned());
        }
        Ok(())
    }

    fn logic(&mut self, e: Element<'_>) -> Result<(), String> {
        let text = |name: &str| e.attribute(name).unwrap_or_default().to_owned();
        let (id, program) = (text("id"), text("programID"));
        let number =
            |e: Element<'_>, name: &str| e.attribute(name).and_then(|t| t.parse::<f64>().ok()).filter(|v| v.is_finite() && *v >= 0.0);
        let mut phases = Vec::new();
        for p in e.all("phase") {
            let duration = number(p, "duration").ok_or_else(|| format!("signal '{id}', program '{program}': a phase has no duration"))?;
            phases.push(Phase {
                duration_secs: duration,
                state: p.attribute("state").unwrap_or_default().to_owned(),
                min_secs: number(p, "minDur"),
                max_secs: number(p, "maxDur"),
            });
        }
        if id.is_empty() || phases.is_empty() || phases.len() > PHASES_MAX {
            return Err(format!("signal '{id}', program '{program}' has {} phases; 1 to {PHASES_MAX} are read", phases.len()));
        }
        let program = Program { id: program, kind: text("type"), offset_secs: number(e, "offset").unwrap_or(0.0), phases };
        match self.signals.iter_mut().find(|s| s.id == id) {
            Some(signal) => {
                signal.programs.retain(|p| p.id != program.id);
                signal.programs.push(program);
            }
            None => self.signals.push(Signal { id, place: None, approaches: Vec::new(), programs: vec![program] }),
        }
        if self.signals.len() > SIGNALS_MAX { Err(format!("more than {SIGNALS_MAX} signals")) } else { Ok(()) }
    }

    fn network(&mut self, file: &str, network: &mut Network) -> Result<(), IngestError> {
        // Programs of the network come before those of additional files, whatever was read first.
        let own = std::mem::take(&mut self.signals);
        each(&self.dir.join(file), &["location", "edge", "junction", "connection", "tlLogic"], |e| {
            if e.name() == "tlLogic" { self.logic(e) } else { network.learn(e) }
        })?;
        for signal in own {
            match self.signals.iter_mut().find(|s| s.id == signal.id) {
                Some(s) => s.programs.extend(signal.programs),
                None => self.signals.push(signal),
            }
        }
        Ok(())
    }

    fn place(&mut self, network: &Network) {
        let Network { plane, lanes, edges, junctions, approaches } = network;
        for d in &mut self.detectors {
            let point = lanes.get(&d.lane).and_then(|shape| along(shape, d.position_m));
            d.place = plane.zip(point).and_then(|(plane, point)| plane.degrees(point));
        }
        for s in &mut self.signals {
            s.approaches = approaches.get(&s.id).cloned().unwrap_or_default();
            let at: HashSet<&String> = s.approaches.iter().filter_map(|e| edges.get(e)).collect();
            let points: Vec<(f64, f64)> = at.into_iter().filter_map(|j| junctions.get(j).copied()).collect();
            let n = points.len() as f64;
            let middle = points.iter().fold((0.0, 0.0), |m, p| (m.0 + p.0 / n, m.1 + p.1 / n));
            s.place = plane.filter(|_| !points.is_empty()).and_then(|plane| plane.degrees(middle));
        }
    }
}

/// What is kept of a network while a scenario is read.
#[derive(Debug, Default)]
struct Network {
    plane: Option<Plane>,
    /// Shapes of the lanes that have detectors.
    lanes: HashMap<String, Vec<(f64, f64)>>,
    /// Edge to the junction at its end.
    edges: HashMap<String, String>,
    junctions: HashMap<String, (f64, f64)>,
    /// Signal to the edges that lead to it.
    approaches: HashMap<String, Vec<String>>,
}

impl Network {
    fn learn(&mut self, e: Element<'_>) -> Result<(), String> {
        let id = e.attribute("id").unwrap_or_default();
        match e.name() {
            "location" => {
                let (projection, offset) = (e.attribute("projParameter").unwrap_or_default(), e.attribute("netOffset").unwrap_or_default());
                self.plane = Plane::parse(projection, offset);
            }
            "edge" => {
                for lane in e.all("lane") {
                    if let Some(shape) = self.lanes.get_mut(lane.attribute("id").unwrap_or_default()) {
                        *shape = lane.attribute("shape").unwrap_or_default().split_ascii_whitespace().filter_map(point).collect();
                    }
                }
                if let Some(to) = e.attribute("to") {
                    self.edges.insert(id.to_owned(), to.to_owned());
                }
            }
            "junction" => {
                let number = |name: &str| e.attribute(name).and_then(|t| t.parse::<f64>().ok()).filter(|v| v.is_finite());
                if let (Some(x), Some(y)) = (number("x"), number("y")) {
                    self.junctions.insert(id.to_owned(), (x, y));
                }
            }
            _ => {
                if let (Some(signal), Some(from)) = (e.attribute("tl"), e.attribute("from")) {
                    let edges = self.approaches.entry(signal.to_owned()).or_default();
                    if !edges.iter().any(|e| e == from) {
                        edges.push(from.to_owned());
                    }
                }
            }
        }
        Ok(())
    }
}

/// A point of a shape: `x,y` or `x,y,z`.
fn point(text: &str) -> Option<(f64, f64)> {
    let mut numbers = text.split(',').map(str::parse::<f64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(x)), Some(Ok(y))) if x.is_finite() && y.is_finite() => Some((x, y)),
        _ => None,
    }
}

/// The point so many metres along a line; from its end when negative.
fn along(line: &[(f64, f64)], metres: f64) -> Option<(f64, f64)> {
    let length = |(a, b): (&(f64, f64), &(f64, f64))| (a.0 - b.0).hypot(a.1 - b.1);
    let pairs = || line.iter().zip(line.iter().skip(1));
    let mut left = if metres < 0.0 { pairs().map(length).sum::<f64>() + metres } else { metres };
    for (a, b) in pairs() {
        let long = length((a, b));
        if left <= long && long > 0.0 {
            let share = (left / long).max(0.0);
            return Some((a.0 + (b.0 - a.0) * share, a.1 + (b.1 - a.1) * share));
        }
        left -= long;
    }
    line.last().copied()
}

/// `90`, `90.5` or `00:01:30`.
fn seconds(text: &str) -> Option<f64> {
    let value = match text.split(':').collect::<Vec<_>>().as_slice() {
        [secs] => secs.parse().ok(),
        [h, m, s] => Some(h.parse::<f64>().ok()? * 3_600.0 + m.parse::<f64>().ok()? * 60.0 + s.parse::<f64>().ok()?),
        _ => None,
    };
    value.filter(|v: &f64| v.is_finite() && (0.0..=1e9).contains(v))
}

fn find(path: &Path) -> Result<(PathBuf, String), IngestError> {
    let fail = |rule: &str| IngestError::Invalid(format!("{}: {rule}", path.display()));
    let name = |p: &Path| p.file_name().and_then(|n| n.to_str()).map(str::to_owned);
    if path.is_file() {
        let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        return Ok((dir, name(path).ok_or_else(|| fail("the name is not UTF-8"))?));
    }
    let entries = std::fs::read_dir(path).map_err(|e| fail(&format!("{e}; name the directory of a SUMO scenario")))?;
    let configs: Vec<String> = entries.filter_map(|e| name(&e.ok()?.path())).filter(|n| n.ends_with(".sumocfg")).take(2).collect();
    match configs.as_slice() {
        [one] => Ok((path.to_owned(), one.clone())),
        [] => Err(fail("there is no .sumocfg in it")),
        _ => Err(fail("there are several .sumocfg in it; name the file")),
    }
}

/// Calls `take` for each element of one of these names.
fn each(path: &Path, names: &[&str], mut take: impl FnMut(Element<'_>) -> Result<(), String>) -> Result<(), IngestError> {
    let fail = |rule: String| IngestError::Invalid(format!("{}: {rule}", path.display()));
    let file = File::open(path).map_err(|e| fail(e.to_string()))?;
    let (mut elements, mut tree) = (Elements::new(BufReader::new(file)), Tree::default());
    while elements.next(&mut tree, |name| names.contains(&name)).map_err(|e| fail(e.to_string()))? {
        take(tree.root()).map_err(fail)?;
    }
    Ok(())
}
