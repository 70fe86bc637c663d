//! Positions on WGS 84 and H3 cells at the one resolution that every row carries.

use h3o::{CellIndex, LatLng, Resolution};

/// The resolution of the `h3` column. Edge about 9.4 m: two sensors of one crossing differ, one sensor's GPS jitter does not.
pub const ROW_RESOLUTION: Resolution = Resolution::Twelve;

/// Longitude and latitude in degrees, WGS 84 (OGC CRS84 axis order).
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Position {
    pub lon: f64,
    pub lat: f64,
}

impl Position {
    /// `None` when a coordinate is not finite or lies off the globe.
    #[must_use]
    pub fn new(lon: f64, lat: f64) -> Option<Self> {
        ((-180.0..=180.0).contains(&lon) && (-90.0..=90.0).contains(&lat)).then_some(Self { lon, lat })
    }

    /// The cell of the `h3` column.
    #[must_use]
    pub fn cell(self) -> Cell {
        self.cell_at(ROW_RESOLUTION)
    }

    #[must_use]
    pub fn cell_at(self, resolution: Resolution) -> Cell {
        // `new` proved that both are finite, which is all that LatLng asks.
        LatLng::new(self.lat, self.lon).map_or(Cell(0), |p| Cell(i64::from_ne_bytes(u64::from(p.to_cell(resolution)).to_ne_bytes())))
    }

    /// Great-circle distance in metres (haversine, mean Earth radius of IUGG).
    #[must_use]
    pub fn distance_m(self, other: Self) -> f64 {
        let (a, b) = (self.lat.to_radians(), other.lat.to_radians());
        let h = ((b - a) / 2.0).sin().powi(2) + a.cos() * b.cos() * ((other.lon - self.lon).to_radians() / 2.0).sin().powi(2);
        2.0 * 6_371_008.8 * h.sqrt().min(1.0).asin()
    }
}

/// An H3 index. Held as `i64` because Delta has no unsigned type; the top bit of an H3 index is always 0, so order is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell(pub i64);

impl Cell {
    #[must_use]
    pub fn index(self) -> Option<CellIndex> {
        CellIndex::try_from(self.0 as u64).ok()
    }

    /// The hexadecimal text that maps and browsers use (a 64-bit integer does not survive JSON).
    #[must_use]
    pub fn text(self) -> String {
        format!("{:x}", self.0)
    }

    #[must_use]
    pub fn parent(self, resolution: Resolution) -> Option<Self> {
        self.index()?.parent(resolution).map(Self::from)
    }

    /// First and last cell of `ROW_RESOLUTION` under this one: a contiguous range of the `h3` column (LH-3).
    #[must_use]
    pub fn row_range(self) -> Option<(Self, Self)> {
        let own = u8::from(self.index()?.resolution());
        if own > u8::from(ROW_RESOLUTION) {
            return None;
        }
        let fill = |digit: i64| {
            let mut bits = (self.0 & !(0xf << 52)) | (i64::from(u8::from(ROW_RESOLUTION)) << 52);
            for r in own + 1..=u8::from(ROW_RESOLUTION) {
                let shift = u32::from(15 - r) * 3;
                bits = (bits & !(0b111 << shift)) | (digit << shift);
            }
            Self(bits)
        };
        Some((fill(0), fill(6)))
    }
}

impl From<CellIndex> for Cell {
    fn from(index: CellIndex) -> Self {
        Self(u64::from(index) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_cell_lies_in_its_ancestors_range() {
        let p = Position::new(11.3428, 44.4938).unwrap();
        for r in 0..=12u8 {
            let parent = p.cell().parent(Resolution::try_from(r).unwrap()).unwrap();
            let (first, last) = parent.row_range().unwrap();
            assert!(first <= p.cell() && p.cell() <= last, "resolution {r}");
        }
    }

    #[test]
    fn positions_off_the_globe_are_refused() {
        assert!(Position::new(113_473_933_293_812.0, 44.5).is_none());
        assert!(Position::new(f64::NAN, 44.5).is_none());
    }
}
