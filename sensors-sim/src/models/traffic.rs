//! Induction loops and the regional counting stations.

use super::{Fields, Scene, Sensor, decimal, fields};
use crate::{calendar::at_hour, profile::Station};
use schemas::time::HOUR_US;

/// Two directions of eleven classes.
pub(super) const CLASS_VARIANTS: usize = 22;

/// Slow swings that every street has on its own, and what rain adds.
fn mood(scene: &Scene<'_>, who: u64) -> f64 {
    let rain = if scene.weather.rain > 0.0 { 1.04 } else { 1.0 };
    (0.12 * scene.chance.wander(who, 50, scene.moment.at.0, 2 * HOUR_US)).exp() * rain
}

/// Vehicles, speed and occupancy of a loop in one period.
pub(super) fn loop_count(scene: &Scene<'_>, sensor: &Sensor<'_>) -> Fields {
    let (p, m, place) = (&scene.city.profiles, &scene.moment, sensor.place);
    let volume = if place.size > 0.0 {
        place.size
    } else {
        // Loops of one kind of street differ: log-normal about its volume.
        p.loop_volume.of(&place.street) * (0.45 * scene.chance.normal(sensor.who, 51, 0)).exp()
    };
    let hourly = volume * p.traffic.loop_share(m) * p.traffic.season(m) * mood(scene, sensor.who);
    let vehicles = scene.chance.count(sensor.who, 52, m.at.0, hourly * f64::from(scene.period_secs) / 3_600.0);
    let free_speed = if place.street.starts_with("Tangenziale") {
        85.0
    } else if place.street.starts_with("Viale") {
        48.0
    } else {
        38.0
    };
    // Speed falls as the flow comes near what the street carries; occupancy is flow by vehicle length over speed.
    let load = (hourly / (volume * 0.085).max(60.0)).min(1.2);
    let speed = free_speed * (1.0 - 0.35 * load * load) * if scene.weather.rain > 0.0 { 0.93 } else { 1.0 }
        + 2.5 * scene.chance.normal(sensor.who, 53, m.at.0);
    let flow = vehicles as f64 * 3_600.0 / f64::from(scene.period_secs.max(1));
    let mut out = fields([
        ("vehicles", vehicles.into()),
        ("occupancy", decimal((flow * 0.0055 / speed.max(5.0) * 100.0).clamp(0.0, 100.0), 1)),
        ("accuracy", decimal(100.0, 0)),
    ]);
    if vehicles > 0 {
        out.insert("speed".into(), decimal(speed.clamp(3.0, 250.0), 0));
    }
    for (name, text) in [("direction", &place.direction), ("street", &place.street)] {
        if !text.is_empty() {
            out.insert(name.into(), text.as_str().into());
        }
    }
    out
}

/// One class and direction of a counting station; `None` when nothing passed, as the region publishes it.
pub(super) fn class_count(scene: &Scene<'_>, sensor: &Sensor<'_>) -> Option<Fields> {
    let (p, m) = (&scene.city.profiles, &scene.moment);
    let (direction, class) = ((sensor.variant / 11) as i64, sensor.variant % 11);
    let station = p.station.iter().find(|s| s.code == sensor.place.id && s.direction == direction)?;
    let share = class_share(scene, station, class);
    if share == 0.0 {
        return None;
    }
    let hourly = at_hour(station.hourly(m.kind), m.hour) * p.traffic.season(m) * mood(scene, sensor.who - sensor.variant as u64);
    let transits = scene.chance.count(sensor.who, 54, m.at.0, hourly * share * f64::from(scene.period_secs) / 3_600.0);
    if transits == 0 {
        return None;
    }
    let speed = if class >= 5 { 68.0 } else { 76.0 } + 5.0 * scene.chance.wander(sensor.who, 55, m.at.0, HOUR_US);
    Some(fields([
        ("direction", direction.into()),
        ("vehicle_class", (class as i64).into()),
        ("transits", transits.into()),
        ("speed", decimal(speed.clamp(20.0, 130.0), 0)),
    ]))
}

/// Share of the class among all vehicles of the station and direction, now.
fn class_share(scene: &Scene<'_>, station: &Station, class: usize) -> f64 {
    let table = scene.city.profiles.classes.get(scene.moment.kind);
    let weight = |c: usize| at_hour(&table[c], scene.moment.hour) * station.classes[c];
    let all: f64 = (0..11).map(weight).sum();
    if all > 0.0 { weight(class) / all } else { 0.0 }
}
