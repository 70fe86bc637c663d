use super::*;
use crate::testing::{Row, batch, contracts, frame, host, table};
use proptest::prelude::*;
use schemas::{Quality, Value};

const PRODUCT: &str = "traffic_class_count";

/// Rows of few entities and instants, so that ties and more than 64 key values occur.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    let keys = (prop::option::of(prop::sample::select(vec!["PT1H", "P1D", "?"])), 0..10i64, 0..11i64);
    let values = (prop::option::of(0..5i64), prop::option::of(0..3i64));
    let rest = (
        prop::option::of((11.0..11.01, 44.0..44.01)),
        prop::sample::select(vec![Quality::Valid, Quality::Suspect, Quality::Invalid]),
        0..2u8,
    );
    let row = (0..2u8, 0..6i64, keys, values, rest).prop_map(
        |(id, at, (period, direction, class), (transits, speed), (place, quality, source))| {
            let mut row =
                Row::new(&id.to_string(), at * 1_000, 0).of_quality(quality).with("direction", direction).with("vehicle_class", class);
            row.place = place;
            row.source = format!("s{source}");
            row.fields.extend(period.map(|p| ("period", Value::Text(p.into()))));
            row.fields.extend(transits.map(|t| ("transits", Value::Int(t))));
            row.fields.extend(speed.map(|s| ("speed", Value::Float(s as f64))));
            row
        },
    );
    prop::collection::vec(row, 1..400)
}

/// Rows as frames: `sizes` in turn; position in the row too.
fn frames(mut rows: Vec<Row>, sizes: &[usize]) -> Vec<Vec<Row>> {
    let mut out = Vec::new();
    let mut sizes = sizes.iter().cycle();
    while !rows.is_empty() {
        let rest = rows.split_off((*sizes.next().unwrap()).min(rows.len()));
        rows.iter_mut().for_each(|r| r.position = out.len() as u64 + 1);
        out.push(std::mem::replace(&mut rows, rest));
    }
    out
}

fn fold(host: &mut TwinHost, frames: &[Vec<Row>]) {
    for rows in frames {
        host.apply(rows[0].position, &frame(PRODUCT, rows));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_order_and_any_repetition_of_rows_gives_the_same_twin(
        (rows, shuffled) in rows().prop_flat_map(|r| (Just(r.clone()), Just((0..r.len()).collect::<Vec<_>>()).prop_shuffle())),
        sizes in prop::collection::vec(1..40usize, 1..4),
    ) {
        let frames = frames(rows, &sizes);
        let mut live = host();
        fold(&mut live, &frames);

        let all: Vec<Row> = frames.concat();
        let mut order: Vec<Row> = shuffled.iter().map(|&i| all[i].clone()).collect();
        order.extend(all.iter().take(50).cloned());
        let mut rebuilt = host();
        for part in order.chunks(sizes[0]) {
            rebuilt.apply_rows(&table(PRODUCT), &batch(PRODUCT, part, true)).unwrap();
        }
        let (live, rebuilt) = (live.snapshot(), rebuilt.snapshot());
        prop_assert_eq!(live.diff(&rebuilt, 3), vec![]);
        prop_assert_eq!(live.digest(), rebuilt.digest());
        for (a, b) in [0, 1].map(|n| format!("urn:ngsi-ld:Thing:bologna:{n}")).iter().filter_map(|id| live.find(id).next().zip(rebuilt.find(id).next())) {
            prop_assert_eq!(a.values(), b.values());
            prop_assert_eq!(a.attributes(), b.attributes());
        }
    }

    #[test]
    fn a_saved_twin_and_the_tail_of_the_log_equal_the_whole_log(rows in rows(), cut in 0..10usize) {
        let frames = frames(rows, &[20]);
        let cut = cut.min(frames.len());
        let mut whole = host();
        fold(&mut whole, &frames);

        let mut first = host();
        fold(&mut first, &frames[..cut]);
        let mut file = Vec::new();
        first.snapshot().save(&mut file).unwrap();
        let loaded = Twin::load(contracts(), file.as_slice()).unwrap();
        prop_assert_eq!(loaded.digest(), first.snapshot().digest());
        prop_assert_eq!(loaded.position(), cut as u64);

        let mut resumed = TwinHost::resume(&loaded, Limits::default());
        fold(&mut resumed, &frames);
        prop_assert_eq!(resumed.snapshot().diff(&whole.snapshot(), 3), vec![]);
        prop_assert_eq!(resumed.snapshot().digest(), whole.snapshot().digest());
        prop_assert_eq!(resumed.position(), whole.position());
    }
}

fn level(id: &str, at: i64, level: f64) -> Row {
    Row::new(id, at, 1).at(11.3, 44.5).with("level", level)
}

#[test]
fn a_frame_is_folded_once() {
    let mut host = host();
    assert_eq!(host.apply(2, &frame("water_level", &[level("a", 10, 1.0)])).len(), 1);
    let before = host.snapshot().digest();
    assert_eq!(host.apply(2, &frame("water_level", &[level("a", 20, 2.0)])), vec![]);
    assert_eq!(host.apply(1, &frame("water_level", &[level("b", 20, 2.0)])), vec![]);
    assert_eq!((host.snapshot().digest(), host.position()), (before, 2));
}

#[test]
fn changes_tell_what_won() {
    let mut host = host();
    let first = host.apply(1, &frame("water_level", &[level("a", 10, 1.0).with("flow", 7.0)]));
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].values, vec![("level".into(), Value::Float(1.0)), ("flow".into(), Value::Float(7.0))]);
    assert_eq!(first[0].place.unwrap().lon, 11.3);
    let late = host.apply(2, &frame("water_level", &[level("a", 5, 9.0)]));
    assert_eq!(late, vec![], "an older row changes nothing");
    let wrong = host.apply(3, &frame("water_level", &[level("a", 20, 99.0).of_quality(Quality::Invalid)]));
    assert_eq!(wrong, vec![], "a figure that its owner calls wrong is not announced");
    assert_eq!(host.snapshot().find(&level("a", 0, 0.0).id).next().unwrap().values(), vec![("flow", Value::Float(7.0))]);
}

#[test]
fn a_snapshot_never_changes() {
    let mut host = host();
    host.apply(1, &frame("water_level", &(0..600).map(|i| level(&i.to_string(), 10, 1.0)).collect::<Vec<_>>()));
    let old = host.snapshot();
    let (digest, len) = (old.digest(), old.len());
    host.apply(2, &frame("water_level", &(300..900).map(|i| level(&i.to_string(), 20, 2.0).at(12.0, 45.0)).collect::<Vec<_>>()));
    assert_eq!((old.digest(), old.len()), (digest, len));
    assert_eq!(host.snapshot().len(), 900);
    assert_ne!(host.snapshot().digest(), digest);
}

#[test]
fn differences_are_named() {
    let mut host = host();
    host.apply(1, &frame("water_level", &[level("a", 10, 1.0), level("b", 10, 1.0)]));
    let old = host.snapshot();
    host.apply(2, &frame("water_level", &[level("b", 10, 2.0), level("c", 10, 1.0)]));
    let found: Vec<String> = old.diff(&host.snapshot(), 10).iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 2);
    assert!(found[0].contains("bologna:b: level is Float(1.0) (valid)") && found[0].contains("Float(2.0)"), "{found:?}");
    assert!(found[1].contains("bologna:c: missing on the left"), "{found:?}");
}

#[test]
fn entities_beyond_the_limit_are_refused_and_counted() {
    let mut host = TwinHost::new(contracts(), Limits { entities_max: 2 });
    host.apply(1, &frame("water_level", &["a", "b", "c", "a"].map(|id| level(id, 10, 1.0))));
    assert_eq!((host.snapshot().len(), host.refused()), (2, 1));
}

#[test]
fn tables_without_entities_are_left_alone() {
    let mut host = host();
    let mut foreign = frame("water_level", &[level("a", 10, 1.0)]);
    foreign.parts[0].table = TableRef::parse("bologna.nobody_declared_this").unwrap();
    assert_eq!(host.apply(1, &foreign), vec![]);
    assert_eq!((host.position(), host.snapshot().len()), (1, 0));
}

#[test]
fn rows_of_a_wrong_schema_are_an_error_that_names_the_column() {
    let rows = batch("water_level", &[level("a", 10, 1.0)], false);
    let error = host().apply_rows(&table("water_level"), &rows).unwrap_err().to_string();
    assert!(error.contains("bologna.water_level") && error.contains("'position'"), "{error}");
    assert!(host().apply_rows(&table("weather"), &batch("weather", &[], true).project(&[0]).unwrap()).is_err());
}

#[test]
fn of_too_many_key_values_the_smallest_are_kept() {
    let rows = |direction: i64| {
        (0..11).map(move |c| Row::new("1", 10, 1).with("direction", direction).with("vehicle_class", c).with("transits", 1))
    };
    let mut host = host();
    host.apply(1, &frame(PRODUCT, &(0..5).rev().flat_map(rows).collect::<Vec<_>>()));
    let id = rows(0).next().unwrap().id;
    let before = host.snapshot();
    assert_eq!(before.find(&id).next().map(|e| (e.attributes().len(), e.truncated())), Some((55, false)));
    host.apply(2, &frame(PRODUCT, &(5..10).rev().flat_map(rows).collect::<Vec<_>>()));
    let after = host.snapshot();
    let entity = after.find(&id).next().unwrap();
    assert_eq!((entity.attributes().len(), entity.truncated()), (64, true));
    let last = &entity.attributes()[63];
    assert_eq!(last.key, vec![("direction", Value::Int(5)), ("vehicle_class", Value::Int(8))]);
}

#[test]
fn many_entities_are_put_in_the_order_of_space_and_stay_the_same() {
    let lon = |i: u64| 10.0 + (i * 7_919 % 10_007) as f64 / 5_000.0;
    // Two rows an entity, so that chains are copied too.
    let rows = |range: std::ops::Range<u64>| {
        range.flat_map(move |i| [count_at(i, lon(i)), count_at(i, lon(i)).with("period", "PT1H")]).collect::<Vec<_>>()
    };
    let (mut live, mut late) = (host(), host());
    for start in (0..10_000).step_by(1_000) {
        live.apply(start + 1, &frame(PRODUCT, &rows(start..start + 1_000)));
    }
    for start in (0..10).rev().map(|k| k * 1_000) {
        let mut rows = rows(start..start + 1_000);
        rows.iter_mut().for_each(|r| r.position = start + 1);
        late.apply_rows(&table(PRODUCT), &batch(PRODUCT, &rows, true)).unwrap();
    }
    let (live, late) = (live.snapshot(), late.snapshot());
    assert_eq!(live.digest(), late.digest());
    assert_eq!(live.diff(&late, 1), vec![]);
    let cells: Vec<_> = live.all().take(4_000).map(|e| e.cell()).collect();
    assert!(cells.is_sorted(), "clustered at least once");
    for i in [0, 4_999, 9_999] {
        let id = count_at(i, 0.0).id;
        let entity = live.find(&id).next().unwrap();
        assert_eq!(entity.values(), vec![("transits", Value::Int(i as i64 + 1))]);
        assert_eq!(entity.attributes().len(), 2);
    }
}

/// One row of a keyed product.
fn count_at(i: u64, lon: f64) -> Row {
    let row = Row::new(&i.to_string(), 10, 0).at(lon, 44.5).with("direction", 1 + (i % 3) as i64).with("vehicle_class", 0);
    row.with("transits", i as i64 + 1)
}
