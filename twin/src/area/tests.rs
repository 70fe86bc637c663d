use super::*;
use geo::Contains as _;
use proptest::prelude::*;

fn points() -> impl Strategy<Value = Vec<[f64; 2]>> {
    prop::collection::vec((-180.0..180.0, -89.0..89.0f64).prop_map(|(x, y)| [x, y]), 3..40)
}

proptest! {
    #[test]
    fn a_polygon_contains_what_geo_says(ring in points(), probes in points()) {
        // Star-shaped around the mean, so that it does not cross itself (which geo calls invalid).
        let n = ring.len() as f64;
        let c = ring.iter().fold([0.0, 0.0], |c, p| [c[0] + p[0] / n, c[1] + p[1] / n]);
        let mut ring = ring;
        ring.sort_by(|a, b| (a[1] - c[1]).atan2(a[0] - c[0]).total_cmp(&(b[1] - c[1]).atan2(b[0] - c[0])));
        let own = Polygon::new(&[ring.clone()]).unwrap();
        let geo = geo::Polygon::new(geo::LineString::from(ring.iter().map(|p| (p[0], p[1])).collect::<Vec<_>>()), vec![]);
        for p in probes {
            prop_assert_eq!(own.contains(p[0], p[1]), geo.contains(&geo::Point::new(p[0], p[1])), "{:?}", p);
        }
    }

    #[test]
    fn the_box_around_a_circle_holds_it(lon in -180.0..180.0f64, lat in -90.0..90.0f64, radius in 1.0..900_000.0f64, bearing in 0.0..360.0f64) {
        let near = Near::new(Position { lon, lat }, radius).unwrap();
        // The point at the circle's edge in that direction.
        let (d, t, p) = (radius / 6_371_008.8, bearing.to_radians(), lat.to_radians());
        let lat2 = (p.sin() * d.cos() + p.cos() * d.sin() * t.cos()).asin();
        let dlon = (t.sin() * d.sin() * p.cos()).atan2(d.cos() - p.sin() * lat2.sin());
        let lon2 = (lon + dlon.to_degrees() + 540.0).rem_euclid(360.0) - 180.0;
        prop_assert!(near.bounds().contains(lon2, lat2.to_degrees()));
    }
}

#[test]
fn a_box_crosses_the_antimeridian() {
    let fiji = BBox::new([177.0, -20.0, -178.0, -15.0]).unwrap();
    assert!(fiji.contains(179.0, -17.0) && fiji.contains(-179.0, -17.0) && fiji.contains(-180.0, -17.0));
    assert!(!fiji.contains(176.0, -17.0) && !fiji.contains(-177.0, -17.0) && !fiji.contains(0.0, -17.0));
    assert!(fiji.meets(&BBox::unwrapped(-179.5, -18.0, -179.0, -17.0)));
    assert!(!fiji.meets(&BBox::unwrapped(-170.0, -18.0, 170.0, -17.0)));
}

#[test]
fn a_polygon_may_run_past_the_antimeridian_and_have_holes() {
    let square = |w: f64, e: f64, d: f64| vec![[w, -d], [e, -d], [e, d], [w, d]];
    let p = Polygon::new(&[square(170.0, 190.0, 10.0), square(178.0, 182.0, 2.0)]).unwrap();
    assert!(p.contains(-175.0, 0.0) && p.contains(175.0, 5.0) && p.contains(180.0, 5.0));
    assert!(!p.contains(180.0, 0.0) && !p.contains(-179.0, 0.0) && !p.contains(0.0, 0.0));
}

#[test]
fn areas_off_the_globe_are_refused() {
    assert!(BBox::new([0.0, 10.0, 1.0, 9.0]).is_err());
    assert!(BBox::new([f64::NAN, 0.0, 1.0, 1.0]).is_err());
    assert!(BBox::new([0.0, f64::NAN, 1.0, 1.0]).is_err());
    assert!(Polygon::new(&[]).is_err());
    assert!(Polygon::new(&[vec![[0.0, 0.0], [1.0, 1.0]]]).is_err());
    assert!(Polygon::new(&[vec![[0.0, 0.0], [1.0, 1.0], [0.0, f64::NAN]]]).is_err());
    assert!(Polygon::new(&[vec![[0.0, 0.0]; 30_000]]).is_err());
    assert!(Near::new(Position { lon: 0.0, lat: 0.0 }, -1.0).is_err());
    assert!(Near::new(Position { lon: 0.0, lat: 0.0 }, f64::NAN).is_err());
}
