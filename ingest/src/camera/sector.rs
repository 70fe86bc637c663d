//! The ground that a camera sees when only its place, bearing, angle and range are known.

use schemas::Position;

/// Mean radius of the earth, metres.
const EARTH_M: f64 = 6_371_008.8;
/// Between two points of the arc.
const STEP_DEG: f64 = 5.0;
const RANGE_M_MAX: f64 = 5_000.0;

/// A slice of a circle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sector {
    from: Position,
    /// Degrees clockwise from north to the middle.
    bearing: f64,
    angle: f64,
    range_m: f64,
}

impl Sector {
    /// The error is a key and the rule that it breaks.
    pub(super) fn new(from: Position, bearing: f64, angle: f64, range_m: f64) -> Result<Self, (&'static str, &'static str)> {
        if !(0.0..=360.0).contains(&bearing) {
            Err(("bearing", "must be degrees clockwise from north, 0 to 360"))
        } else if !(1.0..=360.0).contains(&angle) {
            Err(("angle", "must be the opening in degrees, 1 to 360"))
        } else if !(1.0..=RANGE_M_MAX).contains(&range_m) {
            Err(("range_m", "must be metres, 1 to 5000"))
        } else {
            Ok(Self { from, bearing, angle, range_m })
        }
    }

    /// The outline, clockwise; a camera that looks all around has no corner at its place.
    pub(super) fn ring(self) -> Vec<Position> {
        let steps = (self.angle / STEP_DEG).ceil().max(1.0) as u32;
        let whole = self.angle >= 360.0;
        let at = |i: u32| self.ahead(self.bearing - self.angle / 2.0 + self.angle * f64::from(i) / f64::from(steps));
        let arc = (0..=steps - u32::from(whole)).filter_map(at);
        if whole { arc.collect() } else { std::iter::once(self.from).chain(arc).collect() }
    }

    /// The point at the range in a direction, on a sphere; `None` beyond a pole.
    fn ahead(self, bearing: f64) -> Option<Position> {
        let (lat, turn, far) = (self.from.lat.to_radians(), bearing.to_radians(), self.range_m / EARTH_M);
        let to_lat = (lat.sin() * far.cos() + lat.cos() * far.sin() * turn.cos()).asin();
        let east = (turn.sin() * far.sin() * lat.cos()).atan2(far.cos() - lat.sin() * to_lat.sin());
        // A centimetre is finer than anybody knows where a camera looks.
        let round = |degrees: f64| (degrees * 1e7).round() / 1e7;
        Position::new(round(self.from.lon + east.to_degrees()), round(to_lat.to_degrees()))
    }
}
