//! The tables of a scenario that real figures were fitted into.

use crate::calendar::{DayKind, Moment, at_hour};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profiles {
    pub(crate) loop_volume: LoopVolume,
    pub(crate) weather: WeatherProfile,
    pub(crate) station: Vec<Station>,
    pub(crate) classes: ByKind<Vec<Vec<f64>>>,
    pub(crate) traffic: Traffic,
    /// By field of the air quality contract.
    pub(crate) air: BTreeMap<String, Pollutant>,
}

/// Vehicles on a working day by the start of the street's name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoopVolume {
    default: f64,
    streets: Vec<StreetVolume>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreetVolume {
    starts: String,
    vehicles: f64,
}

impl LoopVolume {
    pub(crate) fn of(&self, street: &str) -> f64 {
        self.streets.iter().find(|s| street.starts_with(&s.starts)).map_or(self.default, |s| s.vehicles)
    }
}

/// Monthly climate, January first.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WeatherProfile {
    pub(crate) temperature: [f64; 12],
    pub(crate) half_swing: [f64; 12],
    pub(crate) wet_day_share: [f64; 12],
}

/// One table per kind of day.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ByKind<T> {
    weekday: T,
    saturday: T,
    holiday: T,
}

impl<T> ByKind<T> {
    pub(crate) fn get(&self, kind: DayKind) -> &T {
        kind.pick(&self.weekday, &self.saturday, &self.holiday)
    }
}

/// Mean transits per hour of one station and direction, and how its classes differ from the rest.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Station {
    pub(crate) code: String,
    pub(crate) direction: i64,
    weekday: [f64; 24],
    saturday: [f64; 24],
    holiday: [f64; 24],
    /// By class, 0 to 10.
    pub(crate) classes: [f64; 11],
}

impl Station {
    pub(crate) fn hourly(&self, kind: DayKind) -> &[f64; 24] {
        kind.pick(&self.weekday, &self.saturday, &self.holiday)
    }
}

/// How the whole city's traffic breathes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Traffic {
    weekday: [f64; 7],
    month: [f64; 12],
    loop_weekday: [f64; 24],
    loop_saturday: [f64; 24],
    loop_holiday: [f64; 24],
}

impl Traffic {
    /// Share of a working day's vehicles per hour on the loops, at this moment.
    pub(crate) fn loop_share(&self, m: &Moment) -> f64 {
        let table = m.kind.pick(&self.loop_weekday, &self.loop_saturday, &self.loop_holiday);
        at_hour(table, m.hour)
    }

    /// Month and day of the week against the mean of their kind of day.
    pub(crate) fn season(&self, m: &Moment) -> f64 {
        let week = if m.kind == DayKind::Weekday { self.weekday[m.weekday] } else { 1.0 };
        week * self.month[m.month]
    }
}

/// Mean values of a pollutant by month and hour of solar time.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pollutant {
    /// Twelve rows of 24 hours, or of one value for the whole day.
    pub(crate) by_month_and_hour: Vec<Vec<f64>>,
    /// Deviation of the hourly values against their mean.
    pub(crate) spread: f64,
    /// Stations that measure it, each against the mean of all.
    pub(crate) stations: BTreeMap<String, f64>,
}

impl Profiles {
    /// Shapes that serde cannot check; the text names the first that is wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (name, p) in &self.air {
            let rows = &p.by_month_and_hour;
            if rows.len() != 12 || !rows.iter().all(|r| r.len() == 24 || r.len() == 1) {
                return Err(format!("profiles.air.{name}.by_month_and_hour must have 12 rows of 24 values or of 1"));
            }
        }
        for kind in [DayKind::Weekday, DayKind::Saturday, DayKind::Holiday] {
            let rows = self.classes.get(kind);
            if rows.len() != 11 || rows.iter().any(|r| r.len() != 24) {
                return Err("profiles.classes must have 11 rows of 24 values for each kind of day".into());
            }
        }
        Ok(())
    }
}
