//! The weather of the city at an instant, and what the sun and the street lights do.

use crate::{
    calendar::{Moment, at_month},
    chance::Chance,
    profile::WeatherProfile,
};
use schemas::time::{DAY_US, HOUR_US};

/// Weather over the whole city; stations differ from it a little.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) temperature: f64,
    pub(crate) humidity: f64,
    pub(crate) pressure: f64,
    pub(crate) wind_speed: f64,
    pub(crate) wind_direction: f64,
    /// mm/h.
    pub(crate) rain: f64,
    /// W/m2.
    pub(crate) sun: f64,
}

const CITY: u64 = 0;
const SLOT_US: i64 = 3 * HOUR_US;
const LATITUDE: f64 = 44.49;
/// Solar noon in Bologna comes this long after noon of standard time (longitude 11.34 against 15 degrees).
const SOLAR_NOON: f64 = 12.24;

/// Rain in mm/h during the three-hour slot of the instant: wet days, and wet slots in them.
pub(crate) fn rain(chance: Chance, profile: &WeatherProfile, at_us: i64, day_of_year: f64) -> f64 {
    let (day, slot) = (at_us.div_euclid(DAY_US), at_us.div_euclid(SLOT_US));
    if chance.unit(CITY, 1, day) >= at_month(&profile.wet_day_share, day_of_year) || chance.unit(CITY, 2, slot) >= 0.5 {
        return 0.0;
    }
    -1.3 * (1.0 - chance.unit(CITY, 3, slot)).ln()
}

/// Sine of the sun's elevation; negative at night.
fn sun_sine(moment: &Moment) -> f64 {
    let declination = (-23.44_f64).to_radians() * (std::f64::consts::TAU * (moment.day_of_year + 10.0) / 365.25).cos();
    let angle = ((moment.solar_hour - SOLAR_NOON) * 15.0).to_radians();
    let lat = LATITUDE.to_radians();
    lat.sin() * declination.sin() + lat.cos() * declination.cos() * angle.cos()
}

pub(crate) fn weather(chance: Chance, profile: &WeatherProfile, moment: &Moment) -> Weather {
    let at = moment.at.0;
    let rain = rain(chance, profile, at, moment.day_of_year);
    let swing = at_month(&profile.half_swing, moment.day_of_year) * if rain > 0.0 { 0.4 } else { 1.0 };
    let phase = ((moment.solar_hour - 15.0) / 24.0 * std::f64::consts::TAU).cos();
    let spell = chance.wander(CITY, 4, at, 4 * DAY_US);
    let temperature = at_month(&profile.temperature, moment.day_of_year) + swing * phase + 2.5 * spell - if rain > 0.0 { 1.5 } else { 0.0 };
    let damp = if rain > 0.0 { 22.0 } else { 0.0 };
    let clear = if rain > 0.0 { 0.2 } else { (0.8 + 0.2 * chance.wander(CITY, 5, at, 3 * HOUR_US)).clamp(0.25, 1.0) };
    Weather {
        temperature,
        humidity: (72.0 - 14.0 * phase + damp - 4.0 * spell + 4.0 * chance.wander(CITY, 6, at, 6 * HOUR_US)).clamp(15.0, 100.0),
        pressure: 1_015.0 + 7.0 * chance.wander(CITY, 7, at, 3 * DAY_US) - if rain > 0.0 { 5.0 } else { 0.0 },
        wind_speed: (1.8 + 0.9 * phase + 0.9 * chance.wander(CITY, 8, at, 5 * HOUR_US)).clamp(0.1, 25.0),
        wind_direction: (240.0 + 80.0 * chance.wander(CITY, 9, at, 12 * HOUR_US)).rem_euclid(360.0),
        rain,
        sun: (1_050.0 * sun_sine(moment) * clear).max(0.0),
    }
}

/// Hours that the street lights have burned since 2020, and whether they burn now.
#[derive(Debug)]
pub(crate) struct Nights {
    /// Sum of the nights before each noon-to-noon day.
    before: Vec<f64>,
}

/// 2020-01-01, and days until 2060.
const FIRST_DAY: i64 = 18_262;
const DAYS: i64 = 14_610;

/// Hours of lighting of the night that follows noon of the day: 14.5 in December, 8 in June.
fn night_hours(day: i64) -> f64 {
    11.3 + 3.3 * (std::f64::consts::TAU * ((day - FIRST_DAY) as f64 + 11.0) / 365.25).cos()
}

impl Nights {
    pub(crate) fn new() -> Self {
        let mut sum = 0.0;
        let before = (FIRST_DAY..FIRST_DAY + DAYS)
            .map(|d| {
                sum += night_hours(d);
                sum - night_hours(d)
            })
            .collect();
        Self { before }
    }

    /// (burning now, hours burned since 2020).
    pub(crate) fn at(&self, at_us: i64) -> (bool, f64) {
        let since_noon = at_us - (11 * HOUR_US + (0.24 * HOUR_US as f64) as i64);
        let (day, hours) = (since_noon.div_euclid(DAY_US), since_noon.rem_euclid(DAY_US) as f64 / HOUR_US as f64);
        let length = night_hours(day);
        let passed = (hours - (12.0 - length / 2.0)).clamp(0.0, length);
        let index = (day - FIRST_DAY).clamp(0, DAYS - 1) as usize;
        (passed > 0.0 && passed < length, self.before[index] + passed)
    }
}
