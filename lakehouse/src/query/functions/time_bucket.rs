//! `time_bucket(interval, timestamp, zone)`: the start of the bucket of local time that holds an instant.

use arrow_array::{ArrayRef, TimestampMicrosecondArray, cast::AsArray, types::TimestampMicrosecondType};
use arrow_schema::DataType;
use datafusion::{
    error::{DataFusionError, Result},
    logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf},
    scalar::ScalarValue,
};
use jiff::civil::DateTime;
use schemas::{
    row,
    time::{HOUR_US, SECOND_US, Timestamp, Zone},
};
use std::sync::Arc;

/// Every zone in use today is a whole number of these from UTC, so instants of one slot share every longer bucket.
const SLOT_US: i64 = 15 * 60 * SECOND_US;

/// A bucket's length. Short ones divide the hour; hours divide the day; months divide the year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bucket {
    Micros(i64),
    Hours(i8),
    Day,
    Week,
    Months(i8),
}

pub(in crate::query) fn function() -> ScalarUDF {
    let takes = vec![DataType::Utf8, row::timestamp_type(), DataType::Utf8];
    create_udf("time_bucket", takes, row::timestamp_type(), Volatility::Immutable, Arc::new(run))
}

fn run(args: &[ColumnarValue]) -> Result<ColumnarValue> {
    let bucket = parse(text(&args[0], "the interval")?)?;
    let zone = Zone::named(text(&args[2], "the time zone")?).map_err(|e| wrong(e.to_string()))?;
    match &args[1] {
        ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(at, tz)) => {
            let start = at.map(|at| start_of(at, bucket, &zone)).transpose()?;
            Ok(ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(start, tz.clone())))
        }
        ColumnarValue::Array(array) => column(array, bucket, &zone).map(ColumnarValue::Array),
        ColumnarValue::Scalar(other) => Err(wrong(format!("time_bucket takes a timestamp, not {}", other.data_type()))),
    }
}

/// The buckets of one length in one zone, one after the other.
#[derive(Debug, Clone)]
pub(in crate::query) struct Steps {
    bucket: Bucket,
    zone: Zone,
}

impl Steps {
    pub(in crate::query) fn new(interval: &str, zone: &str) -> Result<Self> {
        Ok(Self { bucket: parse(interval)?, zone: Zone::named(zone).map_err(|e| wrong(e.to_string()))? })
    }

    /// The start of the bucket that holds an instant, microseconds.
    pub(in crate::query) fn start(&self, at: i64) -> Result<i64> {
        start_of(at, self.bucket, &self.zone)
    }

    /// The start of the bucket after the one that starts at `start`.
    pub(in crate::query) fn next(&self, start: i64) -> Result<i64> {
        let span = jiff::Span::new();
        let span = match self.bucket {
            Bucket::Micros(length) => return start.checked_add(length).ok_or_else(|| wrong("the buckets reach beyond time".to_owned())),
            Bucket::Hours(n) => span.hours(n),
            Bucket::Day => span.days(1),
            Bucket::Week => span.days(7),
            Bucket::Months(n) => span.months(n),
        };
        // In civil time, so that a bucket on a day when the clock changes is as long as that day makes it.
        let local = self.zone.civil(Timestamp(start));
        let local = match self.bucket {
            // A bucket that begins in the hour that spring leaves out begins after it.
            Bucket::Hours(n) => local.date().at(local.hour() - local.hour() % n, 0, 0, 0),
            _ => local,
        };
        let next = local.saturating_add(span);
        let next = self.zone.instant(next).map_err(|e| wrong(e.to_string()))?.0;
        // The hour that the clock repeats is one bucket of two hours: never stand still.
        Ok(if next > start { next } else { self.start(start + 2 * HOUR_US)? })
    }
}

fn column(array: &ArrayRef, bucket: Bucket, zone: &Zone) -> Result<ArrayRef> {
    let times = array.as_primitive::<TimestampMicrosecondType>();
    let mut last: Option<(i64, i64)> = None;
    let mut out = TimestampMicrosecondArray::builder(times.len());
    for at in times {
        let Some(at) = at else {
            out.append_null();
            continue;
        };
        let slot = at.div_euclid(SLOT_US);
        let start = match last {
            Some((seen, start)) if seen == slot && !matches!(bucket, Bucket::Micros(_)) && at > 0 => start,
            _ => start_of(at, bucket, zone)?,
        };
        last = Some((slot, start));
        out.append_value(start);
    }
    Ok(Arc::new(out.finish().with_timezone("UTC")))
}

/// Buckets up to an hour are cut in the hour that runs, so that the hour the clock repeats stays two hours;
/// longer ones in civil time, so that a day has 23 or 25 hours when it must.
fn start_of(at: i64, bucket: Bucket, zone: &Zone) -> Result<i64> {
    let local = zone.civil(Timestamp(at));
    let day = |date: jiff::civil::Date| date.at(0, 0, 0, 0);
    let start: DateTime = match bucket {
        Bucket::Micros(length) => {
            let into_hour =
                (i64::from(local.minute()) * 60 + i64::from(local.second())) * SECOND_US + i64::from(local.subsec_nanosecond()) / 1_000;
            return Ok(at - into_hour % length);
        }
        Bucket::Hours(n) => local.date().at(local.hour() - local.hour() % n, 0, 0, 0),
        Bucket::Day => day(local.date()),
        Bucket::Week => {
            let back = i64::from(local.weekday().to_monday_zero_offset());
            day(local.date().saturating_sub(jiff::Span::new().days(back)))
        }
        Bucket::Months(n) => {
            let month = local.month() - (local.month() - 1) % n;
            DateTime::new(local.year(), month, 1, 0, 0, 0, 0).map_err(|e| wrong(e.to_string()))?
        }
    };
    zone.instant(start).map(|t| t.0).map_err(|e| wrong(e.to_string()))
}

/// `15 minutes`, `1 hour`, `6 hours`, `1 day`, `1 week`, `1 month`, `3 months`, `1 year`.
fn parse(text: &str) -> Result<Bucket> {
    let bad = || {
        wrong(format!(
            "'{text}' is not an interval for time_bucket; use seconds or minutes that divide an hour, hours that divide a day, '1 day', '1 week', months that divide a year, or '1 year'"
        ))
    };
    let (number, unit) = text.trim().split_once(' ').ok_or_else(bad)?;
    let n: i64 = number.parse().map_err(|_| bad())?;
    let short = |n: i64| -> Option<i8> { i8::try_from(n).ok().filter(|n| *n > 0) };
    let micros = |unit: i64| Some(n.checked_mul(unit)?).filter(|m| *m > 0 && HOUR_US % m == 0).map(Bucket::Micros);
    match unit.trim().trim_end_matches('s') {
        "second" => micros(SECOND_US),
        "minute" | "min" => micros(60 * SECOND_US),
        "hour" if n == 1 => micros(HOUR_US),
        "hour" => short(n).filter(|n| 24 % n == 0).map(Bucket::Hours),
        "day" if n == 1 => Some(Bucket::Day),
        "week" if n == 1 => Some(Bucket::Week),
        "month" => short(n).filter(|n| 12 % n == 0).map(Bucket::Months),
        "year" if n == 1 => Some(Bucket::Months(12)),
        _ => None,
    }
    .ok_or_else(bad)
}

fn text<'a>(arg: &'a ColumnarValue, what: &str) -> Result<&'a str> {
    match arg {
        ColumnarValue::Scalar(ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text))) => {
            Ok(text)
        }
        _ => Err(wrong(format!(
            "{what} of time_bucket must be a text constant, for example time_bucket('1 day', observed_at, 'Europe/Rome')"
        ))),
    }
}

fn wrong(message: String) -> DataFusionError {
    DataFusionError::Plan(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(interval: &str, at: &str) -> String {
        let zone = Zone::named("Europe/Rome").unwrap();
        Timestamp(start_of(Timestamp::parse(at).unwrap().0, parse(interval).unwrap(), &zone).unwrap()).to_rfc3339()
    }

    #[test]
    fn a_local_day_starts_at_local_midnight_in_winter_and_summer() {
        assert_eq!(bucket("1 day", "2024-01-10T12:00:00Z"), "2024-01-09T23:00:00Z");
        assert_eq!(bucket("1 day", "2024-07-10T21:59:59Z"), "2024-07-09T22:00:00Z");
        assert_eq!(bucket("1 day", "2024-07-10T22:00:00Z"), "2024-07-10T22:00:00Z");
    }

    #[test]
    fn the_repeated_hour_of_autumn_is_two_buckets() {
        assert_eq!(bucket("1 hour", "2024-10-27T00:30:00Z"), "2024-10-27T00:00:00Z");
        assert_eq!(bucket("1 hour", "2024-10-27T01:30:00Z"), "2024-10-27T01:00:00Z");
    }

    #[test]
    fn weeks_start_on_monday_and_months_on_the_first() {
        assert_eq!(bucket("1 week", "2024-04-03T10:00:00Z"), "2024-03-31T22:00:00Z");
        assert_eq!(bucket("3 months", "2024-05-20T10:00:00Z"), "2024-03-31T22:00:00Z");
        assert_eq!(bucket("6 hours", "2024-01-10T12:00:00Z"), "2024-01-10T11:00:00Z");
    }

    #[test]
    fn each_next_bucket_is_one_of_those_that_instants_lie_in() {
        for interval in ["15 minutes", "1 hour", "2 hours", "6 hours", "1 day", "1 week", "1 month"] {
            let steps = Steps::new(interval, "Europe/Rome").unwrap();
            let end = Timestamp::parse("2025-01-20T00:00:00Z").unwrap().0;
            let mut start = steps.start(Timestamp::parse("2024-01-10T12:00:00Z").unwrap().0).unwrap();
            while start < end {
                let next = steps.next(start).unwrap();
                assert_eq!((steps.start(next).unwrap(), steps.start(next - 1).unwrap()), (next, start), "{interval} {}", Timestamp(start));
                start = next;
            }
        }
    }

    #[test]
    fn intervals_that_leave_a_rest_are_refused() {
        for bad in ["7 minutes", "5 hours", "0 days", "2 days", "5 months", "day", "-1 hour", ""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
