//! How devices are: silent, with gaps, stuck, drifting away from their neighbours, low on battery. A function of a snapshot,
//! of what the tables say about the last day, and of an instant; what to do about it is for others.

use crate::{EntityView, Freshness, Twin};
use h3o::Resolution;
use schemas::{Cell, FieldType, TableRef, Timestamp, Value, time::SECOND_US};
use std::collections::HashMap;

/// Rows that the same value must fill before it counts as stuck.
const STUCK_MIN: u64 = 12;
/// Rows of a day that must be missing, and their share.
const GAPS_MIN: u64 = 3;
const GAPS_SHARE_MIN: f64 = 0.1;
/// Charge below this is low, per cent.
const CHARGE_LOW: f64 = 20.0;
/// Field that holds the charge.
const BATTERY: &str = "battery";
/// Neighbours are in cells of about 0.7 km² at most this many steps away: two kilometres.
const NEIGHBOUR_RESOLUTION: Resolution = Resolution::Eight;
const NEIGHBOUR_STEPS: u32 = 2;
/// Fewer neighbours say nothing.
const NEIGHBOURS_MIN: usize = 5;
/// Deviations (robust, in units of the standard deviation of a normal distribution) that are too many.
const DEVIATION_MAX: f64 = 5.0;
/// From the median absolute deviation to the standard deviation.
const MAD_TO_SIGMA: f64 = 1.482_6;
/// Neighbours that agree to the last digit are not a reason to blame a difference of one: the spread is at least this part of the median.
const SPREAD_MIN: f64 = 0.02;

/// What the tables say about one entity's headline field over the last day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Day {
    /// Different instants of observation, the first and the last of them.
    pub instants: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    /// Rows with a value of the headline, and how many different ones.
    pub values: u64,
    pub distinct: u64,
    pub mean: Option<f64>,
}

/// Something that is wrong with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// Nothing for longer than four times the cadence of the contract.
    Silent,
    /// The same value all the time, while those of other devices of the product move.
    Stuck,
    /// Its mean of the day is far from those of the devices around it.
    Drifting,
    /// Rows of the day are missing.
    Gaps,
    BatteryLow,
}

impl Trouble {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Stuck => "stuck",
            Self::Drifting => "drifting",
            Self::Gaps => "gaps",
            Self::BatteryLow => "battery_low",
        }
    }

    /// 3: no data; 2: data that may be wrong; 1: soon.
    #[must_use]
    pub const fn severity(self) -> i64 {
        match self {
            Self::Silent => 3,
            Self::Stuck | Self::Drifting => 2,
            Self::Gaps | Self::BatteryLow => 1,
        }
    }
}

/// One device at an instant.
#[derive(Debug, Clone)]
pub struct Health<'a> {
    pub entity: EntityView<'a>,
    /// Sorted; empty when all is well.
    pub troubles: Vec<Trouble>,
    /// Since the newest row; 0 when it is from the future.
    pub silent_secs: i64,
    /// Rows of the day that the cadence lets expect and that did not come.
    pub missing_rows: u64,
    /// From the neighbours' mean of the day; absent when there are too few of them or the field is none that neighbours share.
    pub deviation: Option<f64>,
    /// Per cent.
    pub charge: Option<f64>,
}

impl Health<'_> {
    /// `ok`, or the troubles.
    #[must_use]
    pub fn state(&self) -> String {
        if self.troubles.is_empty() {
            return "ok".to_owned();
        }
        self.troubles.iter().map(|t| t.name()).collect::<Vec<_>>().join(",")
    }

    #[must_use]
    pub fn severity(&self) -> i64 {
        self.troubles.iter().map(|t| t.severity()).max().unwrap_or(0)
    }
}

impl Twin {
    /// Every device of a table at `at`, in order of arrival. `days` holds the day before `at` by URN; a device that is not in it
    /// was silent all day. Devices of a product without a cadence that means anything are the caller's to leave out.
    #[must_use]
    pub fn health(&self, table: &TableRef, days: &HashMap<String, Day>, at: Timestamp) -> Vec<Health<'_>> {
        let entities: Vec<EntityView<'_>> = self.all().filter(|e| e.table() == table).collect();
        let Some(first) = entities.first() else { return Vec::new() };
        let headline = first.contract().field(&first.contract().headline).map(|(_, f)| f);
        // Counts differ from street to street; concentrations, temperatures and levels of sound do not, or not by much.
        let shared = headline.is_some_and(|f| f.kind == FieldType::Float && !f.unit.as_deref().is_some_and(|u| u.starts_with('{')));
        let means = if shared { means_by_cell(&entities, days) } else { HashMap::new() };
        let moving = moves(days);
        let one = |entity: EntityView<'_>| {
            let day = days.get(entity.id());
            (day.copied(), day.and_then(|d| d.mean).and_then(|mean| deviation(entity, mean, &means)))
        };
        entities
            .iter()
            .map(|&entity| {
                let (day, deviation) = one(entity);
                judge(entity, day, deviation, moving, at)
            })
            .collect()
    }
}

fn judge(entity: EntityView<'_>, day: Option<Day>, deviation: Option<f64>, moving: bool, at: Timestamp) -> Health<'_> {
    let cadence = entity.contract().cadence_secs.max(1);
    let silent_secs = (at.0.saturating_sub(entity.observed_at().0) / SECOND_US).max(0);
    let expected = day.map_or(0, |d| ((d.last.0 - d.first.0).max(0) / (i64::from(cadence) * SECOND_US)) as u64 + 1);
    let missing_rows = day.map_or(0, |d| expected.saturating_sub(d.instants));
    let charge = match entity.value(BATTERY) {
        Some(Value::Float(v)) => Some(v),
        Some(Value::Int(v)) => Some(v as f64),
        _ => None,
    };
    // Zero is what a rain gauge, a loop at night or an empty bin says for good reasons.
    let stuck = |d: Day| moving && d.values >= STUCK_MIN && d.distinct == 1 && d.mean != Some(0.0);
    let rules = [
        (entity.freshness(at) == Freshness::Overdue, Trouble::Silent),
        (day.is_some_and(stuck), Trouble::Stuck),
        (deviation.is_some_and(|d| d.abs() > DEVIATION_MAX), Trouble::Drifting),
        (missing_rows >= GAPS_MIN && missing_rows as f64 > GAPS_SHARE_MIN * expected as f64, Trouble::Gaps),
        (charge.is_some_and(|c| c < CHARGE_LOW), Trouble::BatteryLow),
    ];
    let troubles = rules.into_iter().filter_map(|(holds, trouble)| holds.then_some(trouble)).collect();
    Health { entity, troubles, silent_secs, missing_rows, deviation, charge }
}

/// Whether values of this product move in a day: those of most devices that sent enough of them do.
fn moves(days: &HashMap<String, Day>) -> bool {
    let enough = days.values().filter(|d| d.values >= STUCK_MIN);
    let (n, moving) = enough.fold((0u64, 0u64), |(n, m), d| (n + 1, m + u64::from(d.distinct > 1)));
    n >= 3 && moving * 2 > n
}

fn means_by_cell<'a>(entities: &[EntityView<'a>], days: &HashMap<String, Day>) -> HashMap<Cell, Vec<(&'a str, f64)>> {
    let mut out: HashMap<Cell, Vec<(&'a str, f64)>> = HashMap::new();
    for entity in entities {
        let cell = entity.cell().and_then(|c| c.parent(NEIGHBOUR_RESOLUTION));
        if let (Some(cell), Some(mean)) = (cell, days.get(entity.id()).and_then(|d| d.mean)) {
            out.entry(cell).or_default().push((entity.id(), mean));
        }
    }
    out
}

/// How far a mean is from its neighbours' median, in robust deviations.
fn deviation(entity: EntityView<'_>, mean: f64, means: &HashMap<Cell, Vec<(&str, f64)>>) -> Option<f64> {
    let centre = entity.cell()?.parent(NEIGHBOUR_RESOLUTION)?.index()?;
    let around: Vec<h3o::CellIndex> = centre.grid_disk(NEIGHBOUR_STEPS);
    let found = around.into_iter().filter_map(|c| means.get(&Cell::from(c))).flatten();
    let mut others: Vec<f64> = found.filter(|(id, _)| *id != entity.id()).map(|(_, m)| *m).collect();
    if others.len() < NEIGHBOURS_MIN {
        return None;
    }
    let middle = median(&mut others);
    let mut distances: Vec<f64> = others.iter().map(|o| (o - middle).abs()).collect();
    let spread = (MAD_TO_SIGMA * median(&mut distances)).max(SPREAD_MIN * middle.abs()).max(f64::MIN_POSITIVE);
    Some((mean - middle) / spread).filter(|d| d.is_finite())
}

/// Of at least one number.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    match n {
        0 => 0.0,
        _ if n % 2 == 1 => values[n / 2],
        _ => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests;
