use super::*;
use crate::testing::{Row, table, twin};

const HOUR: i64 = 3_600 * SECOND_US;

/// A day of hourly rows that ended at `last` (hours).
fn day(last: i64, mean: f64, distinct: u64) -> Day {
    Day { instants: 24, first: Timestamp((last - 23) * HOUR), last: Timestamp(last * HOUR), values: 24, distinct, mean: Some(mean) }
}

/// Air stations 300 m apart, hourly; the newest row of each at hour 100.
fn stations(n: usize) -> Twin {
    let row = |i: usize| {
        Row::new(&i.to_string(), 100 * HOUR, 1).at(11.34 + 0.003 * (i % 4) as f64, 44.49 + 0.003 * (i / 4) as f64).with("no2", 40.0)
    };
    twin("air_quality", &(0..n).map(row).collect::<Vec<_>>())
}

fn days(means: &[f64], distinct: impl Fn(usize) -> u64) -> HashMap<String, Day> {
    means.iter().enumerate().map(|(i, m)| (format!("urn:ngsi-ld:Thing:bologna:{i}"), day(100, *m, distinct(i)))).collect()
}

fn states(twin: &Twin, product: &str, days: &HashMap<String, Day>, hour: i64) -> Vec<String> {
    twin.health(&table(product), days, Timestamp(hour * HOUR)).iter().map(Health::state).collect()
}

#[test]
fn a_station_far_from_its_neighbours_drifts_and_the_others_do_not() {
    let city = stations(9);
    let means = [40.0, 42.0, 39.0, 41.0, 38.0, 43.0, 40.5, 41.5, 95.0];
    let found = states(&city, "air_quality", &days(&means, |_| 20), 100);
    assert_eq!(found, ["ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "drifting"]);
    // Neighbours that agree to the last digit do not blame one that differs by one per cent.
    let means = [40.0, 40.0, 40.0, 40.0, 40.0, 40.0, 40.0, 40.0, 40.4];
    assert!(states(&city, "air_quality", &days(&means, |_| 20), 100).iter().all(|s| s == "ok"));
    // Four neighbours are too few to say anything.
    let few = stations(5);
    assert!(
        few.health(&table("air_quality"), &days(&[1.0, 1.0, 1.0, 1.0, 900.0], |_| 20), Timestamp(100 * HOUR))
            .iter()
            .all(|h| h.deviation.is_none())
    );
}

#[test]
fn one_value_all_day_is_stuck_only_where_values_move_and_are_not_zero() {
    let city = stations(4);
    let stuck = |means: &[f64], same: &[usize]| states(&city, "air_quality", &days(means, |i| if same.contains(&i) { 1 } else { 20 }), 100);
    assert_eq!(stuck(&[40.0; 4], &[2]), ["ok", "ok", "stuck", "ok"]);
    assert_eq!(stuck(&[40.0, 40.0, 0.0, 40.0], &[2]), ["ok", "ok", "ok", "ok"]);
    assert_eq!(stuck(&[40.0; 4], &[0, 1, 2]), ["ok", "ok", "ok", "ok"], "when most stand still, standing still is normal");
}

#[test]
fn silence_and_gaps_follow_the_cadence_of_the_contract() {
    let city = stations(1);
    let at = |hour| states(&city, "air_quality", &days(&[40.0], |_| 20), hour);
    assert_eq!((at(104), at(105)), (vec!["ok".to_owned()], vec!["silent".to_owned()]));
    let mut all = days(&[40.0], |_| 20);
    let gappy = |instants| Day { instants, ..day(100, 40.0, 20) };
    let mut with = |instants| {
        all.insert("urn:ngsi-ld:Thing:bologna:0".into(), gappy(instants));
        let health = city.health(&table("air_quality"), &all, Timestamp(100 * HOUR)).remove(0);
        (health.missing_rows, health.state())
    };
    assert_eq!(with(22), (2, "ok".to_owned()));
    assert_eq!(with(20), (4, "gaps".to_owned()));
    assert_eq!(with(200), (0, "ok".to_owned()), "more often than promised is no trouble");
    // Silent for so long that the day holds nothing of it.
    assert_eq!(states(&city, "air_quality", &HashMap::new(), 200), ["silent"]);
}

#[test]
fn a_low_battery_is_told_with_its_charge() {
    let bins = twin(
        "waste_container",
        &[Row::new("a", 0, 1).with("battery", 12.0), Row::new("b", 0, 1).with("battery", 80.0), Row::new("c", 0, 1).with("fill", 5.0)],
    );
    let found = bins.health(&table("waste_container"), &HashMap::new(), Timestamp(0));
    let said: Vec<_> = found.iter().map(|h| (h.state(), h.severity(), h.charge)).collect();
    assert_eq!(said, [("battery_low".into(), 1, Some(12.0)), ("ok".into(), 0, Some(80.0)), ("ok".into(), 0, None)]);
    assert!(bins.health(&table("noise"), &HashMap::new(), Timestamp(0)).is_empty());
}

#[test]
fn the_worst_trouble_gives_the_severity() {
    let bins = twin("waste_container", &[Row::new("a", 0, 1).with("battery", 12.0)]);
    let health = bins.health(&table("waste_container"), &HashMap::new(), Timestamp(1_000 * HOUR)).remove(0);
    assert_eq!((health.state(), health.severity(), health.silent_secs), ("silent,battery_low".to_owned(), 3, 3_600_000));
}
