//! Tells new rows from rows delivered again (ING-3), exactly, across restarts, without keeping all history in memory.
//!
//! # What is remembered
//! A *series* is an entity with its key values and its set of fields with a value; within it the instant identifies a row.
//! - Per series: a `floor` and the newest rows above it (instant and content hash). **All** rows of the series above the floor are there,
//!   so a row above the floor is decided from them alone. When one falls out, the floor rises to it.
//! - Per table: the floor that a series starts with. It is the newest instant stored when the table was first used:
//!   whatever an earlier process stored lies at or below it.
//! - Per table and UTC date, on demand: the *day set*, every row stored on that date. It decides the rows at or below the floor,
//!   which is what late data and old re-deliveries are. Day sets are loaded from the lake, kept in a budget, and maintained while kept.
//!
//! # Why no row is lost or counted twice
//! One worker judges all rows, in the order in which it puts them into frames. Per batch:
//! 1. [`Dedup::judge`] decides every row above its floor, in order, and names the days that the others need.
//! 2. For days that are not loaded the worker waits until every frame it handed over before is durable, then reads the day from the lake.
//!    The set then holds every row of the day from before this batch, and none of this batch, of which nothing was handed over yet.
//! 3. [`Dedup::settle`] goes through the batch in order again: new rows enter their loaded day, the rest are looked up there.
//!    So a row also meets the rows of its own batch that came before it.
//!
//! A frame that does not become durable leaves rows here that nobody stored: a second copy of such a row, judged after it, would be called
//! a duplicate and acknowledged, and the row lost. Therefore answers are given in order of frames, a failure fails every frame
//! judged before the state was forgotten ([`Dedup::reset`]), even one that became durable itself, and senders deliver all of them again.
//! After the reset, tables open with what is really stored, so what did become durable is recognised.
//!
//! Hash collisions: identities of one table and date are compared by 64 bits, contents of equal identities by 32 more.

use foldhash::fast::RandomState;
use schemas::Timestamp;
use std::collections::HashMap;

use crate::identity::RowHash;

/// What a row is, compared with all rows of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    New,
    /// The same row with the same values.
    Duplicate,
    /// The same row with other values.
    Conflict,
}

/// Rows remembered above the floor of a series; with floor and length a series fills one cache line.
const RECENT: usize = 4;
/// Memory of one entry of a day set: key, content, control byte, and the slack of a growing table.
const DAY_ENTRY_BYTES: usize = 28;

#[derive(Debug)]
struct Series {
    floor: i64,
    at: [i64; RECENT],
    content: [u32; RECENT],
    len: usize,
}

impl Series {
    fn judge(&mut self, at: i64, content: u32) -> Option<Verdict> {
        if at <= self.floor {
            return None;
        }
        if let Some(i) = self.at[..self.len].iter().position(|a| *a == at) {
            return Some(if self.content[i] == content { Verdict::Duplicate } else { Verdict::Conflict });
        }
        self.insert(at, content);
        Some(Verdict::New)
    }

    fn insert(&mut self, at: i64, content: u32) {
        if self.len < RECENT {
            (self.at[self.len], self.content[self.len]) = (at, content);
            self.len += 1;
            return;
        }
        let oldest = (1..RECENT).fold(0, |o, i| if self.at[i] < self.at[o] { i } else { o });
        self.floor = self.at[oldest].min(at);
        if at > self.at[oldest] {
            (self.at[oldest], self.content[oldest]) = (at, content);
        }
    }
}

#[derive(Debug)]
struct Day {
    rows: HashMap<u64, u32, RandomState>,
    used: u64,
}

#[derive(Debug)]
struct TableState {
    floor: i64,
    newest: i64,
    series: HashMap<u64, Series, RandomState>,
    days: HashMap<i32, Day>,
}

/// The state of one pipeline. Tables are named by their small id.
#[derive(Debug)]
pub struct Dedup {
    tables: Vec<Option<TableState>>,
    series_max: usize,
    n_series: usize,
    day_bytes_max: usize,
    /// Advances with every batch; days are evicted by their last use.
    batch: u64,
}

impl Dedup {
    #[must_use]
    pub fn new(series_max: usize, day_bytes_max: usize) -> Self {
        Self { tables: Vec::new(), series_max: series_max.max(1), n_series: 0, day_bytes_max, batch: 0 }
    }

    #[must_use]
    pub fn is_open(&self, table: usize) -> bool {
        self.table(table).is_some()
    }

    fn table(&self, table: usize) -> Option<&TableState> {
        self.tables.get(table).and_then(Option::as_ref)
    }

    /// Starts a table from the newest instant it stores.
    pub fn open(&mut self, table: usize, newest: Option<Timestamp>) {
        if self.tables.len() <= table {
            self.tables.resize_with(table + 1, || None);
        }
        let floor = newest.map_or(i64::MIN, |t| t.0);
        self.tables[table] = Some(TableState { floor, newest: floor, series: HashMap::default(), days: HashMap::new() });
    }

    /// Step 1. `None`: only the day set can tell. The table must be open.
    pub fn judge(&mut self, table: usize, row: RowHash, at: Timestamp) -> Option<Verdict> {
        if self.n_series >= self.series_max {
            self.forget_series();
        }
        let state = self.tables.get_mut(table)?.as_mut()?;
        let n_before = state.series.len();
        let floor = state.floor;
        let series = state.series.entry(row.series).or_insert_with(|| Series { floor, at: [0; RECENT], content: [0; RECENT], len: 0 });
        let verdict = series.judge(at.0, row.content);
        self.n_series += state.series.len() - n_before;
        if verdict == Some(Verdict::New) {
            state.newest = state.newest.max(at.0);
        }
        verdict
    }

    /// Raises every table's floor to its newest row, and forgets the series.
    fn forget_series(&mut self) {
        for state in self.tables.iter_mut().flatten() {
            state.floor = state.floor.max(state.newest);
            state.series = HashMap::default();
        }
        self.n_series = 0;
    }

    #[must_use]
    pub fn has_day(&self, table: usize, date: i32) -> bool {
        self.table(table).is_some_and(|t| t.days.contains_key(&date))
    }

    /// Step 2: rows of one day as stored, identity and content.
    pub fn load_day(&mut self, table: usize, date: i32, rows: impl IntoIterator<Item = (u64, u32)>) {
        let used = self.batch;
        if let Some(state) = self.tables.get_mut(table).and_then(Option::as_mut) {
            state.days.insert(date, Day { rows: rows.into_iter().collect(), used });
        }
    }

    /// Step 3. `verdict` is the answer of step 1; a row without one needs its day loaded.
    pub fn settle(&mut self, table: usize, row: RowHash, at: Timestamp, verdict: Option<Verdict>) -> Verdict {
        let day = self.tables.get_mut(table).and_then(Option::as_mut).and_then(|t| t.days.get_mut(&at.date()));
        let Some(day) = day else {
            debug_assert!(verdict.is_some(), "a row that needs its day was judged without it");
            return verdict.unwrap_or(Verdict::New);
        };
        day.used = self.batch;
        match verdict {
            Some(Verdict::New) => {
                day.rows.insert(row.identity(at.0), row.content);
                Verdict::New
            }
            Some(known) => known,
            None => match day.rows.entry(row.identity(at.0)) {
                std::collections::hash_map::Entry::Vacant(entry) => {
                    entry.insert(row.content);
                    Verdict::New
                }
                std::collections::hash_map::Entry::Occupied(entry) if *entry.get() == row.content => Verdict::Duplicate,
                std::collections::hash_map::Entry::Occupied(_) => Verdict::Conflict,
            },
        }
    }

    /// End of a batch: drops the days used longest ago until the rest fits the budget. One day alone may exceed it.
    pub fn evict(&mut self) {
        self.batch += 1;
        while self.n_days() > 1 && self.day_bytes() > self.day_bytes_max {
            let days = self.tables.iter().enumerate().filter_map(|(t, s)| s.as_ref().map(|s| (t, s)));
            let oldest = days.flat_map(|(t, s)| s.days.iter().map(move |(date, day)| (day.used, t, *date))).min();
            let Some((_, table, date)) = oldest else { return };
            if let Some(state) = &mut self.tables[table] {
                state.days.remove(&date);
            }
        }
    }

    fn n_days(&self) -> usize {
        self.tables.iter().flatten().map(|t| t.days.len()).sum()
    }

    /// Memory of the day sets, estimated.
    #[must_use]
    pub fn day_bytes(&self) -> usize {
        self.tables.iter().flatten().flat_map(|t| t.days.values()).map(|d| d.rows.capacity() * DAY_ENTRY_BYTES).sum()
    }

    /// Forgets everything; tables open anew from what is stored.
    pub fn reset(&mut self) {
        self.tables.clear();
        self.n_series = 0;
    }
}

#[cfg(test)]
mod tests;
