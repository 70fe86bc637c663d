//! Air quality and weather stations.

use super::{Fields, Scene, Sensor, decimal, fields};
use crate::calendar::at_hour;
use schemas::time::HOUR_US;

/// Pollutants that the station measures: the fitted mean of month and hour, its spread, and what wind and rain do to it.
pub(super) fn quality(scene: &Scene<'_>, sensor: &Sensor<'_>) -> Fields {
    let m = &scene.moment;
    let mut out = Fields::new();
    for (salt, (name, pollutant)) in (20..).zip(&scene.city.profiles.air) {
        let Some(factor) = pollutant.stations.get(&sensor.place.id) else { continue };
        let mean = at_hour(&pollutant.by_month_and_hour[m.month], m.solar_hour) * factor;
        let wander = scene.chance.wander(sensor.who, salt, m.at.0, 4 * HOUR_US);
        let hiss = 0.05 * scene.chance.normal(sensor.who, salt + 20, m.at.0);
        let value = mean * (0.6 * pollutant.spread * wander + hiss).exp() * washed(name, scene);
        out.insert(name.clone(), decimal(value, if value < 10.0 { 2 } else { 1 }));
    }
    out
}

/// Wind thins what traffic emits, rain washes particles out, clouds stop ozone.
fn washed(name: &str, scene: &Scene<'_>) -> f64 {
    let w = &scene.weather;
    let wind = 1.0 + 0.06 * (1.8 - w.wind_speed);
    let wet = w.rain > 0.0;
    match name {
        "pm10" | "pm25" => wind * if wet { 0.7 } else { 1.05 },
        "o3" => {
            if wet {
                0.8
            } else {
                1.03
            }
        }
        "no2" | "no" | "co" => wind,
        _ => 1.0,
    }
    .clamp(0.5, 1.3)
}

/// A station sees the city's weather, cooler with height (6.5 K per km above the city's 54 m), and its own gusts.
pub(super) fn weather(scene: &Scene<'_>, sensor: &Sensor<'_>) -> Fields {
    let (w, c, at) = (&scene.weather, scene.chance, scene.moment.at.0);
    let above = sensor.place.size - 54.0;
    let own = |salt, by| by * c.wander(sensor.who, salt, at, HOUR_US);
    let wind = (w.wind_speed * (1.0 + own(43, 0.2)) + 0.1 * c.normal(sensor.who, 44, at)).clamp(0.0, 90.0);
    fields([
        ("temperature", decimal(w.temperature - 0.0065 * above + own(41, 0.4), 1)),
        ("humidity", decimal((w.humidity + own(42, 2.0)).clamp(5.0, 100.0), 0)),
        ("pressure", decimal(w.pressure - 0.12 * sensor.place.size, 1)),
        ("wind_speed", decimal(wind, 1)),
        ("wind_direction", decimal((w.wind_direction + own(45, 15.0)).rem_euclid(360.0), 0)),
        ("precipitation", decimal(w.rain / 60.0, 2)),
        ("solar_radiation", decimal(w.sun, 0)),
    ])
}
