use super::*;
use crate::testing::{lights, product};
use proptest::prelude::*;
use schemas::Position;

fn request(resolution: Resolution, bbox: Option<BBox>) -> AggregateRequest {
    AggregateRequest { tenants: Tenants::All, product: product("street_light"), field: Some("power".into()), resolution, bbox }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn aggregates_equal_a_grouping_of_all_points(
        places in prop::collection::vec((11.2..11.4f64, 44.4..44.6f64), 1..600), r in 3..=12u8, w in 11.2..11.3f64, s in 44.4..44.5f64,
    ) {
        let twin = lights(&places);
        let resolution = Resolution::try_from(r).unwrap();
        let area = BBox::new([w, s, w + 0.05, s + 0.05]).unwrap();
        let mut groups: BTreeMap<Cell, (bool, Vec<f64>)> = BTreeMap::new();
        for (i, &(lon, lat)) in places.iter().enumerate() {
            let cell = Position { lon, lat }.cell().parent(resolution).unwrap();
            let group = groups.entry(cell).or_default();
            group.0 |= area.contains(lon, lat);
            group.1.push(i as f64);
        }
        let check = |found: Vec<CellAggregate>, expected: Vec<(&Cell, &Vec<f64>)>| {
            prop_assert_eq!(found.len(), expected.len());
            for (a, (cell, values)) in found.iter().zip(expected) {
                let min = values.iter().copied().fold(f64::INFINITY, f64::min);
                let max = values.iter().copied().fold(0.0, f64::max);
                prop_assert_eq!((a.cell, a.n, a.min, a.max), (*cell, values.len() as u64, min, max));
                prop_assert!((a.mean - values.iter().sum::<f64>() / values.len() as f64).abs() < 1e-9);
            }
            Ok(())
        };
        check(twin.h3_aggregates(&request(resolution, None)).unwrap(), groups.iter().map(|(c, g)| (c, &g.1)).collect())?;
        let inside = groups.iter().filter(|(_, g)| g.0).map(|(c, g)| (c, &g.1)).collect();
        check(twin.h3_aggregates(&request(resolution, Some(area))).unwrap(), inside)?;
    }
}

#[test]
fn what_cannot_be_aggregated_is_refused_with_the_choices() {
    let twin = lights(&[(11.3, 44.5)]);
    assert!(twin.h3_aggregates(&request(Resolution::Thirteen, None)).is_err());
    let unknown = AggregateRequest { field: Some("pwer".into()), ..request(Resolution::Seven, None) };
    let error = twin.h3_aggregates(&unknown).unwrap_err().to_string();
    assert!(error.contains("'pwer'") && error.contains("power"), "{error}");
    let unknown = AggregateRequest { product: product("nothing"), ..request(Resolution::Seven, None) };
    assert!(twin.h3_aggregates(&unknown).is_err());
}
