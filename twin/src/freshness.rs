//! Whether an entity still reports as its contract promises.

use schemas::{Timestamp, time::SECOND_US};

/// How the age of the newest row compares with the cadence of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Freshness {
    /// At most twice the cadence old.
    Fresh,
    /// At most four times the cadence old.
    Due,
    /// Older.
    Overdue,
}

impl Freshness {
    pub const ALL: [Self; 3] = [Self::Fresh, Self::Due, Self::Overdue];

    /// `cadence_secs` as the contract has it. A row from the future is fresh.
    #[must_use]
    pub fn of(observed_at: Timestamp, cadence_secs: u32, now: Timestamp) -> Self {
        let age = now.micros().saturating_sub(observed_at.micros());
        let cadence = i64::from(cadence_secs) * SECOND_US;
        match age {
            _ if age <= 2 * cadence => Self::Fresh,
            _ if age <= 4 * cadence => Self::Due,
            _ => Self::Overdue,
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Due => "due",
            Self::Overdue => "overdue",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_borders_are_two_and_four_cadences() {
        let at = |secs: i64| Freshness::of(Timestamp(0), 60, Timestamp(secs * SECOND_US));
        assert_eq!([at(-5), at(120), at(121), at(240), at(241)].map(Freshness::name), ["fresh", "fresh", "due", "due", "overdue"]);
    }
}
