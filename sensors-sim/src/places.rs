//! Where the sensors stand: the city's loops, the stations a scenario lists, and places scattered near loops.

use crate::chance::Chance;
use schemas::Position;
use serde::Deserialize;

/// A sensor's place and what is known about it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// Local part of the entity's id.
    pub(crate) id: String,
    pub(crate) lon: f64,
    pub(crate) lat: f64,
    /// What the product scales with: places of a car park, metres of height, vehicles a day.
    #[serde(default)]
    pub(crate) size: f64,
    #[serde(default)]
    pub(crate) street: String,
    #[serde(default)]
    pub(crate) direction: String,
}

/// The register of loops: `code;street;direction;lon;lat;weekday_vehicles`, the last one empty when nobody counted.
pub(crate) fn loops(csv: &str) -> Result<Vec<Place>, String> {
    let row = |(n, line): (usize, &str)| {
        let bad = || format!("loops: line {} is not code;street;direction;lon;lat;weekday_vehicles", n + 1);
        let cells: Vec<&str> = line.split(';').collect();
        let [code, street, direction, lon, lat, vehicles] = cells.as_slice() else { return Err(bad()) };
        let place = Position::new(lon.parse().map_err(|_| bad())?, lat.parse().map_err(|_| bad())?).ok_or_else(bad)?;
        Ok(Place {
            id: (*code).to_owned(),
            lon: place.lon,
            lat: place.lat,
            size: if vehicles.is_empty() { 0.0 } else { vehicles.parse().map_err(|_| bad())? },
            street: (*street).to_owned(),
            direction: (*direction).to_owned(),
        })
    };
    csv.lines().enumerate().skip(1).map(row).collect()
}

/// Metres of one degree of latitude.
const DEGREE_M: f64 = 111_195.0;

/// `n` places up to 150 m from loops picked by chance; the same whatever the seed of the simulation.
pub(crate) fn scatter(product: &str, n: usize, near: &[Place]) -> Vec<Place> {
    let chance = Chance(product.bytes().fold(17, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b))));
    let place = |i: usize| {
        let who = i as u64;
        let base = near.get(chance.below(who, 1, 0, near.len() as u64) as usize)?;
        let (angle, distance) = (chance.unit(who, 2, 0) * std::f64::consts::TAU, 20.0 + 130.0 * chance.unit(who, 3, 0));
        let lat = base.lat + distance * angle.sin() / DEGREE_M;
        let lon = base.lon + distance * angle.cos() / (DEGREE_M * base.lat.to_radians().cos());
        let round = |v: f64| (v * 1e5).round() / 1e5;
        Some(Place {
            id: format!("{}-{:03}", product.replace('_', "-"), i + 1),
            lon: round(lon),
            lat: round(lat),
            size: 0.0,
            street: base.street.clone(),
            direction: base.direction.clone(),
        })
    };
    (0..n).map_while(place).collect()
}
