//! A clock that the test moves; days are counted from [`NOW`], which is a midnight.

use crate::{
    CompactBudget, LakehouseError, Removed,
    store::Store,
    testing::{NOW, TestRow, append, config, frame, kept, shown, table},
};
use object_store::ObjectStoreExt;
use schemas::{Clock, ManualClock, Timestamp, ops::OpsTable, time::DAY_US};
use std::{path::Path, sync::Arc, time::Duration};

const WEEK: Duration = Duration::from_secs(7 * 86_400);

fn day(n: i64) -> Timestamp {
    Timestamp(NOW.0 + n * DAY_US)
}

async fn open(dir: &Path, clock: &Arc<ManualClock>) -> Arc<Store> {
    Store::open(config(dir), kept(2), Arc::clone(clock) as Arc<dyn Clock>).await.unwrap()
}

/// One row of each day, worth the number of the day, in files.
async fn days(store: &Store, days: std::ops::Range<u16>) {
    let rows: Vec<TestRow> = days.map(|d| (1, d * 1_440 + 60, i32::from(d))).collect();
    append(store, frame(&kept(2), &rows)).await.unwrap();
}

async fn values(store: &Arc<Store>) -> Vec<i64> {
    let mut out: Vec<i64> = shown(store).await.rows.iter().map(|r| r.3).collect();
    out.sort_unstable();
    out
}

#[tokio::test]
async fn whole_dates_go_in_one_commit_and_only_when_they_are_over() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(ManualClock::at(day(3))));
    let store = open(dir.path(), &clock).await;
    days(&store, 0..4).await;
    store.flush().await.unwrap();
    let ledger = shown(&store).await.ledger;
    assert_eq!(store.expire().await.unwrap(), [], "day 0 is refused from today on and goes tomorrow");
    clock.set(day(5));
    let gone = store.expire().await.unwrap();
    let whole = Removed { entity_id: None, rows: 2, from: NOW.date(), to: NOW.date() + 1 };
    assert_eq!((gone[0].files, gone[0].removed.as_slice()), (2, [whole].as_slice()));
    assert_eq!(gone.len(), 1, "the ledger has no contract, and stays");
    assert_eq!(values(&store).await, [2, 3]);
    assert_eq!(shown(&store).await.ledger, ledger);
    let history = store.history(&table(), None).await.unwrap();
    assert_eq!((history[0].operation.as_str(), history[0].files_removed, history[0].version), ("DELETE", 2, gone[0].version));
    assert_eq!(store.expire().await.unwrap(), [], "there is nothing left to do");
    store.compact(CompactBudget { full: true, ..CompactBudget::default() }).await.unwrap();
    days(&store, 4..6).await;
    store.flush().await.unwrap();
    assert_eq!(values(&store).await, [2, 3, 4, 5], "later commits go on from it");
}

#[tokio::test]
async fn old_versions_holds_and_running_queries_keep_their_files() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(ManualClock::at(day(3))));
    let store = open(dir.path(), &clock).await;
    days(&store, 0..4).await;
    store.flush().await.unwrap();
    let before = store.pin()[&table()].version;
    store.hold(&table(), before, "report").await.unwrap();
    clock.set(day(6));
    let running = Arc::clone(&store.pin()[&table()]);
    store.expire().await.unwrap();
    store.vacuum(WEEK).await.unwrap();
    assert_eq!(store.view_at(&table(), before).await.unwrap().row_count(), 4, "within the retention of old versions");
    clock.set(day(60));
    let there = async |path: &object_store::path::Path| store.root.store.head(path).await.is_ok();
    store.vacuum(WEEK).await.unwrap();
    for file in running.files.iter() {
        assert!(there(&file.path).await, "held, and still read");
    }
    store.release("report").unwrap();
    let old = running.files[0].path.clone();
    drop(running);
    store.vacuum(WEEK).await.unwrap();
    assert!(!there(&old).await, "nobody needs it any more");
}

#[tokio::test]
async fn a_stop_at_any_point_brings_nothing_back() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(ManualClock::at(day(3))));
    let store = open(dir.path(), &clock).await;
    days(&store, 0..4).await;
    store.flush().await.unwrap();
    // In the log and in no file when it stops.
    days(&store, 1..5).await;
    clock.set(day(5));
    store.expire().await.unwrap();
    drop(store);
    let store = open(dir.path(), &clock).await;
    assert_eq!(values(&store).await, [1, 2, 2, 3, 3, 4], "of the old dates only what was hot is there");
    assert_eq!(store.expire().await.unwrap(), [], "hot rows wait for their flush");
    store.flush().await.unwrap();
    assert_eq!(store.expire().await.unwrap()[0].rows(), 1);
    assert_eq!(values(&store).await, [2, 2, 3, 3, 4]);
    drop(store);
    let store = open(dir.path(), &clock).await;
    assert_eq!(values(&store).await, [2, 2, 3, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_go_on_meanwhile() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(ManualClock::at(day(20))));
    let store = open(dir.path(), &clock).await;
    days(&store, 0..20).await;
    store.flush().await.unwrap();
    let writing = async {
        for _ in 0..20 {
            days(&store, 19..21).await;
            store.flush().await?;
        }
        Ok::<_, LakehouseError>(())
    };
    let removing = async {
        for n in 20..24 {
            clock.set(day(n));
            store.expire().await?;
            store.compact(CompactBudget::default()).await?;
        }
        Ok::<_, LakehouseError>(())
    };
    let (written, removed) = tokio::join!(writing, removing);
    written.unwrap();
    removed.unwrap();
    let mut expected = vec![20; 20];
    // On day 23 what is older than day 20 is gone.
    store.expire().await.unwrap();
    expected.sort_unstable();
    assert_eq!(values(&store).await, expected);
    assert!(store.pin()[&OpsTable::Ledger.table()].row_count() > 0);
}

#[tokio::test]
async fn a_table_that_is_kept_for_good_is_left_alone() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(ManualClock::at(day(30_000))));
    let contracts = crate::testing::contracts(&["value"]);
    let store = Store::open(config(dir.path()), contracts.clone(), clock).await.unwrap();
    append(&store, frame(&contracts, &[(1, 0, 1)])).await.unwrap();
    store.flush().await.unwrap();
    assert_eq!(store.expire().await.unwrap(), []);
}
