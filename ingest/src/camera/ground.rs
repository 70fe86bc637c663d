//! From the image to the ground.

use schemas::Position;

/// A projective map, row by row; the ninth number scales.
#[derive(Debug, Clone, PartialEq)]
pub struct Homography([f64; 9]);

/// Below this a map is flat: it sends the image onto a line or a point.
const DETERMINANT_MIN: f64 = 1e-18;

impl Homography {
    /// # Errors
    /// When the numbers do not make a map that can be turned back.
    pub fn new(m: [f64; 9]) -> Result<Self, &'static str> {
        let det = m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) + m[2] * (m[3] * m[7] - m[4] * m[6]);
        if m.iter().all(|v| v.is_finite()) && det.abs() > DETERMINANT_MIN {
            Ok(Self(m))
        } else {
            Err("must be nine finite numbers, row by row, of a map that is not flat")
        }
    }

    /// `None` at and beyond the horizon, and off the globe.
    #[must_use]
    pub fn apply(&self, x: f64, y: f64) -> Option<Position> {
        let m = &self.0;
        let w = m[6] * x + m[7] * y + m[8];
        // In front of the camera the scale has the sign that it has at the foot of the image.
        let foot = m[6] * 0.5 + m[7] + m[8];
        if w.abs() < f64::EPSILON || w.signum() != foot.signum() {
            return None;
        }
        Position::new((m[0] * x + m[1] * y + m[2]) / w, (m[3] * x + m[4] * y + m[5]) / w)
    }
}

/// Whether the ring holds the point (even-odd rule).
#[must_use]
pub(super) fn contains(ring: &[Position], p: Position) -> bool {
    let mut inside = false;
    for (i, a) in ring.iter().enumerate() {
        let b = ring[(i + 1) % ring.len()];
        let crosses = (a.lat > p.lat) != (b.lat > p.lat);
        if crosses && p.lon < (b.lon - a.lon) * (p.lat - a.lat) / (b.lat - a.lat) + a.lon {
            inside = !inside;
        }
    }
    inside
}
