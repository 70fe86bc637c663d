//! From the plane of a network (UTM, WGS 84) back to degrees: Krüger's series to the third order, exact to millimetres within a zone.

/// A UTM zone of the northern or southern half, and what was subtracted from its coordinates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plane {
    pub(super) zone: u8,
    pub(super) south: bool,
    pub(super) offset: (f64, f64),
}

impl Plane {
    /// From `projParameter` and `netOffset` of a SUMO network; `None` when it is not in UTM on WGS 84.
    pub(super) fn parse(projection: &str, offset: &str) -> Option<Self> {
        let part = |name: &str| projection.split_ascii_whitespace().find_map(|p| p.strip_prefix(name));
        if part("+proj=") != Some("utm") || part("+ellps=").or(part("+datum=")) != Some("WGS84") {
            return None;
        }
        let zone = part("+zone=")?.parse().ok().filter(|z| (1..=60).contains(z))?;
        let (x, y) = offset.split_once(',')?;
        let offset = (x.trim().parse().ok()?, y.trim().parse().ok()?);
        Some(Self { zone, south: projection.contains("+south"), offset })
    }

    /// Longitude and latitude of a point of the network; `None` far outside the zone.
    pub(super) fn degrees(&self, (x, y): (f64, f64)) -> Option<(f64, f64)> {
        const SCALE: f64 = 0.9996;
        const SEMI_MAJOR_M: f64 = 6_378_137.0;
        const FLATTENING: f64 = 1.0 / 298.257_223_563;
        let n = FLATTENING / (2.0 - FLATTENING);
        let (n2, n3) = (n * n, n * n * n);
        let radius = SEMI_MAJOR_M / (1.0 + n) * (1.0 + n2 / 4.0 + n2 * n2 / 64.0);
        let northing = y - self.offset.1 - if self.south { 1e7 } else { 0.0 };
        let (xi, eta) = (northing / (SCALE * radius), (x - self.offset.0 - 500_000.0) / (SCALE * radius));
        let beta = [n / 2.0 - 2.0 * n2 / 3.0 + 37.0 * n3 / 96.0, n2 / 48.0 + n3 / 15.0, 17.0 * n3 / 480.0];
        let (mut xi0, mut eta0) = (xi, eta);
        for (j, b) in [2.0, 4.0, 6.0].into_iter().zip(beta) {
            xi0 -= b * (j * xi).sin() * (j * eta).cosh();
            eta0 -= b * (j * xi).cos() * (j * eta).sinh();
        }
        let chi = (xi0.sin() / eta0.cosh()).asin();
        let delta = [2.0 * n - 2.0 * n2 / 3.0 - 2.0 * n3, 7.0 * n2 / 3.0 - 8.0 * n3 / 5.0, 56.0 * n3 / 15.0];
        let lat: f64 = [2.0, 4.0, 6.0].into_iter().zip(delta).map(|(j, d)| d * (j * chi).sin()).sum::<f64>() + chi;
        let lon = f64::from(self.zone) * 6.0 - 183.0 + eta0.sinh().atan2(xi0.cos()).to_degrees();
        let lat = lat.to_degrees();
        (lon.is_finite() && lat.is_finite() && lon.abs() <= 180.0 && lat.abs() <= 90.0).then_some((lon, lat))
    }
}
