//! How sensors fail. Which sensor fails when is a hash of the seed, like everything else.

use crate::chance::Chance;
use schemas::time::{HOUR_US, SECOND_US};
use serde::Deserialize;

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The sensor says nothing for a while; never seen on a message.
    Silence,
    /// The measured value grows away from the truth.
    Drift,
    /// The measured value does not change any more.
    Stuck,
    /// The same bytes come twice.
    Duplicate,
    /// The message comes long after it was due.
    Late,
    /// The sensor's clock is wrong.
    ClockSkew,
    /// The payload cannot be understood, or says the impossible.
    Garbage,
}

/// One line of a scenario's faults.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FaultSpec {
    pub(crate) kind: FaultKind,
    /// Of the sensors at any time, or of the messages (duplicate, late, garbage).
    share: f64,
    /// How long it lasts; 0 for faults of single messages.
    #[serde(default)]
    hours: u32,
    /// Drift: added share at the end; late and clock_skew: seconds at most.
    #[serde(default)]
    by: f64,
    /// Only this product; every product when absent.
    product: Option<String>,
}

/// A fault that struck a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Struck {
    pub(crate) kind: FaultKind,
    /// Since when, microseconds; the instant itself for faults of single messages.
    pub(crate) since_us: i64,
    /// Drift: factor now; late and clock_skew: microseconds.
    pub(crate) by: f64,
}

impl FaultSpec {
    pub(crate) fn check(&self) -> Result<(), String> {
        let lasting = self.lasts();
        if !(0.0..=1.0).contains(&self.share) || !self.by.is_finite() || self.by < 0.0 {
            return Err(format!("fault {:?}: share must be between 0 and 1, by at least 0", self.kind));
        }
        if lasting != (self.hours > 0) {
            let rule = if lasting { "needs hours" } else { "strikes single messages, drop hours" };
            return Err(format!("fault {:?} {rule}", self.kind));
        }
        Ok(())
    }

    const fn lasts(&self) -> bool {
        matches!(self.kind, FaultKind::Silence | FaultKind::Drift | FaultKind::Stuck | FaultKind::ClockSkew)
    }

    /// Whether it strikes the message that sensor `who` sends at `at_us`. `index` tells two lines of one scenario apart.
    fn strike(&self, chance: Chance, index: usize, who: u64, at_us: i64) -> Option<Struck> {
        let salt = 1_000 + index as u64;
        if !self.lasts() {
            let hit = chance.unit(who, salt, at_us) < self.share;
            let by = self.by * SECOND_US as f64 * (0.5 + 0.5 * chance.unit(who, salt + 500, at_us));
            return hit.then_some(Struck { kind: self.kind, since_us: at_us, by });
        }
        // Time is cut into stretches, for each sensor at other points; a stretch is struck or not.
        let length = i64::from(self.hours) * HOUR_US;
        let offset = (chance.unit(who, salt + 250, 0) * length as f64) as i64;
        let stretch = (at_us + offset).div_euclid(length);
        if chance.unit(who, salt, stretch) >= self.share {
            return None;
        }
        let since_us = stretch * length - offset;
        let by = match self.kind {
            FaultKind::Drift => 1.0 + self.by * (at_us - since_us) as f64 / length as f64,
            _ => self.by * SECOND_US as f64 * (2.0 * chance.unit(who, salt + 500, stretch) - 1.0),
        };
        Some(Struck { kind: self.kind, since_us, by })
    }
}

/// The first fault of the list that strikes.
pub(crate) fn strike(faults: &[FaultSpec], chance: Chance, product: &str, who: u64, at_us: i64) -> Option<Struck> {
    faults
        .iter()
        .enumerate()
        .filter(|(_, f)| f.product.as_deref().is_none_or(|p| p == product))
        .find_map(|(i, f)| f.strike(chance, i, who, at_us))
}

/// Bytes that no contract accepts, made from a good payload.
pub(crate) fn garbage(chance: Chance, who: u64, at_us: i64, good: &[u8], headline: &str) -> Vec<u8> {
    let text = |t: String| t.into_bytes();
    match chance.below(who, 77, at_us, 6) {
        0 => good[..good.len() / 2].to_vec(),
        1 => vec![0xff, 0xfe, 0x00, 0x80],
        2 => text(format!("{{\"{headline}\":NaN}}")),
        3 => text(format!("{{\"observed_at\":\"yesterday\",\"{headline}\":1}}")),
        4 => text(format!("{{\"observed_at\":\"{}\",\"{headline}\":-1e9}}", schemas::Timestamp(at_us))),
        _ => text(format!("{{\"observed_at\":\"2999-01-01T00:00:00Z\",\"{headline}\":1}}")),
    }
}
