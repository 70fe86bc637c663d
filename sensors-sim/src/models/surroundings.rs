//! Waste containers and river gauges.

use super::{Fields, Scene, Sensor, decimal, fields};
use crate::climate;
use schemas::time::{DAY_US, HOUR_US};

/// A container fills between two collections, which come every one to four days at its own hour.
pub(super) fn waste(scene: &Scene<'_>, sensor: &Sensor<'_>) -> Fields {
    let (c, at) = (scene.chance, scene.moment.at.0);
    let fraction = ["residual", "organic", "paper", "plastic", "glass"][c.below(sensor.who, 80, 0, 5) as usize];
    let cycle = (1 + c.below(sensor.who, 81, 0, 4) as i64) * DAY_US;
    let offset = (c.unit(sensor.who, 82, 0) * cycle as f64) as i64;
    let (round, since) = ((at + offset).div_euclid(cycle), (at + offset).rem_euclid(cycle));
    let full_at_end = 72.0 + 16.0 * c.normal(sensor.who, 83, round);
    // What is left on the bottom, and people who bring more in the evening.
    let evening = 2.0 * (((scene.moment.hour - 20.0) / 24.0) * std::f64::consts::TAU).cos();
    let fill = 2.0 + full_at_end.max(15.0) * since as f64 / cycle as f64 + evening.max(0.0) + 0.3 * c.normal(sensor.who, 84, at);
    let sun = scene.weather.sun / 120.0;
    let charge = 96.0 - 60.0 * (c.unit(sensor.who, 85, 0) + at as f64 / (900.0 * DAY_US as f64)).fract();
    fields([
        ("fill", decimal(fill.clamp(0.0, 100.0), 1)),
        ("temperature", decimal((scene.weather.temperature + sun + 1.0).clamp(-40.0, 120.0), 1)),
        ("battery", decimal(charge, 0)),
        ("fraction", fraction.into()),
    ])
}

/// Hours of past rain that a gauge still feels.
const MEMORY_HOURS: i64 = 48;

/// A base level that follows the season, and a flood wave for the rain of the last two days.
pub(super) fn water(scene: &Scene<'_>, sensor: &Sensor<'_>) -> Fields {
    let (c, m, size) = (scene.chance, &scene.moment, sensor.place.size);
    let profile = &scene.city.profiles.weather;
    // Whole hours of the clock, weighed by their age to the minute, so that the level has no steps.
    let hour = m.at.0.div_euclid(HOUR_US);
    let wave: f64 = (0..MEMORY_HOURS)
        .map(|back| {
            let at = (hour - back) * HOUR_US;
            let age = (m.at.0 - at) as f64 / HOUR_US as f64;
            climate::rain(c, profile, at, m.day_of_year) * (age / 4.0) * (1.0 - age / 8.0).exp() / 8.0
        })
        .sum();
    let season = 0.3 * ((m.day_of_year - 60.0) / 365.25 * std::f64::consts::TAU).cos();
    let level = size * (0.9 + season + 0.25 * wave) + 0.015 * c.wander(sensor.who, 86, m.at.0, HOUR_US);
    fields([("level", decimal(level.clamp(-10.0, 50.0), 2)), ("flow", decimal((18.0 * size * level.max(0.05).powf(1.6)).min(10_000.0), 1))])
}
