//! Areas on the globe: a box, a polygon, a circle. Longitudes may run past 180, so an area can cross the antimeridian.

use crate::TwinError;
use schemas::Position;

/// Most vertices of one polygon.
const VERTICES_MAX: usize = 20_000;
/// Metres of one degree along a meridian, on the sphere that [`Position::distance_m`] uses.
const DEGREE_M: f64 = 6_371_008.8 * std::f64::consts::PI / 180.0;

/// West, south, east, north in degrees. `west > east` crosses the antimeridian (RFC 7946, 5.2). Borders belong to the box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BBox {
    west: f64,
    south: f64,
    /// Not less than `west`; past 180 when the box crosses the antimeridian.
    east: f64,
    north: f64,
}

/// Rings of longitude and latitude, inside by the even-odd rule: holes and several parts are rings too.
/// One that crosses the antimeridian has longitudes past 180, or is cut in two (RFC 7946, 3.1.9).
#[derive(Debug, Clone)]
pub struct Polygon {
    bounds: BBox,
    strips: Vec<Vec<[f64; 4]>>,
}

/// Everything within a distance of a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Near {
    pub center: Position,
    pub radius_m: f64,
}

impl BBox {
    /// Errors when a number is not finite, off the globe, or south is north of north.
    pub fn new([west, south, east, north]: [f64; 4]) -> Result<Self, TwinError> {
        let fail = |rule| TwinError::Request { what: "bbox", value: format!("{west},{south},{east},{north}"), rule };
        if ![west, east].iter().all(|v| (-360.0..=360.0).contains(v)) {
            return Err(fail("west and east are degrees between -180 and 180"));
        }
        if !(-90.0 <= south && south <= north && north <= 90.0) {
            return Err(fail("write west,south,east,north with south at most north, both between -90 and 90"));
        }
        let east = if west > east { east + 360.0 } else { east };
        Ok(Self { west, south, east, north })
    }

    pub(crate) fn unwrapped(west: f64, south: f64, east: f64, north: f64) -> Self {
        Self { west, south: south.max(-90.0), east, north: north.min(90.0) }
    }

    #[must_use]
    pub fn contains(&self, lon: f64, lat: f64) -> bool {
        self.south <= lat && lat <= self.north && self.shifts().any(|shift| self.west <= lon + shift && lon + shift <= self.east)
    }

    /// Whether any point of `other`, whose longitudes lie between -180 and 180, can be inside.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.south <= other.north
            && other.south <= self.north
            && self.shifts().any(|shift| self.west <= other.east + shift && other.west + shift <= self.east)
    }

    /// What to add to a longitude between -180 and 180 to compare it with this box.
    fn shifts(&self) -> impl Iterator<Item = f64> {
        let (back, forth) = (self.west < -180.0, self.east > 180.0);
        [0.0, 360.0, -360.0].into_iter().filter(move |s| *s == 0.0 || (*s > 0.0 && forth) || (*s < 0.0 && back))
    }

    /// Nothing; [`Self::add`] makes it grow.
    pub(crate) const EMPTY: Self = Self { west: f64::INFINITY, south: f64::INFINITY, east: f64::NEG_INFINITY, north: f64::NEG_INFINITY };

    pub(crate) fn add(&mut self, lon: f64, lat: f64) {
        *self = self.union(&Self { west: lon, south: lat, east: lon, north: lat });
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        Self {
            west: self.west.min(other.west),
            south: self.south.min(other.south),
            east: self.east.max(other.east),
            north: self.north.max(other.north),
        }
    }

    /// The box with a margin in metres on every side.
    pub(crate) fn grown(&self, metres: f64) -> Self {
        let lat = metres / DEGREE_M;
        let widest = self.south.abs().max(self.north.abs()) + lat;
        let lon = if widest >= 89.0 { 360.0 } else { lat / widest.to_radians().cos() };
        Self::unwrapped(self.west - lon, self.south - lat, self.east + lon, self.north + lat)
    }
}

impl Polygon {
    /// Rings of `[lon, lat]`, closed or not. Errors when a ring has fewer than 3 vertices, there are more than 20,000,
    /// or a number is not on the globe (longitudes may run to 540 either way).
    pub fn new(rings: &[Vec<[f64; 2]>]) -> Result<Self, TwinError> {
        let vertices: usize = rings.iter().map(Vec::len).sum();
        let fail = |rule| TwinError::Request { what: "polygon", value: format!("of {vertices} vertices"), rule };
        if rings.is_empty() || rings.iter().any(|r| r.len() < 3) {
            return Err(fail("every ring needs at least 3 vertices"));
        }
        if vertices > VERTICES_MAX {
            return Err(fail("at most 20000 vertices; simplify it"));
        }
        let mut bounds = BBox::EMPTY;
        for &[lon, lat] in rings.iter().flatten() {
            if !((-540.0..=540.0).contains(&lon) && (-90.0..=90.0).contains(&lat)) {
                return Err(fail("longitude lies between -180 and 180, latitude between -90 and 90"));
            }
            bounds.add(lon, lat);
        }
        let mut out = Self { strips: vec![Vec::new(); vertices.next_power_of_two().clamp(16, 2_048)], bounds };
        for ring in rings {
            for (i, &[x1, y1]) in ring.iter().enumerate() {
                let [x2, y2] = ring[(i + 1) % ring.len()];
                let (low, high) = (out.strip(y1.min(y2)), out.strip(y1.max(y2)));
                out.strips[low..=high].iter_mut().for_each(|strip| strip.push([x1, y1, x2, y2]));
            }
        }
        Ok(out)
    }

    /// Edges are kept by strips of latitude, so that a point is compared with few of them.
    fn strip(&self, lat: f64) -> usize {
        let height = (self.bounds.north - self.bounds.south).max(f64::MIN_POSITIVE);
        let at = (lat - self.bounds.south) / height * self.strips.len() as f64;
        (at as usize).min(self.strips.len() - 1)
    }

    #[must_use]
    pub fn contains(&self, lon: f64, lat: f64) -> bool {
        if !(self.bounds.south..=self.bounds.north).contains(&lat) {
            return false;
        }
        let edges = &self.strips[self.strip(lat)];
        let inside = |lon: f64| {
            edges.iter().fold(false, |inside, &[x1, y1, x2, y2]| {
                let crosses = (y1 > lat) != (y2 > lat) && lon < (x2 - x1) * (lat - y1) / (y2 - y1) + x1;
                inside != crosses
            })
        };
        self.bounds.shifts().any(|shift| {
            let lon = lon + shift;
            self.bounds.west <= lon && lon <= self.bounds.east && inside(lon)
        })
    }

    pub(crate) fn bounds(&self) -> BBox {
        self.bounds
    }
}

impl Near {
    /// Errors when the radius is not a positive number of metres up to 1,000 km.
    pub fn new(center: Position, radius_m: f64) -> Result<Self, TwinError> {
        if !(radius_m > 0.0 && radius_m <= 1_000_000.0) {
            let rule = "the radius is a number of metres above 0 and at most 1000000";
            return Err(TwinError::Request { what: "near", value: radius_m.to_string(), rule });
        }
        Ok(Self { center, radius_m })
    }

    #[must_use]
    pub fn contains(&self, lon: f64, lat: f64) -> bool {
        self.center.distance_m(Position { lon, lat }) <= self.radius_m
    }

    /// A box around the circle. The hair's breadth more covers the rounding of the distance.
    pub(crate) fn bounds(&self) -> BBox {
        let Position { lon, lat } = self.center;
        BBox::unwrapped(lon, lat, lon, lat).grown(self.radius_m * 1.000_001 + 0.01)
    }
}

#[cfg(test)]
mod tests;
