//! Times of observation as senders write them.

use super::json::Token;
use jiff::civil;
use schemas::{Timestamp, time::Zone};

/// How the time of a message is written.
#[derive(Debug, Clone)]
pub enum TimeFormat {
    /// RFC 3339 when it is a text; epoch seconds, milliseconds or microseconds, told apart by size, when it is a number.
    Auto,
    Rfc3339,
    EpochS,
    EpochMs,
    EpochUs,
    /// `2024-03-03T08:15:00` without an offset, in this zone.
    Local(Zone),
    /// The message has no time: the time of its receipt. Delivered again it is another observation (ING-3 cannot tell).
    Receipt,
    /// The time of the message, or that of its receipt when it has none.
    OrReceipt(Box<Self>),
}

impl TimeFormat {
    /// From its name in a mapping file.
    pub fn named(name: &str, zone: Option<&str>) -> Result<Self, String> {
        match (name, zone) {
            ("local", Some(zone)) => Zone::named(zone).map(Self::Local).map_err(|e| e.to_string()),
            ("local", None) => Err("'local' needs 'zone', for example zone = \"Europe/Rome\"".into()),
            (_, Some(_)) => Err("'zone' is only for format = \"local\"".into()),
            ("auto", _) => Ok(Self::Auto),
            ("rfc3339", _) => Ok(Self::Rfc3339),
            ("epoch_s", _) => Ok(Self::EpochS),
            ("epoch_ms", _) => Ok(Self::EpochMs),
            ("epoch_us", _) => Ok(Self::EpochUs),
            _ => Err(format!("'{name}' is not one of auto, rfc3339, epoch_s, epoch_ms, epoch_us, local")),
        }
    }

    /// Whether a message without a time is taken as observed when it was received.
    #[must_use]
    pub const fn falls_back(&self) -> bool {
        matches!(self, Self::Receipt | Self::OrReceipt(_))
    }

    /// Reads a value. The error says what was expected.
    pub fn read(&self, token: &Token<'_>) -> Result<Timestamp, &'static str> {
        const TEXT: &str = "write it as RFC 3339, for example 2024-03-03T08:15:00+01:00";
        match (self, token) {
            (Self::OrReceipt(inner), _) => inner.read(token),
            (Self::Auto | Self::Rfc3339, Token::Text(text)) => rfc3339(text).ok_or(TEXT),
            (Self::Local(zone), Token::Text(text)) => local(text, zone).ok_or("write it as local time, for example 2024-03-03T08:15:00"),
            (Self::Auto, Token::Number(text)) => epoch(text, None).ok_or("write epoch seconds or milliseconds, or RFC 3339"),
            (Self::EpochS, Token::Number(text)) => epoch(text, Some(1_000_000)).ok_or("write epoch seconds"),
            (Self::EpochMs, Token::Number(text)) => epoch(text, Some(1_000)).ok_or("write epoch milliseconds"),
            (Self::EpochUs, Token::Number(text)) => epoch(text, Some(1)).ok_or("write epoch microseconds"),
            (Self::EpochS | Self::EpochMs | Self::EpochUs, _) => Err("write it as a number since 1970-01-01T00:00:00Z"),
            _ => Err(TEXT),
        }
    }
}

/// Numbers below 1e11 are seconds (until the year 5138), below 1e14 milliseconds, then microseconds.
fn epoch(text: &str, unit_us: Option<i64>) -> Option<Timestamp> {
    let unit_of = |magnitude: f64| {
        unit_us.unwrap_or(match magnitude {
            m if m < 1e11 => 1_000_000,
            m if m < 1e14 => 1_000,
            _ => 1,
        })
    };
    if let Ok(n) = text.parse::<i64>() {
        return n.checked_mul(unit_of(n.unsigned_abs() as f64)).map(Timestamp);
    }
    let n: f64 = text.parse().ok()?;
    let us = (n * unit_of(n.abs()) as f64).round();
    // 2^62 µs is far beyond any calendar; the bound makes the cast exact.
    (us.abs() < 4.6e18).then_some(Timestamp(us as i64))
}

fn local(text: &str, zone: &Zone) -> Option<Timestamp> {
    let civil: civil::DateTime = text.parse().ok()?;
    zone.instant(civil).ok()
}

/// The common shape is read by hand (this is a hot path); every other goes to jiff, so that both agree on what is a time.
fn rfc3339(text: &str) -> Option<Timestamp> {
    fast(text.as_bytes()).or_else(|| Timestamp::parse(text).ok())
}

/// `YYYY-MM-DDTHH:MM:SS[.f…](Z|±HH:MM)` with a plausible date; `None` means "ask the full parser".
fn fast(t: &[u8]) -> Option<Timestamp> {
    let two = |i: usize| {
        let (a, b) = (t[i].wrapping_sub(b'0'), t[i + 1].wrapping_sub(b'0'));
        (a < 10 && b < 10).then(|| i64::from(a) * 10 + i64::from(b))
    };
    if t.len() < 20 || t[4] != b'-' || t[7] != b'-' || t[10] != b'T' || t[13] != b':' || t[16] != b':' {
        return None;
    }
    let (year, month, day) = (two(0)? * 100 + two(2)?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    if !(1..=12).contains(&month) || !(1..=28).contains(&day) && !day_exists(year, month, day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut at = 19;
    let mut micros = 0;
    if t[at] == b'.' {
        at += 1;
        let digits = t[at..].iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 || digits > 9 {
            return None;
        }
        micros = (0..6).fold(0, |n, i| n * 10 + if i < digits { i64::from(t[at + i] - b'0') } else { 0 });
        at += digits;
    }
    let offset = match &t[at..] {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (h, m) = (two(at + 1)?, two(at + 4)?);
            if h > 23 || m > 59 {
                return None;
            }
            (h * 60 + m) * if *sign == b'-' { -60 } else { 60 }
        }
        _ => return None,
    };
    let secs = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    // jiff truncates towards zero before 1970; leave those few to it.
    (secs > 0).then_some(Timestamp(secs * 1_000_000 + micros))
}

fn day_exists(year: i64, month: i64, day: i64) -> bool {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    (1..=last).contains(&day)
}

/// Days since 1970-01-01 (Howard Hinnant's `days_from_civil`, public domain algorithm).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y - era * 400;
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_fast_reader_agrees_with_the_full_one(secs in 1i64..4_000_000_000, nanos in 0u32..1_000_000_000, digits in 0usize..=9, offset in -840i32..=840) {
            let offset = jiff::tz::Offset::from_seconds(offset * 60).unwrap();
            let civil = offset.to_datetime(jiff::Timestamp::new(secs, 0).unwrap());
            let (sign, mins) = (if offset.seconds() < 0 { '-' } else { '+' }, offset.seconds().abs() / 60);
            let fraction = if digits == 0 { String::new() } else { format!(".{}", &format!("{nanos:09}")[..digits]) };
            let text = format!("{}{fraction}{sign}{:02}:{:02}", civil.strftime("%Y-%m-%dT%H:%M:%S"), mins / 60, mins % 60);
            prop_assert_eq!(fast(text.as_bytes()), Timestamp::parse(&text).ok());
        }

        #[test]
        fn garbage_is_judged_as_by_the_full_parser(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{0,10})?(Z|z|[+-][0-9]{2}:[0-9]{2})?") {
            prop_assert_eq!(rfc3339(&text), Timestamp::parse(&text).ok());
        }
    }

    #[test]
    fn numbers_are_told_apart_by_size() {
        let want = Timestamp::parse("2024-03-03T07:15:00.5Z").unwrap();
        for text in ["1709450100.5", "1709450100500", "1709450100500000", "1.7094501005e9"] {
            assert_eq!(TimeFormat::Auto.read(&Token::Number(text)), Ok(want), "{text}");
        }
        assert!(TimeFormat::Auto.read(&Token::Number("1e300")).is_err());
    }
}
