//! The values of the key fields of one row, in one canonical order.

use crate::batch::Datum;
use schemas::Value;
use std::{cmp::Ordering, sync::Arc};

/// Key values, with what is compared most worked out: a hash, and the period in seconds.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) hash: u64,
    /// 0 when there is no period (an instant), `u32::MAX` when it cannot be read.
    pub(crate) period_secs: u32,
    pub(crate) values: Box<[Option<Value>]>,
}

impl Key {
    pub(crate) fn new<'a>(values: impl Iterator<Item = Option<Datum<'a>>>, hash: u64, period: Option<usize>) -> Arc<Self> {
        let values: Box<[_]> = values.map(|v| v.map(Datum::to_value)).collect();
        let period_secs = match period.and_then(|p| values.get(p)) {
            Some(Some(Value::Text(t))) => duration_secs(t).unwrap_or(u32::MAX),
            _ => 0,
        };
        Arc::new(Self { hash, period_secs, values })
    }

    /// Shortest period first, then the values in the order of the contract. Total, so the smallest keys are the same in every order of arrival.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        self.period_secs.cmp(&other.period_secs).then_with(|| self.data().cmp(other.data()))
    }

    pub(crate) fn data(&self) -> impl Iterator<Item = Option<Datum<'_>>> {
        self.values.iter().map(|v| v.as_ref().map(Datum::of))
    }
}

/// Seconds of an ISO 8601 duration; a month counts 30 days and a year 365, which is enough to tell the shorter one.
pub(crate) fn duration_secs(text: &str) -> Option<u32> {
    let mut rest = text.strip_prefix('P')?;
    let (mut total, mut in_time) = (0u64, false);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('T') {
            (rest, in_time) = (after, true);
            continue;
        }
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let n: u64 = rest[..digits].parse().ok()?;
        let unit = match (rest.as_bytes()[digits], in_time) {
            (b'Y', false) => 365 * 86_400,
            (b'M', false) => 30 * 86_400,
            (b'W', false) => 7 * 86_400,
            (b'D', false) => 86_400,
            (b'H', true) => 3_600,
            (b'M', true) => 60,
            (b'S', true) => 1,
            _ => return None,
        };
        total = total.checked_add(n.checked_mul(unit)?)?;
        rest = &rest[digits + 1..];
    }
    u32::try_from(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_become_seconds() {
        assert_eq!(
            ["PT1H", "P1D", "PT15M", "P1M", "P1DT2H", "PT", "1h", "PTè"].map(duration_secs),
            [Some(3_600), Some(86_400), Some(900), Some(2_592_000), Some(93_600), Some(0), None, None]
        );
    }

    #[test]
    fn shorter_periods_come_first_whatever_their_text() {
        let key = |t| Key::new([Some(Datum::Text(t))].into_iter(), 0, Some(0));
        assert_eq!(key("PT1H").order(&key("P1D")), Ordering::Less);
        assert_eq!(key("PT1H").order(&key("PT60M")), Ordering::Less, "same length: by text");
    }
}
