//! Chance without state: every draw is a hash of the seed and of what is asked for.

use std::f64::consts::TAU;

/// What a draw is for, so that two draws about one sensor and instant do not agree by accident.
pub(crate) type Salt = u64;

/// The seed of a simulation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// The finaliser of splitmix64 (Steele et al., 2014) over the words in turn.
    fn bits(self, who: u64, salt: Salt, n: i64) -> u64 {
        let mut h = self.0;
        for word in [who, salt, n as u64] {
            h = h.wrapping_add(word).wrapping_add(0x9e37_79b9_7f4a_7c15);
            h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            h ^= h >> 31;
        }
        h
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(self, who: u64, salt: Salt, n: i64) -> f64 {
        (self.bits(who, salt, n) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `0..below`; 0 when `below` is 0.
    pub(crate) fn below(self, who: u64, salt: Salt, n: i64, below: u64) -> u64 {
        self.bits(who, salt, n).checked_rem(below).unwrap_or(0)
    }

    /// Normal, mean 0, deviation 1 (Box and Muller, 1958).
    pub(crate) fn normal(self, who: u64, salt: Salt, n: i64) -> f64 {
        let u = 1.0 - self.unit(who, salt, n);
        let v = self.unit(who, salt ^ 0x5bd1_e995, n);
        (-2.0 * u.ln()).sqrt() * (TAU * v).cos()
    }

    /// A normal process that wanders over about `step_us`: neighbouring instants agree, distant ones do not.
    pub(crate) fn wander(self, who: u64, salt: Salt, at_us: i64, step_us: i64) -> f64 {
        let n = at_us.div_euclid(step_us);
        let x = at_us.rem_euclid(step_us) as f64 / step_us as f64;
        let (a, b) = (self.normal(who, salt, n), self.normal(who, salt, n + 1));
        // The weights keep the deviation at 1 between the points of the lattice too.
        let (wa, wb) = ((x * TAU / 4.0).cos(), (x * TAU / 4.0).sin());
        a * wa + b * wb
    }

    /// A Poisson count; above 60 its normal approximation.
    pub(crate) fn count(self, who: u64, salt: Salt, n: i64, mean: f64) -> i64 {
        if mean > 60.0 {
            return (mean + mean.sqrt() * self.normal(who, salt, n)).round().max(0.0) as i64;
        }
        let u = self.unit(who, salt, n);
        let mut p = (-mean.max(0.0)).exp();
        let (mut sum, mut k) = (p, 0);
        while u > sum && k < 200 {
            k += 1;
            p *= mean / k as f64;
            sum += p;
        }
        k
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_the_mean_and_the_variance_of_poisson() {
        for mean in [0.3, 5.0, 40.0, 200.0] {
            let draws: Vec<f64> = (0..20_000).map(|n| Chance(7).count(1, 2, n, mean) as f64).collect();
            let m = draws.iter().sum::<f64>() / draws.len() as f64;
            let v = draws.iter().map(|d| (d - m).powi(2)).sum::<f64>() / draws.len() as f64;
            assert!((m / mean - 1.0).abs() < 0.05, "mean {m} of {mean}");
            assert!((v / mean - 1.0).abs() < 0.08, "variance {v} of {mean}");
        }
    }

    #[test]
    fn wandering_is_smooth_and_of_unit_deviation() {
        let c = Chance(3);
        let near = (c.wander(1, 1, 1_000, 1_000_000) - c.wander(1, 1, 2_000, 1_000_000)).abs();
        assert!(near < 0.02, "{near}");
        let draws: Vec<f64> = (0..20_000).map(|n| c.wander(1, 1, n * 3_333, 10_000)).collect();
        let v = draws.iter().map(|d| d * d).sum::<f64>() / draws.len() as f64;
        assert!((v - 1.0).abs() < 0.1, "{v}");
    }
}
