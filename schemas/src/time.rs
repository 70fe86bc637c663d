//! Instants in UTC microseconds, the injected clock, and the two ways Italian files write time.

use jiff::{civil, tz::TimeZone};
use std::sync::atomic::{AtomicI64, Ordering};

/// Microseconds of one second, hour and day.
pub const SECOND_US: i64 = 1_000_000;
pub const HOUR_US: i64 = 3_600 * SECOND_US;
pub const DAY_US: i64 = 24 * HOUR_US;

/// An instant: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

/// A text that is not an instant, or a local time that did not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    #[error("'{0}' is not a time; write it as RFC 3339, for example 2024-03-03T08:15:00+01:00")]
    NotATime(String),
    #[error("time zone '{0}' is unknown; use an IANA name, for example Europe/Rome")]
    UnknownZone(String),
}

impl Timestamp {
    pub const MIN: Self = Self(i64::MIN);

    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Days since 1970-01-01 in UTC, the partition of a row.
    #[must_use]
    pub const fn date(self) -> i32 {
        self.0.div_euclid(DAY_US) as i32
    }

    /// The start of the UTC hour that holds the instant, the grain of the ledger.
    #[must_use]
    pub const fn hour(self) -> Self {
        Self(self.0.div_euclid(HOUR_US) * HOUR_US)
    }

    /// RFC 3339 with an offset, or with `Z`; nanoseconds are truncated to microseconds.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        text.parse::<jiff::Timestamp>().map(|t| Self(t.as_microsecond())).map_err(|_| TimeError::NotATime(text.to_owned()))
    }

    /// RFC 3339 in UTC with microseconds only when there are any.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        jiff::Timestamp::from_microsecond(self.0).map_or_else(|_| self.0.to_string(), |t| t.to_string())
    }

    /// Its UTC date, `2024-03-03`.
    #[must_use]
    pub fn to_date_text(self) -> String {
        let text = self.to_rfc3339();
        text.split_once('T').map_or(text.clone(), |(date, _)| date.to_owned())
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// A zone looked up once and used for every row of a file.
#[derive(Debug, Clone)]
pub struct Zone(TimeZone);

impl Zone {
    /// An IANA name (`Europe/Rome`) or a fixed offset (`+01:00`, how ARPAE publishes solar time).
    pub fn named(name: &str) -> Result<Self, TimeError> {
        let unknown = || TimeError::UnknownZone(name.to_owned());
        if let Some(hours) = name.strip_prefix(['+', '-']).and_then(|r| r.strip_suffix(":00")) {
            let hours: i8 = hours.parse().map_err(|_| unknown())?;
            let signed = if name.starts_with('-') { -hours } else { hours };
            return Ok(Self(TimeZone::fixed(jiff::tz::Offset::from_hours(signed).map_err(|_| unknown())?)));
        }
        TimeZone::get(name).map(Self).map_err(|_| unknown())
    }

    /// The instant of a local civil time. In the repeated hour of autumn the earlier instant is meant;
    /// a time skipped in spring is moved forward by the gap (the `compatible` rule of RFC 5545).
    pub fn instant(&self, local: civil::DateTime) -> Result<Timestamp, TimeError> {
        self.0
            .to_ambiguous_zoned(local)
            .compatible()
            .map(|z| Timestamp(z.timestamp().as_microsecond()))
            .map_err(|_| TimeError::NotATime(local.to_string()))
    }

    /// The instants at which the local day's hours start: 24 on most days, 23 and 25 on the days the clock changes.
    pub fn hours_of_day(&self, day: civil::Date) -> Result<Vec<Timestamp>, TimeError> {
        let bad = |_| TimeError::NotATime(day.to_string());
        let start = self.instant(day.at(0, 0, 0, 0))?;
        let end = self.instant(day.tomorrow().map_err(bad)?.at(0, 0, 0, 0))?;
        Ok((start.0..end.0).step_by(HOUR_US as usize).map(Timestamp).collect())
    }

    /// The local civil time of an instant, for file names, logs and pages.
    #[must_use]
    pub fn civil(&self, at: Timestamp) -> civil::DateTime {
        jiff::Timestamp::from_microsecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_zoned(self.0.clone()).datetime()
    }
}

/// Where time comes from. Everything that needs "now" takes one of these.
pub trait Clock: Send + Sync + std::fmt::Debug {
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(jiff::Timestamp::now().as_microsecond())
    }
}

/// A clock that a test, a replay or a simulation moves by hand.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.0))
    }

    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    pub fn advance_us(&self, us: i64) {
        self.0.fetch_add(us, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_the_clock_change_have_23_and_25_hours() {
        let rome = Zone::named("Europe/Rome").unwrap();
        let count = |d: civil::Date| rome.hours_of_day(d).unwrap().len();
        assert_eq!(count(civil::date(2024, 3, 31)), 23);
        assert_eq!(count(civil::date(2024, 10, 27)), 25);
        assert_eq!(count(civil::date(2024, 6, 1)), 24);
    }

    #[test]
    fn solar_time_has_no_summer() {
        let arpae = Zone::named("+01:00").unwrap();
        let noon = arpae.instant(civil::date(2024, 7, 1).at(12, 0, 0, 0)).unwrap();
        assert_eq!(noon.to_rfc3339(), "2024-07-01T11:00:00Z");
    }

    #[test]
    fn parse_accepts_offsets_and_refuses_words() {
        assert_eq!(Timestamp::parse("2024-03-03T08:15:00+01:00").unwrap(), Timestamp::parse("2024-03-03T07:15:00Z").unwrap());
        assert!(Timestamp::parse("yesterday").is_err());
    }

    #[test]
    fn dates_before_1970_round_down() {
        assert_eq!(Timestamp(-1).date(), -1);
        assert_eq!(Timestamp(0).date(), 0);
    }
}
