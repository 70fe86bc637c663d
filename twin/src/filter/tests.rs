use super::*;
use crate::testing::{Row, batch, contracts, lights, table, twin};
use proptest::prelude::*;
use schemas::Position;

/// Clusters around a few places (one at the antimeridian, one at a pole) and points all over.
fn places() -> impl Strategy<Value = Vec<(f64, f64)>> {
    let near = |lon: f64, lat: f64| {
        (-0.5..0.5f64, -0.5..0.5f64).prop_map(move |(x, y)| ((lon + x + 540.0).rem_euclid(360.0) - 180.0, (lat + y).clamp(-90.0, 90.0)))
    };
    let one = prop_oneof![near(11.3, 44.5), near(180.0, -17.0), near(30.0, 89.8), (-180.0..=180.0f64, -90.0..=90.0f64)];
    prop::collection::vec(one, 0..700)
}

fn ids(page: &Page<'_>) -> Vec<String> {
    let mut ids: Vec<String> = page.entities.iter().map(|e| e.id().to_owned()).collect();
    ids.sort();
    ids
}

fn expected(twin: &Twin, inside: impl Fn(Position) -> bool) -> Vec<String> {
    let mut ids: Vec<String> = twin.all().filter(|e| e.place().is_some_and(&inside)).map(|e| e.id().to_owned()).collect();
    ids.sort();
    ids
}

fn wanted(set: impl FnOnce(&mut Filter)) -> Filter {
    let mut filter = Filter::all(Tenants::All, PAGE_MAX);
    set(&mut filter);
    filter
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn areas_find_what_a_look_at_every_entity_finds(
        places in places(), w in -180.0..180.0f64, e in -180.0..180.0f64, s in -90.0..0.0f64, n in 0.0..90.0f64,
        center in prop::sample::select(vec![(11.3, 44.5), (179.9, -17.0), (-120.0, 89.9), (11.0, 44.0)]), radius in 1_000.0..800_000.0f64,
    ) {
        let twin = lights(&places);
        let bbox = wanted(|f| f.bbox = Some(BBox::new([w, s, e, n]).unwrap()));
        let in_box = |p: Position| (s..=n).contains(&p.lat) && if w <= e { (w..=e).contains(&p.lon) } else { p.lon >= w || p.lon <= e };
        prop_assert_eq!(ids(&twin.entities(&bbox)), expected(&twin, in_box));

        let center = Position { lon: center.0, lat: center.1 };
        let near = wanted(|f| f.near = Some(Near::new(center, radius).unwrap()));
        prop_assert_eq!(ids(&twin.entities(&near)), expected(&twin, |p| center.distance_m(p) <= radius));

        // A triangle past the antimeridian, by the three half-planes of its edges.
        let corners = [[170.0, -40.0], [200.0, -30.0], [180.0, 20.0]];
        let polygon = wanted(|f| f.polygon = Some(Polygon::new(&[corners.to_vec()]).unwrap()));
        let left = |a: [f64; 2], b: [f64; 2], p: [f64; 2]| (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]) > 0.0;
        let in_triangle = |p: Position| {
            let p = [if p.lon < 0.0 { p.lon + 360.0 } else { p.lon }, p.lat];
            (0..3).all(|i| left(corners[i], corners[(i + 1) % 3], p))
        };
        prop_assert_eq!(ids(&twin.entities(&polygon)), expected(&twin, in_triangle));
    }

    #[test]
    fn pages_put_together_are_the_whole(places in places(), limit in 1..200usize) {
        let mut rows: Vec<Row> = places.iter().enumerate().map(|(i, p)| Row::new(&i.to_string(), 10, 1).at(p.0, p.1)).collect();
        rows.extend((0..20).map(|i| Row::new(&format!("nowhere-{i}"), 10, 1)));
        // Many in one cell, so that pages end among them.
        rows.extend((0..50).map(|i| Row::new(&format!("same-{i}"), 10, 1).at(11.3, 44.5)));
        let tables = ["street_light", "water_level"].map(|name| (table(name), batch(name, &rows, true)));
        let twin = Twin::from_rows(contracts(), tables).unwrap();
        let mut filter = Filter::all(Tenants::All, limit);
        let mut seen = Vec::new();
        loop {
            let page = twin.entities(&filter);
            prop_assert!(page.entities.len() <= limit);
            seen.extend(page.entities.iter().map(|e| (e.table().clone(), e.id())));
            let Some(next) = page.next else { break };
            filter.after = Some(next.to_string().parse().unwrap());
        }
        let whole: Vec<_> = twin.entities(&Filter::all(Tenants::All, PAGE_MAX)).entities.iter().map(|e| (e.table().clone(), e.id())).collect();
        prop_assert_eq!(whole.len(), rows.len() * 2);
        prop_assert_eq!(seen, whole);
    }
}

#[test]
fn filters_by_tenant_product_type_and_freshness() {
    let rows = [Row::new("1", 0, 1), Row::new("2", 3_600_000_000, 1)];
    let other = TableRef::parse("imola.water_level").unwrap();
    let tables = [
        (table("water_level"), batch("water_level", &rows, true)),
        (table("weather"), batch("weather", &rows, true)),
        (other, batch("water_level", &rows, true)),
    ];
    let twin = Twin::from_rows(contracts(), tables).unwrap();
    let count = |set: &dyn Fn(&mut Filter)| twin.entities(&wanted(set)).entities.len();
    assert_eq!(count(&|_| {}), 6);
    assert_eq!(count(&|f| f.tenants = Tenants::Only(vec![Tenant::new("imola").unwrap()])), 2);
    assert_eq!(count(&|f| f.tenants = Tenants::Only(vec![])), 0);
    assert_eq!(count(&|f| f.products = vec![ProductId::new("weather").unwrap()]), 2);
    assert_eq!(
        count(&|f| f.entity_type = Some(twin.contracts().get(&ProductId::new("water_level").unwrap()).unwrap().entity_type.clone())),
        4
    );
    assert_eq!(count(&|f| f.freshness = Some((Freshness::Fresh, Timestamp(3_600_000_000)))), 3);
    // Four cadences of water levels have passed, and six of weather.
    assert_eq!(count(&|f| f.freshness = Some((Freshness::Due, Timestamp(3_600_000_000)))), 2);
    assert_eq!(count(&|f| f.freshness = Some((Freshness::Overdue, Timestamp(3_600_000_000)))), 1);
}

#[test]
fn an_area_leaves_out_entities_without_a_place() {
    let twin = twin("water_level", &[Row::new("1", 0, 1), Row::new("2", 0, 1).at(11.0, 44.0)]);
    let world = wanted(|f| f.bbox = Some(BBox::new([-180.0, -90.0, 180.0, 90.0]).unwrap()));
    assert_eq!(ids(&twin.entities(&world)).len(), 1);
}

#[test]
fn a_cursor_that_was_changed_is_refused() {
    for bad in ["", "x", "bologna.weather", "bologna.weather/zz/a", "nodot/1f/a"] {
        assert!(bad.parse::<Cursor>().is_err(), "{bad}");
    }
}
