//! Time cells to instants, with the hours that do not exist and those that come twice.

use super::mapping::TimeSpec;
use jiff::civil;
use schemas::{
    Timestamp,
    time::{HOUR_US, SECOND_US, Zone},
};

/// A local time on the line of instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instant {
    Once(Timestamp),
    /// The clock went over it in spring.
    Never,
    /// In autumn: the first and the second time.
    Twice(Timestamp, Timestamp),
}

/// What the time column holds.
#[derive(Debug, Clone)]
pub(super) enum Clockwork {
    Rfc3339 { floor_us: i64 },
    Local { format: String, zone: Zone, floor_us: i64 },
}

impl Clockwork {
    pub(super) fn new(spec: &TimeSpec) -> Result<Self, String> {
        let floor_us = i64::from(spec.floor_secs.unwrap_or(0)) * SECOND_US;
        if spec.format == "rfc3339" {
            return Ok(Self::Rfc3339 { floor_us });
        }
        let zone = spec.zone.as_deref().ok_or("time.zone is missing; local times need it, for example Europe/Rome")?;
        let zone = Zone::named(zone).map_err(|e| format!("time.zone: {e}"))?;
        // A pattern that cannot print a time cannot read one.
        let sample = civil::date(2024, 1, 31).at(13, 30, 0, 0);
        jiff::fmt::strtime::format(&spec.format, sample).map_err(|e| format!("time.format: {e}"))?;
        Ok(Self::Local { format: spec.format.clone(), zone, floor_us })
    }

    /// The instant of a cell; the error is for the owner of the file.
    pub(super) fn instant(&self, cell: &str) -> Result<Instant, String> {
        match self {
            Self::Rfc3339 { floor_us } => {
                let at = Timestamp::parse(cell).map_err(|e| e.to_string())?;
                Ok(Instant::Once(floor(at, *floor_us)))
            }
            Self::Local { format, zone, floor_us } => {
                let local = civil::DateTime::strptime(format, cell).map_err(|_| not_a_time(cell, format))?;
                Ok(match resolve(zone, local)? {
                    Instant::Once(at) => Instant::Once(floor(at, *floor_us)),
                    Instant::Twice(a, b) => Instant::Twice(floor(a, *floor_us), floor(b, *floor_us)),
                    Instant::Never => Instant::Never,
                })
            }
        }
    }

    /// The 24 hours of the local day of a cell; `Never` and `Twice` stand on the days when the clock changes.
    pub(super) fn hours(&self, cell: &str) -> Result<[Instant; 24], String> {
        let Self::Local { format, zone, .. } = self else {
            return Err("hourly columns need a local day and a zone, not rfc3339".into());
        };
        let day = civil::Date::strptime(format, cell).map_err(|_| not_a_time(cell, format))?;
        let mut hours = [Instant::Never; 24];
        for (hour, slot) in (0i8..).zip(&mut hours) {
            *slot = resolve(zone, day.at(hour, 0, 0, 0))?;
        }
        Ok(hours)
    }
}

fn not_a_time(cell: &str, format: &str) -> String {
    format!("'{}' is not a time of the form {format}", crate::decode::reject::cut(cell, 60))
}

fn floor(at: Timestamp, by_us: i64) -> Timestamp {
    if by_us > 0 { Timestamp(at.0.div_euclid(by_us) * by_us) } else { at }
}

fn resolve(zone: &Zone, local: civil::DateTime) -> Result<Instant, String> {
    let first = zone.instant(local).map_err(|e| e.to_string())?;
    if zone.civil(first) != local {
        return Ok(Instant::Never);
    }
    let second = Timestamp(first.0 + HOUR_US);
    Ok(if zone.civil(second) == local { Instant::Twice(first, second) } else { Instant::Once(first) })
}
