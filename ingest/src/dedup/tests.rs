use super::*;
use schemas::time::DAY_US;

fn row(series: u64, content: u32) -> RowHash {
    RowHash { series, content }
}

#[test]
fn recent_rows_are_decided_without_the_lake() {
    let mut dedup = Dedup::new(100, 1 << 20);
    dedup.open(0, None);
    for at in [50, 10, 40, 20] {
        assert_eq!(dedup.judge(0, row(1, 7), Timestamp(at)), Some(Verdict::New));
    }
    assert_eq!(dedup.judge(0, row(1, 7), Timestamp(20)), Some(Verdict::Duplicate));
    assert_eq!(dedup.judge(0, row(1, 8), Timestamp(20)), Some(Verdict::Conflict));
    assert_eq!(dedup.judge(0, row(2, 7), Timestamp(20)), Some(Verdict::New), "another series");
    // A fifth row pushes the oldest out: at and below it only the day can tell.
    assert_eq!(dedup.judge(0, row(1, 7), Timestamp(30)), Some(Verdict::New));
    assert_eq!(dedup.judge(0, row(1, 7), Timestamp(10)), None);
    assert_eq!(dedup.judge(0, row(1, 7), Timestamp(15)), Some(Verdict::New), "above the floor of 10");
    assert_eq!(dedup.judge(0, row(1, 7), Timestamp(15)), None, "it became the floor itself");
}

#[test]
fn rows_of_an_earlier_life_need_their_day() {
    let mut dedup = Dedup::new(100, 1 << 20);
    dedup.open(0, Some(Timestamp(100)));
    assert_eq!(dedup.judge(0, row(1, 7), Timestamp(101)), Some(Verdict::New));
    assert_eq!(dedup.judge(0, row(1, 7), Timestamp(100)), None);
    dedup.load_day(0, 0, [(row(1, 7).identity(100), 7)]);
    assert_eq!(dedup.settle(0, row(1, 7), Timestamp(100), None), Verdict::Duplicate);
    assert_eq!(dedup.settle(0, row(1, 9), Timestamp(100), None), Verdict::Conflict);
    assert_eq!(dedup.settle(0, row(1, 7), Timestamp(99), None), Verdict::New);
    assert_eq!(dedup.settle(0, row(1, 7), Timestamp(99), None), Verdict::Duplicate, "the day is kept up to date");
}

#[test]
fn a_full_memory_of_series_raises_the_floor_and_forgets_nothing_wrongly() {
    let mut dedup = Dedup::new(2, 1 << 20);
    dedup.open(0, None);
    for series in 0..3 {
        assert_eq!(dedup.judge(0, row(series, 7), Timestamp(50 + series as i64)), Some(Verdict::New));
    }
    assert_eq!(dedup.judge(0, row(0, 7), Timestamp(50)), None, "never taken for new");
}

#[test]
fn days_are_evicted_by_last_use_and_never_the_only_one() {
    let mut dedup = Dedup::new(100, 1);
    dedup.open(0, Some(Timestamp(i64::MAX)));
    dedup.load_day(0, 0, [(1, 1)]);
    dedup.evict();
    dedup.load_day(0, 1, [(2, 2)]);
    dedup.settle(0, row(1, 7), Timestamp(5), None);
    dedup.evict();
    assert!(dedup.has_day(0, 0) ^ dedup.has_day(0, 1));
    dedup.load_day(0, 2, [(3, 3)]);
    dedup.settle(0, row(1, 7), Timestamp(2 * DAY_US), None);
    dedup.evict();
    assert!(dedup.has_day(0, 2) && !dedup.has_day(0, 0) && !dedup.has_day(0, 1));
}
