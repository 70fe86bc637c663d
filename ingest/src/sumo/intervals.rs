//! What induction loops (E1) write: `<interval begin end id nVehContrib flow occupancy speed …/>`, from a file or as it is written.
//!
//! Source: SUMO user documentation, "Simulation/Output/Induction Loops Detectors (E1)". A speed of `-1` means that nothing passed.

use crate::xml::{Element, Elements, Tree, XmlError};
use std::io::BufRead;

/// Seconds of simulated time that are believed: 30 years.
const SECONDS_MAX: f64 = 1e9;

/// One interval of one detector.
#[derive(Debug, Clone, PartialEq)]
pub struct Interval {
    pub detector: String,
    /// Simulated seconds.
    pub begin_secs: f64,
    pub end_secs: f64,
    /// Vehicles that passed wholly.
    pub vehicles: u32,
    /// Share of the time that the loop was covered, in per cent.
    pub occupancy: Option<f64>,
    /// Mean speed of the vehicles, metres per second.
    pub speed: Option<f64>,
}

/// An interval that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    pub detector: String,
    pub field: &'static str,
    pub rule: String,
}

/// Intervals, one by one, in the memory of one.
#[derive(Debug)]
pub struct Intervals<R> {
    elements: Elements<R>,
    tree: Tree,
}

impl<R: BufRead> Intervals<R> {
    pub fn new(source: R) -> Self {
        Self { elements: Elements::new(source), tree: Tree::default() }
    }

    /// The next interval of an induction loop; `None` at the end. Other detectors' intervals are passed by.
    ///
    /// # Errors
    /// The text is not XML, or over a limit. What was read before is good.
    pub fn next(&mut self) -> Result<Option<Result<Interval, Flaw>>, XmlError> {
        while self.elements.next(&mut self.tree, |name| name == "interval")? {
            let e = self.tree.root();
            if e.attribute("nVehContrib").is_some() {
                return Ok(Some(interval(e)));
            }
        }
        Ok(None)
    }
}

fn interval(e: Element<'_>) -> Result<Interval, Flaw> {
    let detector = e.attribute("id").unwrap_or_default();
    let flaw = |field: &'static str, rule: String| Flaw { detector: detector.chars().take(200).collect(), field, rule };
    if detector.is_empty() || detector.len() > schemas::id::ID_LEN_MAX {
        return Err(flaw(
            "id",
            format!("the identifier of the detector has {} bytes, 1 to {} are read", detector.len(), schemas::id::ID_LEN_MAX),
        ));
    }
    let number = |name: &'static str| {
        let text = e.attribute(name).unwrap_or_default();
        let value = text.parse::<f64>().ok().filter(|v| v.is_finite());
        value.ok_or_else(|| flaw(name, format!("{name} '{}' is not a number", text.chars().take(40).collect::<String>())))
    };
    // Left out and negative mean the same: there is no value.
    let present = |name: &'static str| match e.attribute(name) {
        None => Ok(None),
        Some(_) => number(name).map(|v| (v >= 0.0).then_some(v)),
    };
    let (begin_secs, end_secs) = (number("begin")?, number("end")?);
    if !(0.0..=SECONDS_MAX).contains(&begin_secs) || end_secs <= begin_secs || end_secs > SECONDS_MAX {
        return Err(flaw("end", format!("{begin_secs} to {end_secs} is not an interval of simulated seconds")));
    }
    let count = number("nVehContrib")?;
    if count < 0.0 || count.fract() != 0.0 || count > f64::from(u32::MAX) {
        return Err(flaw("nVehContrib", format!("{count} is not a number of vehicles")));
    }
    Ok(Interval {
        detector: detector.to_owned(),
        begin_secs,
        end_secs,
        vehicles: count as u32,
        occupancy: present("occupancy")?,
        speed: present("speed")?,
    })
}
