//! What a simulation says, as messages of the city's own loops and signals.
//!
//! A detector is one lane of a loop: each of its intervals is a row of `traffic_measure` (entity the loop, index the lane), and the lanes
//! of a loop together are a row of `traffic_count`. `observed_at` is the begin of the interval. Every message says that it is simulated.

use super::{
    intervals::Interval,
    scenario::{Place, Program, Scenario, Signal},
};
use crate::{IngestError, RawMessage};
use hashbrown::HashMap;
use schemas::{EntityId, Tenant, Timestamp, time::SECOND_US};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::io::Read;

/// Lines of a crosswalk.
const CROSSWALK_MAX: usize = 100_000;
/// Loops whose lanes are waited for.
const PENDING_MAX: usize = 100_000;
const KMH: f64 = 3.6;

/// The loop of the city that a detector stands for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Site {
    /// The city's code of the loop, `0.127 2.73 6 1`.
    pub code: String,
    pub street: String,
    pub direction: String,
    pub place: Option<Place>,
}

/// From detectors to the loops of the city.
#[derive(Debug, Clone, Default)]
pub struct Crosswalk(HashMap<String, Site>);

#[derive(Debug, Deserialize)]
struct Line {
    sumo_e1_id: String,
    codice_spira: String,
    #[serde(default)]
    nome_via: String,
    #[serde(default)]
    direzione: String,
    lat: Option<f64>,
    lon: Option<f64>,
}

impl Crosswalk {
    /// A CSV file with the columns `sumo_e1_id`, `codice_spira`, and `nome_via`, `direzione`, `lat`, `lon` where they are known.
    ///
    /// # Errors
    /// A line lacks a column, or there are too many.
    pub fn parse(source: impl Read) -> Result<Self, IngestError> {
        let mut sites = HashMap::new();
        for (n, line) in csv::Reader::from_reader(source).deserialize::<Line>().enumerate() {
            let line = line.map_err(|e| IngestError::Invalid(format!("crosswalk: {e}")))?;
            if n >= CROSSWALK_MAX {
                let (value, limit) = (n as u64 + 1, CROSSWALK_MAX as u64);
                return Err(IngestError::Limit { what: "lines of the crosswalk", value, limit, fix: "keep the detectors of the scenario" });
            }
            let place = line.lon.zip(line.lat).filter(|(lon, lat)| (-180.0..=180.0).contains(lon) && (-90.0..=90.0).contains(lat));
            let site = Site { code: line.codice_spira, street: line.nome_via, direction: line.direzione, place };
            sites.insert(line.sumo_e1_id, site);
        }
        Ok(Self(sites))
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The loop of a detector. One that is not listed is named after the detector itself, without its lane.
    #[must_use]
    pub fn site(&self, detector: &str) -> Site {
        self.0.get(detector).cloned().unwrap_or_else(|| Site { code: lane(detector).0.replace('_', " "), ..Site::default() })
    }
}

/// Loop and lane of a detector: `0.127_2.73_6_1__l1` is lane 1, the second from the right.
fn lane(detector: &str) -> (&str, u32) {
    let split = detector.rsplit_once("__l").and_then(|(id, lane)| Some((id, lane.parse().ok().filter(|n| *n < 100)?)));
    split.unwrap_or((detector, 0))
}

/// Where and when a simulation takes place.
#[derive(Debug, Clone)]
pub struct Setting {
    pub tenant: Tenant,
    /// The instant of simulated second 0.
    pub start: Timestamp,
    pub crosswalk: Crosswalk,
}

impl Setting {
    #[must_use]
    pub fn at(&self, simulated_secs: f64) -> Timestamp {
        // Simulated times have milliseconds.
        Timestamp(self.start.0 + (simulated_secs * 1e3).round() as i64 * (SECOND_US / 1_000))
    }

    fn message(&self, product: &str, local: &str, fields: &Map<String, Value>) -> RawMessage {
        let topic = format!("portico/{}/{product}/{}", self.tenant, EntityId::local_part(local));
        RawMessage { topic: topic.into(), payload: Value::Object(fields.clone()).to_string().into() }
    }
}

/// Lanes of one loop in one interval.
#[derive(Debug)]
struct Pending {
    begin_secs: f64,
    end_secs: f64,
    site: Site,
    lanes: usize,
    vehicles: u64,
    /// Vehicles with a speed, and their sum of speeds.
    speeds: (f64, f64),
    /// Lanes with an occupancy, and their sum.
    occupancies: (f64, f64),
}

/// Turns intervals of detectors into messages.
#[derive(Debug)]
pub struct Loops {
    setting: Setting,
    /// Lanes of each loop, when the scenario is known.
    lanes: HashMap<String, usize>,
    places: HashMap<String, Place>,
    pending: HashMap<String, Pending>,
}

impl Loops {
    #[must_use]
    pub fn new(setting: Setting) -> Self {
        Self { setting, lanes: HashMap::new(), places: HashMap::new(), pending: HashMap::new() }
    }

    /// The same when the detectors are known: a loop speaks as soon as its last lane has, and loops that the city does not
    /// place stand where the scenario has them.
    #[must_use]
    pub fn of(setting: Setting, scenario: &Scenario) -> Self {
        let mut loops = Self::new(setting);
        for d in &scenario.detectors {
            let code = loops.setting.crosswalk.site(&d.id).code;
            if let Some(place) = d.place {
                loops.places.entry(code.clone()).or_insert(place);
            }
            *loops.lanes.entry(code).or_default() += 1;
        }
        loops
    }

    /// Messages that an interval makes: its own, and those of loops that are complete by it.
    pub fn take(&mut self, interval: &Interval) -> Vec<RawMessage> {
        let mut site = self.setting.crosswalk.site(&interval.detector);
        site.place = site.place.or_else(|| self.places.get(&site.code).copied());
        let mut out = vec![self.measure(interval, &site)];
        let other = |p: &Pending| p.begin_secs != interval.begin_secs || p.end_secs != interval.end_secs;
        if self.pending.get(&site.code).is_some_and(other) || self.pending.len() >= PENDING_MAX {
            out.extend(self.finish());
        }
        let code = site.code.clone();
        let p = self.pending.entry(code.clone()).or_insert_with(|| Pending {
            begin_secs: interval.begin_secs,
            end_secs: interval.end_secs,
            site,
            lanes: 0,
            vehicles: 0,
            speeds: (0.0, 0.0),
            occupancies: (0.0, 0.0),
        });
        p.lanes += 1;
        p.vehicles += u64::from(interval.vehicles);
        if let Some(speed) = interval.speed {
            let n = f64::from(interval.vehicles);
            p.speeds = (p.speeds.0 + n, p.speeds.1 + n * speed);
        }
        if let Some(occupancy) = interval.occupancy {
            p.occupancies = (p.occupancies.0 + 1.0, p.occupancies.1 + occupancy);
        }
        if self.lanes.get(&code) == Some(&p.lanes)
            && let Some(whole) = self.pending.remove(&code)
        {
            out.push(self.count(&whole));
        }
        out
    }

    /// The loops whose lanes have not all spoken, in order: the simulation or its file has ended.
    pub fn finish(&mut self) -> Vec<RawMessage> {
        let mut rest: Vec<Pending> = self.pending.drain().map(|(_, p)| p).collect();
        rest.sort_by(|a, b| a.site.code.cmp(&b.site.code));
        rest.iter().map(|p| self.count(p)).collect()
    }

    fn fields(&self, begin_secs: f64, site: &Site) -> Map<String, Value> {
        let mut out = Map::new();
        out.insert("observed_at".into(), self.setting.at(begin_secs).to_rfc3339().into());
        out.insert("simulated".into(), true.into());
        for (name, text) in [("street", &site.street), ("direction", &site.direction)] {
            if !text.is_empty() {
                out.insert(name.into(), text.as_str().into());
            }
        }
        if let Some((lon, lat)) = site.place {
            out.insert("lon".into(), lon.into());
            out.insert("lat".into(), lat.into());
        }
        out
    }

    fn measure(&self, i: &Interval, site: &Site) -> RawMessage {
        let (_, lane) = lane(&i.detector);
        let secs = i.end_secs - i.begin_secs;
        let mut fields = self.fields(i.begin_secs, site);
        fields.insert("index".into(), lane.into());
        fields.insert("lane".into(), format!("lane{}", lane + 1).into());
        fields.insert("vehicle_class".into(), "anyVehicle".into());
        fields.insert("inputs".into(), i.vehicles.into());
        fields.insert("flow".into(), rounded(f64::from(i.vehicles) * 3_600.0 / secs));
        fields.insert("period_secs".into(), secs.into());
        put(&mut fields, "speed", i.speed.map(|v| v * KMH));
        put(&mut fields, "occupancy", i.occupancy);
        self.setting.message("traffic_measure", &site.code, &fields)
    }

    fn count(&self, p: &Pending) -> RawMessage {
        let mean = |(n, sum): (f64, f64)| (n > 0.0).then(|| sum / n);
        let mut fields = self.fields(p.begin_secs, &p.site);
        fields.insert("period".into(), duration(p.end_secs - p.begin_secs).into());
        fields.insert("vehicles".into(), p.vehicles.into());
        put(&mut fields, "speed", mean(p.speeds).map(|v| v * KMH));
        put(&mut fields, "occupancy", mean(p.occupancies));
        self.setting.message("traffic_count", &p.site.code, &fields)
    }
}

/// What a signal shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    pub program: String,
    pub phase: i32,
    pub state: String,
}

impl Setting {
    /// A signal that changed at a simulated second. `command` is the one that it follows, if any.
    #[must_use]
    pub fn signal(&self, signal: &Signal, shown: &Shown, at_secs: f64, command: Option<&str>) -> RawMessage {
        let mut fields = self.signal_fields(signal, at_secs);
        fields.insert("since".into(), self.at(at_secs).to_rfc3339().into());
        fields.insert("program".into(), shown.program.as_str().into());
        fields.insert("phase".into(), shown.phase.into());
        fields.insert("state".into(), shown.state.as_str().into());
        if let Some(program) = signal.programs.iter().find(|p| p.id == shown.program) {
            put(&mut fields, "cycle_secs", Some(program.cycle_secs()));
            put(&mut fields, "offset_secs", Some(program.offset_secs));
            let phase = usize::try_from(shown.phase).ok().and_then(|i| program.phases.get(i));
            put(&mut fields, "phase_secs", phase.map(|p| p.duration_secs));
        }
        if let Some(command) = command {
            fields.insert("command".into(), command.into());
        }
        self.message("traffic_signal", &signal.id, &fields)
    }

    /// Every phase of a program, as it stands.
    #[must_use]
    pub fn plan(&self, signal: &Signal, program: &Program, at_secs: f64) -> Vec<RawMessage> {
        let phase = |(index, phase): (usize, &super::scenario::Phase)| {
            let mut fields = self.signal_fields(signal, at_secs);
            fields.insert("program".into(), program.id.as_str().into());
            fields.insert("phase".into(), index.into());
            fields.insert("state".into(), phase.state.as_str().into());
            put(&mut fields, "duration_secs", Some(phase.duration_secs));
            put(&mut fields, "min_secs", phase.min_secs);
            put(&mut fields, "max_secs", phase.max_secs);
            put(&mut fields, "cycle_secs", Some(program.cycle_secs()));
            put(&mut fields, "offset_secs", Some(program.offset_secs));
            self.message("signal_plan", &signal.id, &fields)
        };
        program.phases.iter().enumerate().map(phase).collect()
    }

    fn signal_fields(&self, signal: &Signal, at_secs: f64) -> Map<String, Value> {
        let mut out = Map::new();
        out.insert("observed_at".into(), self.at(at_secs).to_rfc3339().into());
        out.insert("simulated".into(), true.into());
        if let Some((lon, lat)) = signal.place {
            out.insert("lon".into(), json!(rounded_to(lon, 1e7)));
            out.insert("lat".into(), json!(rounded_to(lat, 1e7)));
        }
        out
    }
}

fn put(fields: &mut Map<String, Value>, name: &str, value: Option<f64>) {
    if let Some(value) = value {
        fields.insert(name.into(), rounded(value));
    }
}

/// SUMO writes two decimals; four keep them exact through a change of unit, without the tail of binary fractions.
fn rounded(value: f64) -> Value {
    rounded_to(value, 1e4).into()
}

fn rounded_to(value: f64, grain: f64) -> f64 {
    (value * grain).round() / grain
}

/// ISO 8601.
fn duration(secs: f64) -> String {
    let whole = secs as u64;
    if secs.fract() != 0.0 {
        format!("PT{}S", rounded_to(secs, 1e3))
    } else if whole.is_multiple_of(3_600) {
        format!("PT{}H", whole / 3_600)
    } else if whole.is_multiple_of(60) {
        format!("PT{}M", whole / 60)
    } else {
        format!("PT{whole}S")
    }
}
