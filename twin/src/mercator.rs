//! Web Mercator (EPSG:3857) as fractions of the world in 32 bits: a tile at zoom z is a matter of shifts.

use std::f64::consts::PI;

/// Width of the world.
pub(crate) const WORLD: f64 = 4_294_967_296.0;
/// Where the square map ends: atan(sinh(pi)).
const LAT_MAX: f64 = 85.051_128_779_806_59;

/// Column and row from the north-west corner, 0 to [`WORLD`]. Longitudes past 180 run on.
pub(crate) fn project(lon: f64, lat: f64) -> [f64; 2] {
    let lat = lat.clamp(-LAT_MAX, LAT_MAX).to_radians();
    [(lon + 180.0) / 360.0 * WORLD, (1.0 - lat.tan().asinh() / PI) / 2.0 * WORLD]
}

/// Longitude and latitude of a point of the map.
pub(crate) fn unproject([x, y]: [f64; 2]) -> [f64; 2] {
    [x / WORLD * 360.0 - 180.0, (PI * (1.0 - 2.0 * y / WORLD)).sinh().atan().to_degrees()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_is_a_square_and_comes_back() {
        assert_eq!(project(-180.0, 90.0), [0.0, project(0.0, LAT_MAX)[1]]);
        assert!(project(0.0, 0.0).iter().all(|v| (v - WORLD / 2.0).abs() < 1e-3));
        let [lon, lat] = unproject(project(11.34, 44.49));
        assert!((lon - 11.34).abs() < 1e-9 && (lat - 44.49).abs() < 1e-9);
    }
}
