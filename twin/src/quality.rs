//! Quality of a counting loop over one day: what is missing, stuck or contradicts itself. Pure.

use schemas::{Timestamp, time::SECOND_US};

/// So long without a vehicle is no quiet night any more.
const STUCK_SECS: i64 = 12 * 3_600;
/// Less than this share of the intervals is a gap.
const SHARE_MIN: f64 = 90.0;
/// A share of implausible intervals above this condemns the day.
const IMPLAUSIBLE_MAX: f64 = 10.0;
/// Vehicles per hour that no carriageway of a city carries.
const FLOW_MAX: f64 = 10_000.0;
/// Metres that a vehicle covers of the loop, as flow, speed and occupancy say together: 4 to 20 in truth, with room for several lanes.
const LENGTH_M: std::ops::RangeInclusive<f64> = 0.5..=100.0;
/// Vehicles below which the three are too coarse to contradict each other.
const VEHICLES_MIN: f64 = 10.0;

/// One interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counted {
    pub observed_at: Timestamp,
    pub period_secs: i64,
    pub vehicles: i64,
    /// km/h
    pub speed: Option<f64>,
    /// %
    pub occupancy: Option<f64>,
}

/// The day of one loop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DayQuality {
    pub expected: u64,
    pub present: u64,
    /// Intervals.
    pub zero_run: u64,
    pub implausible: u64,
    pub vehicles: i64,
    pub state: &'static str,
}

impl DayQuality {
    /// Per cent.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.expected == 0 { 0.0 } else { (self.present as f64 * 100.0 / self.expected as f64).min(100.0) }
    }
}

/// Whether flow, speed and occupancy contradict each other.
#[must_use]
pub fn is_implausible(c: &Counted) -> bool {
    let (n, hours) = (c.vehicles as f64, c.period_secs as f64 / 3_600.0);
    if hours <= 0.0 || c.vehicles < 0 || n / hours > FLOW_MAX {
        return true;
    }
    match (c.speed, c.occupancy) {
        // Covered half of the time or more, and nothing ever left.
        (_, Some(occupancy)) if c.vehicles == 0 => occupancy >= 50.0,
        _ if n < VEHICLES_MIN => false,
        (Some(speed), _) if speed <= 0.0 => true,
        (Some(speed), Some(occupancy)) => !LENGTH_M.contains(&(occupancy / 100.0 * speed * 1_000.0 / (n / hours))),
        (None, Some(occupancy)) => occupancy <= 0.0,
        _ => false,
    }
}

/// Judges the intervals of one loop in a day of so many seconds. Sorts them; intervals of other lengths than the commonest are left out.
#[must_use]
pub fn day_quality(intervals: &mut Vec<Counted>, day_secs: i64) -> Option<DayQuality> {
    let mut periods: Vec<i64> = intervals.iter().map(|c| c.period_secs).filter(|p| *p > 0).collect();
    periods.sort_unstable();
    let period = *periods.chunk_by(|a, b| a == b).max_by_key(|same| same.len())?.first()?;
    intervals.retain(|c| c.period_secs == period);
    intervals.sort_by_key(|c| c.observed_at);
    intervals.dedup_by_key(|c| c.observed_at);
    let expected = u64::try_from(day_secs / period).unwrap_or(0);
    let present = intervals.len() as u64;
    let implausible = intervals.iter().filter(|c| is_implausible(c)).count() as u64;
    let zero_run = zero_run(intervals, period);
    let share = |n: u64, of: u64| n as f64 * 100.0 / (of.max(1)) as f64;
    let state = if i64::try_from(zero_run).unwrap_or(i64::MAX).saturating_mul(period) >= STUCK_SECS {
        "stuck_zero"
    } else if share(implausible, present) > IMPLAUSIBLE_MAX {
        "implausible"
    } else if share(present, expected) < SHARE_MIN {
        "gaps"
    } else {
        "good"
    };
    Some(DayQuality { expected, present, zero_run, implausible, vehicles: intervals.iter().map(|c| c.vehicles.max(0)).sum(), state })
}

/// Longest run of zeros that follow each other without a gap.
fn zero_run(intervals: &[Counted], period_secs: i64) -> u64 {
    let (mut best, mut run, mut last) = (0, 0, None);
    for c in intervals {
        let follows = last.is_some_and(|at: Timestamp| c.observed_at.0 - at.0 == period_secs * SECOND_US);
        run = match c.vehicles {
            0 if follows => run + 1,
            0 => 1,
            _ => 0,
        };
        best = best.max(run);
        last = Some(c.observed_at);
    }
    best
}

#[cfg(test)]
mod tests;
