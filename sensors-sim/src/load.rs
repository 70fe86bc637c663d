//! Load for benchmarks: cheap messages of one size, each with its own entity and instant.

use crate::Message;
use schemas::{Timestamp, time::SECOND_US};
use std::{io::Write as _, sync::Arc};

/// Bytes of every payload.
pub(crate) const PAYLOAD_LEN: usize = 128;

/// Weather messages of 128 bytes from many sensors in turn, without end. No (entity, observed_at) comes twice.
#[derive(Debug)]
pub struct LoadGenerator {
    topics: Vec<Arc<str>>,
    start: Timestamp,
    step_us: i64,
    n: u64,
    /// Second of the last message, and its text up to the second.
    second: (i64, String),
}

impl LoadGenerator {
    /// `sensors` entities `load-0`, `load-1`... of the tenant; each sends once per `step_us` from `start` on.
    #[must_use]
    pub fn new(tenant: &schemas::Tenant, sensors: u32, start: Timestamp, step_us: u32) -> Self {
        let topics = (0..sensors.max(1)).map(|i| format!("portico/{tenant}/weather/load-{i}").into()).collect();
        Self { topics, start, step_us: i64::from(step_us.max(1)), n: 0, second: (i64::MIN, String::new()) }
    }

    fn payload(&mut self, sensor: u64, at: Timestamp) -> Vec<u8> {
        let second = at.0.div_euclid(SECOND_US);
        if self.second.0 != second {
            let text = Timestamp(second * SECOND_US).to_rfc3339();
            self.second = (second, text.trim_end_matches('Z').to_owned());
        }
        let micros = at.0.rem_euclid(SECOND_US);
        let (whole, tenth) = (10 + self.n % 20, self.n % 10);
        let (lon, lat) = (25 + sensor % 20, 43 + sensor / 20 % 15);
        let mut out = Vec::with_capacity(PAYLOAD_LEN);
        // Writing to a Vec cannot fail.
        let _ = write!(
            out,
            "{{\"observed_at\":\"{}.{micros:06}Z\",\"temperature\":{whole}.{tenth},\"humidity\":5{tenth}.4,\"pressure\":1013.2,\"lon\":11.{lon}001,\"lat\":44.{lat}001",
            self.second.1
        );
        out.resize(PAYLOAD_LEN - 1, b' ');
        out.push(b'}');
        out
    }
}

impl Iterator for LoadGenerator {
    type Item = (Timestamp, Message);

    fn next(&mut self) -> Option<Self::Item> {
        let sensors = self.topics.len() as u64;
        let (sensor, round) = (self.n % sensors, self.n / sensors);
        let at = Timestamp(self.start.0 + round as i64 * self.step_us);
        let message = Message { topic: Arc::clone(&self.topics[sensor as usize]), payload: self.payload(sensor, at), fault: None };
        self.n += 1;
        Some((at, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn payloads_are_json_of_128_bytes_and_no_identity_comes_twice() {
        let tenant = schemas::Tenant::new("bologna").unwrap();
        let start = Timestamp::parse("2024-05-01T00:00:00Z").unwrap();
        let mut seen = HashSet::new();
        for (at, m) in LoadGenerator::new(&tenant, 37, start, 1_000).take(5_000) {
            assert_eq!(m.payload.len(), PAYLOAD_LEN);
            let v: serde_json::Value = serde_json::from_slice(&m.payload).unwrap();
            assert_eq!(Timestamp::parse(v["observed_at"].as_str().unwrap()).unwrap(), at);
            assert!(seen.insert((m.topic, at)));
        }
    }
}
