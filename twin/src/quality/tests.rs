use super::*;

const HOUR: i64 = 3_600;

fn day(vehicles: impl Fn(i64) -> i64) -> Vec<Counted> {
    let hour = |h: i64| Counted {
        observed_at: Timestamp(h * HOUR * SECOND_US),
        period_secs: HOUR,
        vehicles: vehicles(h),
        speed: Some(40.0),
        // Vehicles that cover 6 m each.
        occupancy: Some(vehicles(h) as f64 * 6.0 / 40_000.0 * 100.0),
    };
    (0..24).map(hour).collect()
}

#[test]
fn a_day_of_traffic_is_good_and_a_quiet_night_is_no_fault() {
    let q = day_quality(&mut day(|h| if h < 6 { 0 } else { 300 }), 24 * HOUR).unwrap();
    assert_eq!(q, DayQuality { expected: 24, present: 24, zero_run: 6, implausible: 0, vehicles: 5_400, state: "good" });
}

#[test]
fn half_a_day_of_zeros_is_stuck_unless_there_is_a_gap_between() {
    let zeros = |h: i64| if (5..17).contains(&h) { 0 } else { 300 };
    assert_eq!(day_quality(&mut day(zeros), 24 * HOUR).unwrap().state, "stuck_zero");
    let mut gap = day(zeros);
    gap.remove(10);
    let q = day_quality(&mut gap, 24 * HOUR).unwrap();
    assert_eq!((q.state, q.zero_run), ("good", 6));
}

#[test]
fn missing_intervals_are_gaps_and_the_day_of_25_hours_expects_25() {
    let mut few = day(|_| 300);
    few.truncate(20);
    let q = day_quality(&mut few, 24 * HOUR).unwrap();
    assert_eq!((q.state, q.expected, q.present), ("gaps", 24, 20));
    assert_eq!(day_quality(&mut day(|_| 300), 25 * HOUR).unwrap().expected, 25);
    assert_eq!(day_quality(&mut Vec::new(), 24 * HOUR), None);
}

#[test]
fn figures_that_contradict_each_other_are_implausible() {
    let good = day(|_| 600)[0];
    assert!(!is_implausible(&good));
    for bad in [
        Counted { vehicles: 20_000, ..good },
        Counted { speed: Some(0.0), ..good },
        // 600 vehicles at 40 km/h cannot cover the loop all the time.
        Counted { occupancy: Some(100.0), vehicles: 20, ..good },
        Counted { occupancy: Some(0.0), ..good },
        Counted { vehicles: 0, speed: None, occupancy: Some(99.0), ..good },
    ] {
        assert!(is_implausible(&bad), "{bad:?}");
    }
    assert!(!is_implausible(&Counted { vehicles: 0, speed: None, occupancy: Some(0.0), ..good }));
    let mut often = day(|_| 600);
    often.iter_mut().take(5).for_each(|c| c.speed = Some(0.0));
    assert_eq!(day_quality(&mut often, 24 * HOUR).unwrap().state, "implausible");
}

#[test]
fn an_interval_that_came_twice_or_has_another_length_does_not_count_twice() {
    let mut all = day(|_| 300);
    all.push(all[3]);
    all.push(Counted { period_secs: 24 * HOUR, vehicles: 7_200, ..all[0] });
    let q = day_quality(&mut all, 24 * HOUR).unwrap();
    assert_eq!((q.present, q.vehicles), (24, 7_200));
}
