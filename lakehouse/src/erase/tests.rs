//! Rows of sensor 1 go, those of others stay, in files, hot and after a restart. Days are counted from [`NOW`], a midnight.

use super::*;
use crate::{
    CompactBudget,
    testing::{NOW, TestRow, append, config, frame, kept, shown, table},
};
use schemas::{Clock, ManualClock};
use std::path::Path;

const SENSOR_1: &str = "urn:ngsi-ld:L:bologna:1";

async fn open(dir: &Path) -> Arc<Store> {
    Store::open(config(dir), kept(1_000), Arc::new(ManualClock::at(NOW)) as Arc<dyn Clock>).await.unwrap()
}

/// Of each day one row of sensors 1 and 2, worth the number of the day.
async fn days(store: &Store, days: std::ops::Range<u16>) {
    let rows: Vec<TestRow> = days.flat_map(|d| [1, 2].map(|s| (s, d * 1_440 + 60, i32::from(d)))).collect();
    append(store, frame(&kept(1_000), &rows)).await.unwrap();
}

async fn values(store: &Arc<Store>, sensor: u8) -> Vec<i64> {
    let id = format!("urn:ngsi-ld:L:bologna:{sensor}");
    let mut out: Vec<i64> = shown(store).await.rows.iter().filter(|r| r.1 == id).map(|r| r.3).collect();
    out.sort_unstable();
    out
}

fn order(days: i32) -> Vec<Erase> {
    vec![Erase { entity_id: SENSOR_1.into(), before: NOW.date() + days }]
}

#[tokio::test]
async fn rows_of_one_entity_go_in_one_commit_and_stay_away() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    days(&store, 0..4).await;
    store.flush().await.unwrap();
    let version = store.pin()[&table()].version;
    days(&store, 1..2).await;
    let gone = store.erase_now(&table(), &order(3)).await.unwrap().unwrap();
    let expected = Removed { entity_id: Some(SENSOR_1.into()), rows: 3, from: NOW.date(), to: NOW.date() + 2 };
    assert_eq!((gone.version, gone.files, gone.removed.as_slice()), (version + 1, 3, [expected].as_slice()));
    assert_eq!(values(&store, 1).await, [1, 3], "the hot row waits for its flush");
    assert_eq!(values(&store, 2).await, [0, 1, 1, 2, 3]);
    assert_eq!(store.erase_now(&table(), &order(3)).await.unwrap(), None, "there is nothing left to do");
    store.flush().await.unwrap();
    assert_eq!(store.erase_now(&table(), &order(3)).await.unwrap().unwrap().rows(), 1);
    store.compact(CompactBudget { full: true, ..CompactBudget::default() }).await.unwrap();
    drop(store);
    let store = open(dir.path()).await;
    assert_eq!((values(&store, 1).await, values(&store, 2).await), (vec![3], vec![0, 1, 1, 2, 3]));
    assert_eq!(store.view_at(&table(), version).await.unwrap().row_count(), 8, "old versions are read until vacuum");
}

#[tokio::test]
async fn the_commit_says_what_it_removed_to_whoever_asks_later() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    days(&store, 0..2).await;
    store.flush().await.unwrap();
    let gone = store.erase_now(&table(), &order(1)).await.unwrap().unwrap();
    days(&store, 5..6).await;
    store.flush().await.unwrap();
    drop(store);
    let history = open(dir.path()).await.history(&table(), Some(5)).await.unwrap();
    let found = history.iter().find(|c| c.operation == "DELETE").unwrap();
    assert_eq!((found.version, &found.removed, found.files_removed), (gone.version, &gone.removed, 1));
    assert!(history.iter().filter(|c| c.version != gone.version).all(|c| c.removed.is_empty()));
}

#[tokio::test]
async fn a_file_of_which_nothing_is_left_goes_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    append(&store, frame(&kept(1_000), &[(1, 60, 7), (1, 120, 8)])).await.unwrap();
    store.flush().await.unwrap();
    assert_eq!(store.erase_now(&table(), &order(1)).await.unwrap().unwrap().rows(), 2);
    assert_eq!((store.pin()[&table()].files.len(), values(&store, 1).await), (0, vec![]));
}
