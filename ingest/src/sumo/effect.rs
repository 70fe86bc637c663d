//! What a simulation did to traffic: SUMO's trips, edges and emissions, for each signal and in total.

use super::scenario::Scenario;
use crate::{
    IngestError,
    xml::{Element, Elements, Tree},
};
use hashbrown::HashMap;
use std::{fs::File, io::BufReader, path::Path};

/// Edges that are kept.
const EDGES_MAX: usize = 1_000_000;
const MG_PER_KG: f64 = 1e6;

/// The files that [`measure`] asks for, in the directory of the run.
pub const TRIPS: &str = "portico.trips.xml";
const EDGES: &str = "portico.edges.xml";
const EMISSIONS: &str = "portico.emissions.xml";

/// The additional file that makes SUMO write them.
#[must_use]
pub fn measure() -> String {
    format!(
        "<additional>\n<edgeData id=\"portico\" file=\"{EDGES}\"/>\n<edgeData id=\"portico-emissions\" type=\"emissions\" file=\"{EMISSIONS}\"/>\n</additional>\n"
    )
}

/// Means and sums over the simulated time. What nothing passed has no delay.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Effect {
    /// Mean time lost by a vehicle, seconds.
    pub delay_secs: Option<f64>,
    /// Mean number of vehicles that stand.
    pub queue: f64,
    /// Mean number of stops of a vehicle; of whole trips only.
    pub stops: Option<f64>,
    pub co2_kg: f64,
    /// That left the approaches; in total, that arrived.
    pub vehicles: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Edge {
    lost_secs: f64,
    waited_secs: f64,
    left: f64,
    co2_mg: f64,
}

/// The effect in total, and for each signal of the scenario in its order.
///
/// # Errors
/// A file is absent or is not SUMO's.
pub fn read(dir: &Path, scenario: &Scenario, secs: f64) -> Result<(Effect, Vec<Effect>), IngestError> {
    let mut edges: HashMap<String, Edge> = HashMap::new();
    let number =
        |e: Element<'_>, name: &str| e.attribute(name).and_then(|t| t.parse::<f64>().ok()).filter(|v| v.is_finite()).unwrap_or(0.0);
    let mut keep = |e: Element<'_>, add: &dyn Fn(&mut Edge)| {
        let id = e.attribute("id").unwrap_or_default();
        if let Some(edge) = edges.get_mut(id) {
            add(edge);
        } else if edges.len() < EDGES_MAX {
            let mut edge = Edge::default();
            add(&mut edge);
            edges.insert(id.to_owned(), edge);
        }
    };
    each(&dir.join(EDGES), "edge", |e| {
        let (lost, waited, left) = (number(e, "timeLoss"), number(e, "waitingTime"), number(e, "left") + number(e, "arrived"));
        keep(e, &|edge| {
            (edge.lost_secs, edge.waited_secs, edge.left) = (edge.lost_secs + lost, edge.waited_secs + waited, edge.left + left)
        });
    })?;
    each(&dir.join(EMISSIONS), "edge", |e| {
        let co2 = number(e, "CO2_abs");
        keep(e, &|edge| edge.co2_mg += co2);
    })?;
    let (mut trips, mut lost, mut stops) = (0u64, 0.0, 0.0);
    each(&dir.join(TRIPS), "tripinfo", |e| {
        // A trip that is under way at the end has no arrival.
        if number(e, "arrival") >= 0.0 && e.attribute("arrival").is_some() {
            trips += 1;
            lost += number(e, "timeLoss") + number(e, "departDelay");
            stops += number(e, "waitingCount");
        }
    })?;
    let mean = |sum: f64, n: f64| (n > 0.0).then(|| sum / n);
    let sum = |list: &mut dyn Iterator<Item = &Edge>| {
        list.fold(Edge::default(), |s, e| Edge {
            lost_secs: s.lost_secs + e.lost_secs,
            waited_secs: s.waited_secs + e.waited_secs,
            left: s.left + e.left,
            co2_mg: s.co2_mg + e.co2_mg,
        })
    };
    let all = sum(&mut edges.values());
    let total = Effect {
        delay_secs: mean(lost, trips as f64),
        queue: all.waited_secs / secs,
        stops: mean(stops, trips as f64),
        co2_kg: all.co2_mg / MG_PER_KG,
        vehicles: trips,
    };
    let signal = |approaches: &[String]| {
        let own = sum(&mut approaches.iter().filter_map(|e| edges.get(e)));
        Effect {
            delay_secs: mean(own.lost_secs, own.left),
            queue: own.waited_secs / secs,
            stops: None,
            co2_kg: own.co2_mg / MG_PER_KG,
            vehicles: own.left as u64,
        }
    };
    Ok((total, scenario.signals.iter().map(|s| signal(&s.approaches)).collect()))
}

fn each(path: &Path, name: &str, mut take: impl FnMut(Element<'_>)) -> Result<(), IngestError> {
    let fail = |rule: String| IngestError::Invalid(format!("{}: {rule}", path.display()));
    let file = File::open(path).map_err(|e| fail(format!("{e}; SUMO did not write it")))?;
    let (mut elements, mut tree) = (Elements::new(BufReader::new(file)), Tree::default());
    while elements.next(&mut tree, |n| n == name).map_err(|e| fail(e.to_string()))? {
        take(tree.root());
    }
    Ok(())
}
