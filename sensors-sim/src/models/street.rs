//! What stands along a street: noise monitors, car parks, cameras that count, lights.

use super::{Fields, Scene, Sensor, decimal, fields};
use crate::calendar::DayKind;
use schemas::time::{DAY_US, HOUR_US};

/// Two directions of three classes.
pub(super) const PEOPLE_VARIANTS: usize = 6;

/// Levels follow the logarithm of the traffic beside the monitor.
pub(super) fn noise(scene: &Scene<'_>, sensor: &Sensor<'_>) -> Fields {
    let (c, at) = (scene.chance, scene.moment.at.0);
    let busy = scene.city.profiles.traffic.loop_share(&scene.moment) / 0.07;
    let base = 64.0 + 4.0 * c.normal(sensor.who, 60, 0);
    let wet = if scene.weather.rain > 0.0 { 2.5 } else { 0.0 };
    let laeq = (base + 10.0 * busy.max(0.02).log10() + wet + 1.5 * c.normal(sensor.who, 61, at)).clamp(30.0, 110.0);
    fields([
        ("laeq", decimal(laeq, 1)),
        ("lamax", decimal((laeq + 7.0 + 5.0 * c.normal(sensor.who, 62, at).abs()).min(125.0), 1)),
        ("la90", decimal((laeq - 6.0 - 1.0 * c.normal(sensor.who, 63, at).abs()).max(25.0), 1)),
    ])
}

/// How busy the centre is by hour, 0 to 1: up at nine, full until the evening, later and weaker on free days.
fn bustle(scene: &Scene<'_>) -> f64 {
    let m = &scene.moment;
    let hill = |centre: f64, width: f64| (-((m.hour - centre) / width).powi(2)).exp();
    match m.kind {
        DayKind::Weekday => 0.85 * hill(11.0, 2.8) + 0.75 * hill(17.0, 3.0),
        DayKind::Saturday => 0.6 * hill(11.5, 2.5) + 0.95 * hill(17.5, 3.2),
        DayKind::Holiday => 0.35 * hill(11.5, 2.5) + 0.6 * hill(17.5, 3.2),
    }
}

pub(super) fn parking(scene: &Scene<'_>, sensor: &Sensor<'_>) -> Fields {
    let (c, at) = (scene.chance, scene.moment.at.0);
    let capacity = sensor.place.size.max(1.0).round();
    let share = 0.18 + 0.72 * bustle(scene) + 0.07 * c.wander(sensor.who, 64, at, HOUR_US) + 0.004 * c.normal(sensor.who, 65, at);
    let occupied = (share.clamp(0.01, 1.0) * capacity).round();
    fields([
        ("capacity", (capacity as i64).into()),
        ("occupied", (occupied as i64).into()),
        ("free", ((capacity - occupied) as i64).into()),
    ])
}

/// A camera that counts; only the counts leave it.
pub(super) fn people(scene: &Scene<'_>, sensor: &Sensor<'_>) -> Fields {
    let (c, at) = (scene.chance, scene.moment.at.0);
    let (class, hourly, stay) = match sensor.variant % 3 {
        0 => ("person", 420.0, 11.0),
        1 => ("bicycle", 90.0, 4.0),
        _ => ("car", 260.0, 3.0),
    };
    let busy = if class == "car" { scene.city.profiles.traffic.loop_share(&scene.moment) / 0.07 } else { bustle(scene) + 0.02 };
    let rain = if scene.weather.rain > 0.0 && class != "car" { 0.45 } else { 1.0 };
    // The camera, not the class, decides how busy its corner is.
    let corner = (0.6 * c.normal(sensor.who - sensor.variant as u64, 66, 0)).exp();
    let mean = hourly * busy * rain * corner * f64::from(scene.period_secs) / 3_600.0;
    let total = c.count(sensor.who, 67, at, mean);
    let mut out = fields([
        ("object_class", class.into()),
        ("direction", if sensor.variant < 3 { "in" } else { "out" }.into()),
        ("total", total.into()),
    ]);
    if total > 0 {
        out.insert("dwell".into(), decimal(stay * (0.3 * c.normal(sensor.who, 68, at)).exp(), 1));
    }
    out
}

/// A lamp burns at night, dimmed from eleven to five; now and then one is broken for a day.
pub(super) fn light(scene: &Scene<'_>, sensor: &Sensor<'_>) -> Fields {
    let (c, at, hour) = (scene.chance, scene.moment.at.0, scene.moment.hour);
    let lamp = [42.0, 60.0, 87.0, 118.0][c.below(sensor.who, 69, 0, 4) as usize];
    let (burning, hours) = scene.nights.at(at);
    let broken = c.unit(sensor.who, 70, at.div_euclid(DAY_US)) < 0.006;
    let dimming = if !(5.0..23.0).contains(&hour) { 70.0 } else { 100.0 };
    let lit = burning && !broken;
    let power = if lit { lamp * dimming / 100.0 * (1.0 + 0.01 * c.normal(sensor.who, 71, at)) } else { 0.4 };
    let mut out = fields([
        ("lit", lit.into()),
        ("power", decimal(power, 1)),
        ("energy", decimal(hours * lamp * 0.82 / 1_000.0, 2)),
        ("dimming", decimal(if lit { dimming } else { 0.0 }, 0)),
    ]);
    if broken {
        out.insert("fault".into(), "lamp_failure".into());
    }
    out
}
