//! Where an instant lies in the local year, week and day.

use schemas::{Timestamp, time::Zone};

/// Kinds of day that traffic tells apart; the index of the tables in the profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DayKind {
    Weekday,
    Saturday,
    /// Sundays and public holidays.
    Holiday,
}

impl DayKind {
    pub(crate) fn pick<'a, T>(self, weekday: &'a T, saturday: &'a T, holiday: &'a T) -> &'a T {
        match self {
            Self::Weekday => weekday,
            Self::Saturday => saturday,
            Self::Holiday => holiday,
        }
    }
}

/// An instant in local terms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) at: Timestamp,
    /// Local hour of day with its fraction, 0 to 24.
    pub(crate) hour: f64,
    /// Hour of day of standard (solar) time, how air quality is published.
    pub(crate) solar_hour: f64,
    /// 0 to 11.
    pub(crate) month: usize,
    /// 0 is Monday.
    pub(crate) weekday: usize,
    pub(crate) day_of_year: f64,
    pub(crate) kind: DayKind,
}

/// Public holidays of Italy with a fixed date, month and day; 4 October is Bologna's patron saint.
const HOLIDAYS: [(i8, i8); 11] = [(1, 1), (1, 6), (4, 25), (5, 1), (6, 2), (8, 15), (10, 4), (11, 1), (12, 8), (12, 25), (12, 26)];

/// Standard time of Italy against UTC, microseconds.
const SOLAR_OFFSET_US: i64 = schemas::time::HOUR_US;

impl Moment {
    pub(crate) fn new(zone: &Zone, at: Timestamp) -> Self {
        let local = zone.civil(at);
        let date = local.date();
        let weekday = date.weekday().to_monday_zero_offset() as usize;
        let holiday = weekday == 6 || HOLIDAYS.contains(&(date.month(), date.day()));
        let hour = f64::from(local.hour()) + f64::from(local.minute()) / 60.0 + f64::from(local.second()) / 3_600.0;
        let in_solar_day = (at.0 + SOLAR_OFFSET_US).rem_euclid(schemas::time::DAY_US);
        Self {
            at,
            hour,
            solar_hour: in_solar_day as f64 / schemas::time::HOUR_US as f64,
            month: date.month() as usize - 1,
            weekday,
            day_of_year: f64::from(date.day_of_year()) + hour / 24.0,
            kind: match (holiday, weekday) {
                (true, _) => DayKind::Holiday,
                (false, 5) => DayKind::Saturday,
                _ => DayKind::Weekday,
            },
        }
    }
}

/// The value at `hour` of a table of hourly means, each standing at the middle of its hour.
pub(crate) fn at_hour(table: &[f64], hour: f64) -> f64 {
    if table.len() != 24 {
        return table.first().copied().unwrap_or(0.0);
    }
    let x = (hour - 0.5).rem_euclid(24.0);
    let (low, frac) = (x as usize % 24, x.fract());
    table[low] * (1.0 - frac) + table[(low + 1) % 24] * frac
}

/// The value on a day of a table of monthly means, each standing at the middle of its month.
pub(crate) fn at_month(table: &[f64; 12], day_of_year: f64) -> f64 {
    let x = (day_of_year / 30.4375 - 0.5).rem_euclid(12.0);
    let (low, frac) = (x as usize % 12, x.fract());
    table[low] * (1.0 - frac) + table[(low + 1) % 12] * frac
}
