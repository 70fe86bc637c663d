//! LH-1 and LH-2 by random schedules against a list of rows, and the faults one by one.

use crate::{
    CompactBudget, LakehouseError, LogFault, LogStep,
    log::segment,
    testing::{NOW, Shown, TestRow, append, at, config, contracts, expected, frame, open, shown, table},
};
use futures::StreamExt;
use proptest::prelude::*;
use schemas::{Contracts, ManualClock, ops::OpsTable, row};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<TestRow>),
    Flush,
    Compact {
        full: bool,
    },
    Checkpoint,
    /// Stops with or without a last flush, and opens again.
    Reopen {
        clean: bool,
    },
    /// Loses the end of the last frame, as a power cut before its sync does; how much, in 1/256.
    Torn(Vec<TestRow>, u8),
}

fn rows() -> impl Strategy<Value = Vec<TestRow>> {
    // Three days, so that flushes have several partitions.
    prop::collection::vec((0u8..12, 0u16..4_300, -50i32..50), 1..40)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => rows().prop_map(Step::Append),
        2 => Just(Step::Flush),
        2 => any::<bool>().prop_map(|full| Step::Compact { full }),
        1 => Just(Step::Checkpoint),
        1 => any::<bool>().prop_map(|clean| Step::Reopen { clean }),
        1 => (rows(), any::<u8>()).prop_map(|(rows, cut)| Step::Torn(rows, cut)),
    ]
}

fn last_segment(dir: &Path) -> (PathBuf, u64) {
    let (_, path) = segment::list(&dir.join("log")).unwrap().pop().unwrap();
    let len = path.metadata().unwrap().len();
    (path, len)
}

/// Cuts the log somewhere in what was written after `(path, len)`. True when the frame is gone.
fn tear(dir: &Path, before: (PathBuf, u64), cut: u8) {
    let (path, end) = last_segment(dir);
    let start = if path == before.0 { before.1 } else { 0 };
    let len = start + (end - start) * u64::from(cut) / 256;
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

async fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let contracts = contracts(&["laeq"]);
    let settings = || {
        let mut c = config(dir.path());
        c.segment_bytes = 6_000;
        c.compact_files_min = 1;
        c.checkpoint_commits = 4;
        c
    };
    let mut store = open(settings(), &contracts).await.unwrap();
    let mut frames: Vec<(u64, Vec<TestRow>)> = Vec::new();
    for step in steps {
        match step {
            Step::Append(rows) => {
                let position = append(&store, frame(&contracts, &rows)).await.unwrap();
                prop_assert_eq!(position, frames.last().map_or(1, |f| f.0 + 1));
                frames.push((position, rows));
            }
            Step::Flush => {
                let flushed = store.flush().await.unwrap();
                prop_assert_eq!(flushed, frames.last().map_or(0, |f| f.0));
            }
            Step::Compact { full } => {
                store.compact(CompactBudget { full, ..CompactBudget::default() }).await.unwrap();
            }
            Step::Checkpoint => store.checkpoint().await.unwrap(),
            Step::Reopen { clean } => {
                if clean {
                    store.close().await.unwrap();
                }
                drop(store);
                store = open(settings(), &contracts).await.unwrap();
            }
            Step::Torn(rows, cut) => {
                let before = last_segment(dir.path());
                append(&store, frame(&contracts, &rows)).await.unwrap();
                drop(store);
                tear(dir.path(), before, cut);
                store = open(settings(), &contracts).await.unwrap();
            }
        }
        prop_assert_eq!(shown(&store).await, expected(&frames));
        check_statistics(&store);
    }
    Ok(())
}

/// LH-3 rests on this: no file's range is narrower than its rows.
fn check_statistics(store: &Arc<super::Store>) {
    for view in store.pin().values() {
        for file in view.files.iter() {
            let observed = file.stats.observed_at.expect("written by us");
            assert_eq!(schemas::Timestamp(observed.min).date(), file.date);
            assert_eq!(schemas::Timestamp(observed.max).date(), file.date);
            assert!(file.stats.position.is_some() && file.rows > 0 && file.size > 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_row_is_shown_exactly_once_whatever_happens(steps in prop::collection::vec(step(), 1..14)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(run(steps))?;
    }
}

fn one() -> Contracts {
    contracts(&["laeq"])
}

#[tokio::test]
async fn files_are_partitioned_sorted_and_carry_statistics() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(dir.path()), &one()).await.unwrap();
    append(&store, frame(&one(), &[(3, 10, 1), (1, 1_500, 2), (1, 20, 3), (4, 5, 4)])).await.unwrap();
    store.flush().await.unwrap();
    let view = store.pin().get(&table()).cloned().unwrap();
    assert_eq!(view.files.iter().map(|f| (f.date - NOW.date(), f.rows)).collect::<Vec<_>>(), [(0, 3), (1, 1)]);
    assert!(view.hot.is_empty());
    let first = &view.files[0].stats;
    assert_eq!(first.observed_at.map(|r| (r.min, r.max)), Some((at(5), at(20))));
    assert_eq!((first.h3_nulls, first.position.map(|r| r.max)), (Some(1), Some(1)));
    let rows = store.stored_rows(&table(), NOW.date()).await.unwrap();
    assert_eq!(rows.iter().map(|b| b.num_rows()).sum::<usize>(), 3);
    assert_eq!(
        rows[0].schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(),
        ["entity_id", "observed_at", "quality", "laeq"]
    );
    assert_eq!(store.newest(&table()).unwrap().0, at(1_500));
    // Read back from the table's own log, statistics are those that were written.
    let (files, history) = (view.files.to_vec(), store.history(&table(), None).await.unwrap());
    assert_eq!(history.iter().map(|h| (h.version, h.rows_added)).collect::<Vec<_>>(), [(1, 4), (0, 0)]);
    drop((view, store));
    let store = open(config(dir.path()), &one()).await.unwrap();
    assert_eq!(store.pin()[&table()].files.to_vec(), files);
    store.checkpoint().await.unwrap();
    drop(store);
    let store = open(config(dir.path()), &one()).await.unwrap();
    assert_eq!(store.pin()[&table()].files.to_vec(), files);
}

#[tokio::test]
async fn a_full_disk_acknowledges_nothing_and_is_survived() {
    let dir = tempfile::tempdir().unwrap();
    let full = Arc::new(AtomicBool::new(false));
    let mut settings = config(dir.path());
    let seen = Arc::clone(&full);
    settings.log_fault = Some(LogFault(Arc::new(move |step, bytes| match (step, seen.load(Ordering::SeqCst)) {
        (_, false) => Ok(bytes),
        (LogStep::Write, true) => Ok(bytes / 2),
        (LogStep::Sync, true) => Err(std::io::ErrorKind::StorageFull.into()),
    })));
    let store = open(settings, &one()).await.unwrap();
    assert_eq!(append(&store, frame(&one(), &[(1, 1, 1)])).await.unwrap(), 1);
    full.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let error = append(&store, frame(&one(), &[(2, 2, 2)])).await.unwrap_err();
        assert!(matches!(error, LakehouseError::Io { .. }), "{error}");
    }
    full.store(false, Ordering::SeqCst);
    assert_eq!(append(&store, frame(&one(), &[(3, 3, 3)])).await.unwrap(), 2);
    let frames = [(1, vec![(1, 1, 1)]), (2, vec![(3, 3, 3)])];
    assert_eq!(shown(&store).await, expected(&frames));
    assert_eq!(store.stats().log_errors, 3);
    drop(store);
    let store = open(config(dir.path()), &one()).await.unwrap();
    assert_eq!(shown(&store).await, expected(&frames));
}

#[tokio::test]
async fn damage_before_durable_frames_is_an_error_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(dir.path()), &one()).await.unwrap();
    for n in 0..3 {
        append(&store, frame(&one(), &[(n, 1, 1)])).await.unwrap();
    }
    drop(store);
    let (path, _) = last_segment(dir.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&path, bytes).unwrap();
    match open(config(dir.path()), &one()).await {
        Err(LakehouseError::Corrupt { file, offset, .. }) => assert!(file == path && offset < middle as u64),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _store = open(config(dir.path()), &one()).await.unwrap();
    assert!(matches!(open(config(dir.path()), &one()).await, Err(LakehouseError::Locked { .. })));
}

#[tokio::test]
async fn a_contract_that_gained_a_field_reads_old_rows_hot_and_stored() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(dir.path()), &one()).await.unwrap();
    append(&store, frame(&one(), &[(1, 1, 1)])).await.unwrap();
    store.flush().await.unwrap();
    append(&store, frame(&one(), &[(2, 2, 2)])).await.unwrap();
    drop(store);
    let two = contracts(&["laeq", "lamax"]);
    let store = open(config(dir.path()), &two).await.unwrap();
    append(&store, frame(&two, &[(3, 3, 3)])).await.unwrap();
    let frames = [(1, vec![(1, 1, 1)]), (2, vec![(2, 2, 2)]), (3, vec![(3, 3, 3)])];
    assert_eq!(shown(&store).await, expected(&frames));
    store.flush().await.unwrap();
    store.compact(CompactBudget { full: true, ..CompactBudget::default() }).await.unwrap();
    assert_eq!(store.pin()[&table()].files.len(), 1);
    assert_eq!(shown(&store).await, expected(&frames));
    assert!(append(&store, frame(&one(), &[(4, 4, 4)])).await.is_err(), "a frame of the old contract must be refused");
    drop(store);
    let store = open(config(dir.path()), &two).await.unwrap();
    assert_eq!(shown(&store).await, expected(&frames));
}

#[tokio::test]
async fn vacuum_spares_held_versions_and_views_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(NOW));
    let store = super::Store::open(config(dir.path()), one(), Arc::clone(&clock) as _).await.unwrap();
    let mut frames = Vec::new();
    for n in 1..=3u8 {
        append(&store, frame(&one(), &[(n, 1, 1)])).await.unwrap();
        frames.push((u64::from(n), vec![(n, 1u16, 1i32)]));
        store.flush().await.unwrap();
    }
    store.hold(&table(), 2, "receipt/1").await.unwrap();
    let pinned = store.pin();
    store.compact(CompactBudget { full: true, ..CompactBudget::default() }).await.unwrap();
    clock.advance_us(3_600_000_000);
    assert_eq!(store.vacuum(Duration::from_secs(7_200)).await.unwrap().files_deleted, 0, "within the retention");
    assert_eq!(store.vacuum(Duration::ZERO).await.unwrap().files_deleted, 0, "pinned");
    drop(pinned);
    let deleted = store.vacuum(Duration::ZERO).await.unwrap().files_deleted;
    // Version 2 holds the first two of three files of the level table; the three of the ledger go.
    assert_eq!(deleted, 1 + 3);
    let old = store.view_at(&table(), 2).await.unwrap();
    assert_eq!((old.row_count(), old.files.len(), old.hot.len()), (2, 2, 0));
    drop(old);
    store.release("receipt/1").unwrap();
    assert_eq!(store.vacuum(Duration::ZERO).await.unwrap().files_deleted, 2);
    assert_eq!(shown(&store).await, expected(&frames));
    assert!(store.view_at(&table(), 99).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_under_load_opens_with_all_it_promises() {
    let dir = tempfile::tempdir().unwrap();
    let dest = tempfile::tempdir().unwrap();
    let store = open(config(dir.path()), &one()).await.unwrap();
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for n in 0..200u16 {
                append(&store, frame(&one(), &[((n % 50) as u8, n, 1)])).await.unwrap();
            }
        })
    };
    let mut subscription = store.subscribe();
    subscription.next().await.unwrap();
    drop(subscription);
    let report = store.backup(dest.path().to_owned()).await.unwrap();
    writer.await.unwrap();
    let copy = open(config(dest.path()), &one()).await.unwrap();
    let restored = shown(&copy).await;
    assert!(restored.rows.len() as u64 >= report.position, "{} < {}", restored.rows.len(), report.position);
    let all = shown(&store).await;
    assert_eq!(restored.rows[..], all.rows[..restored.rows.len()]);
    assert_eq!(restored.ledger.values().sum::<i64>(), restored.rows.len() as i64);
    // The copy goes on where it stopped.
    let next = append(&copy, frame(&one(), &[(1, 1, 1)])).await.unwrap();
    assert_eq!(next, restored.rows.len() as u64 + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_get_every_frame_in_order_and_hold_the_log_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = config(dir.path());
    settings.subscriber_frames_max = 2;
    settings.queue_frames_max = 2;
    let store = open(settings, &one()).await.unwrap();
    append(&store, frame(&one(), &[(0, 0, 0)])).await.unwrap();
    let mut subscription = store.subscribe();
    assert_eq!(subscription.after, 1);
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut tickets = Vec::new();
            for n in 0..50 {
                tickets.push(store.append(frame(&one(), &[(n, 1, 1)])).await.unwrap());
            }
            futures::future::try_join_all(tickets).await.unwrap()
        })
    };
    let mut positions = Vec::new();
    while positions.len() < 50 {
        positions.push(subscription.next().await.unwrap().0);
    }
    assert_eq!(positions, (2..=51).collect::<Vec<_>>());
    assert_eq!(writer.await.unwrap(), positions);
    // An unread subscription must not keep the store from stopping.
    for n in 0..2 {
        append(&store, frame(&one(), &[(n, 1, 1)])).await.unwrap();
    }
    let pending = store.append(frame(&one(), &[(9, 1, 1)])).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(pending.await.unwrap(), 54);
    assert!(matches!(store.append(frame(&one(), &[(9, 1, 1)])).await, Err(LakehouseError::Closed)));
}

#[tokio::test]
async fn the_tail_is_what_a_projection_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(dir.path()), &one()).await.unwrap();
    for n in 0..6u8 {
        append(&store, frame(&one(), &[(n, u16::from(n), 1)])).await.unwrap();
        if n == 2 || n == 4 {
            store.flush().await.unwrap();
        }
    }
    store.compact(CompactBudget { full: true, ..CompactBudget::default() }).await.unwrap();
    let (position, tail) = store.tail(2);
    assert_eq!(position, 6);
    let rows: usize = tail
        .filter_map(|r| async move { r.ok().filter(|(t, _)| t == &table()) })
        .map(|(_, b)| {
            let positions = b.column_by_name(row::POSITION).unwrap().clone();
            assert!(arrow_array::cast::AsArray::as_primitive::<arrow_array::types::Int64Type>(&positions).values().iter().all(|p| *p > 2));
            b.num_rows()
        })
        .fold(0, |a, n| async move { a + n })
        .await;
    assert_eq!(rows, 4);
}

#[tokio::test]
async fn an_empty_store_shows_its_declared_tables() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = config(dir.path());
    settings.tables = vec![table()];
    let store = open(settings, &one()).await.unwrap();
    let views = store.pin();
    assert!(views.contains_key(&table()) && views.contains_key(&OpsTable::Ledger.table()));
    assert_eq!(shown(&store).await, Shown::default());
    assert_eq!(store.flush().await.unwrap(), 0);
    assert_eq!(store.newest(&table()), None);
}
