//! The doors of monitoring agents: remote write, OpenTelemetry, line protocol; and plain JSON. What the doors write are good lines.
#![no_main]

use ingest::{
    foreign::fuzz::{in_nanoseconds, otlp, prometheus},
    format::line_protocol::{Line, Lines},
    mapping::route::Router,
};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, OnceLock};

const BODY_BYTES_MAX: usize = 1 << 20;
const TOPICS: [&str; 7] = [
    "influx/db/weather",
    "influx/db/weather_station",
    "prometheus/node_hwmon_temp_celsius",
    "otlp/room.humidity",
    "portico/bologna/air_quality/a",
    "portico/bologna/weather",
    "masts/site/mast",
];

/// Every line of a door is read to its end.
fn good(door: &str, lines: &[u8]) {
    let text = std::str::from_utf8(lines).unwrap_or_else(|e| panic!("{door} wrote {e}"));
    assert!(text.len() <= BODY_BYTES_MAX * 2, "{door} wrote {} bytes", text.len());
    for (number, range) in Lines::new(lines) {
        let mut line = Line::new(&text[range.clone()]);
        let mut whole = || {
            line.measurement()?;
            while line.tag()?.is_some() {}
            let mut first = true;
            while line.field(&mut first)?.is_some() {}
            line.time()
        };
        if let Err(reject) = whole() {
            panic!("{door} wrote line {number} '{}': {}", &text[range], reject.message);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    static ONCE: OnceLock<Arc<Router>> = OnceLock::new();
    let router = ONCE.get_or_init(|| {
        fuzz::router(&[
            ("example.toml", include_str!("../../../ingest/mappings/example.toml")),
            ("influx.toml", include_str!("../../../ingest/mappings/influx.toml")),
            ("doors.toml", include_str!("../../../ingest/mappings/doors.toml")),
        ])
    });
    let [door, body @ ..] = data else { return };
    match door % 5 {
        0 => {
            if let Ok(lines) = prometheus(body, BODY_BYTES_MAX) {
                good("prometheus", &lines);
            }
        }
        n @ (1 | 2) => {
            if let Ok(lines) = otlp(body, n == 2, BODY_BYTES_MAX) {
                good("otlp", &lines);
            }
        }
        3 => {
            let n = Lines::new(body).count();
            let lines = in_nanoseconds(body, "h");
            assert_eq!(Lines::new(&lines).count(), n, "another precision, other lines");
        }
        _ => fuzz::decode(router, &TOPICS, body),
    }
});
