//! One entity of a snapshot, read in place.

use crate::{Freshness, key::Key, rows::Latest, state::State, table::Table};
use schemas::{Cell, Contract, LogPosition, Position, Quality, TableRef, Timestamp, Value};
use std::{cmp::Ordering, sync::Arc};

/// An entity. Two words; borrows the snapshot.
#[derive(Debug, Clone, Copy)]
pub struct EntityView<'a> {
    table: &'a Table,
    index: u32,
}

/// The latest value of one field, for one combination of key values.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute<'a> {
    pub name: &'a str,
    pub value: Value,
    /// UCUM code.
    pub unit: Option<&'a str>,
    /// Key fields that have a value (direction, class, period), in the order of the contract.
    pub key: Vec<(&'a str, Value)>,
    pub observed_at: Timestamp,
    pub received_at: Timestamp,
    pub quality: Quality,
    pub position: LogPosition,
}

impl<'a> EntityView<'a> {
    pub(crate) fn new(table: &'a Table, index: u32) -> Self {
        Self { table, index }
    }

    pub(crate) fn state(self) -> &'a State {
        self.table.states.at(self.index)
    }

    /// URN.
    #[must_use]
    pub fn id(self) -> &'a str {
        self.table.ids.at(self.index)
    }

    #[must_use]
    pub fn table(self) -> &'a TableRef {
        &self.table.table
    }

    #[must_use]
    pub fn contract(self) -> &'a Contract {
        &self.table.contract
    }

    /// What people call it: the street where the product knows it, else the last part of the URN.
    #[must_use]
    pub fn name(self) -> &'a str {
        let street = self.table.layout.name.and_then(|n| self.rows().find_map(|row| self.text(row, n)));
        street.unwrap_or_else(|| self.id().rsplit(':').next().unwrap_or_default())
    }

    /// `None` when no row ever said where it is.
    #[must_use]
    pub fn place(self) -> Option<Position> {
        self.state().place.position()
    }

    /// Cell of [`Self::place`] at the resolution of rows.
    #[must_use]
    pub fn cell(self) -> Option<Cell> {
        self.place().map(|_| Cell(self.state().place.cell))
    }

    /// Of the newest row.
    #[must_use]
    pub fn observed_at(self) -> Timestamp {
        Timestamp(self.state().last.observed_at)
    }

    /// The oldest instant of what is shown of the entity: its place, its newest row, and the newest value of each field.
    #[must_use]
    pub fn oldest(self) -> Timestamp {
        let state = self.state();
        let place = Some(state.place.stamp).filter(|s| s.is_present()).map(|s| s.observed_at);
        let values = self.rows().flat_map(|row| self.latest(row)).map(|(_, latest)| latest.stamp.observed_at);
        Timestamp(values.chain(place).fold(state.last.observed_at, i64::min))
    }

    /// Of the newest row.
    #[must_use]
    pub fn received_at(self) -> Timestamp {
        Timestamp(self.state().last.received_at)
    }

    /// Log position of the newest row.
    #[must_use]
    pub fn position(self) -> LogPosition {
        self.state().last.position
    }

    /// Of the newest row.
    #[must_use]
    pub fn quality(self) -> Quality {
        self.state().quality
    }

    /// Whether the newest row was made up by a simulator.
    #[must_use]
    pub fn simulated(self) -> bool {
        self.state().simulated
    }

    /// Who sent the newest row.
    #[must_use]
    pub fn source(self) -> &'a str {
        self.table.sources.get(self.state().source as usize).map_or("", |s| s)
    }

    #[must_use]
    pub fn freshness(self, now: Timestamp) -> Freshness {
        Freshness::of(self.observed_at(), self.table.contract.cadence_secs, now)
    }

    /// Whether the entity has more combinations of key values than are kept (64).
    #[must_use]
    pub fn truncated(self) -> bool {
        self.state().truncated
    }

    /// One value per field, those whose owner calls them invalid left out. Of several key values it takes those with the
    /// shortest period, of these the newest instant, and of these the sum (whole numbers of counted things),
    /// the mean weighted by the headline count (other numbers), or the first by key (the rest).
    #[must_use]
    pub fn values(self) -> Vec<(&'a str, Value)> {
        let attributes = self.table.layout.attributes.iter().enumerate();
        attributes.filter_map(|(n, a)| self.merged(n).map(|v| (&*a.name, v))).collect()
    }

    /// One field by the rule of [`Self::values`].
    #[must_use]
    pub fn value(self, field: &str) -> Option<Value> {
        self.merged(self.table.layout.attribute(field)?)
    }

    /// Every field of every combination of key values, each with its own time and quality, invalid ones included.
    #[must_use]
    pub fn attributes(self) -> Vec<Attribute<'a>> {
        let fields = 0..self.table.layout.attributes.len();
        self.rows_in_order().into_iter().flat_map(|row| fields.clone().filter_map(move |n| self.attribute(row, n))).collect()
    }

    /// Rows by key, whatever the order in which they arrived.
    pub(crate) fn rows_in_order(self) -> Vec<u32> {
        let mut rows: Vec<u32> = self.rows().collect();
        rows.sort_by(|&a, &b| self.key_order(a, b));
        rows
    }

    /// The attributes that a row has, in the order of the contract.
    pub(crate) fn latest(self, row: u32) -> impl Iterator<Item = (&'a str, Latest<'a>)> {
        let fields = self.table.layout.attributes.iter().enumerate();
        fields.filter_map(move |(n, a)| Some((&*a.name, self.table.rows.get(row, n)?)))
    }

    fn attribute(self, row: u32, n: usize) -> Option<Attribute<'a>> {
        let name = &*self.table.layout.attributes[n].name;
        let latest = self.table.rows.get(row, n)?;
        Some(Attribute {
            name,
            value: latest.value.to_value(),
            unit: self.table.contract.field(name).and_then(|(_, f)| f.unit.as_deref()),
            key: self.key_values(row),
            observed_at: Timestamp(latest.stamp.observed_at),
            received_at: Timestamp(latest.stamp.received_at),
            quality: latest.quality,
            position: latest.stamp.position,
        })
    }

    fn key_values(self, row: u32) -> Vec<(&'a str, Value)> {
        let names = self.table.layout.keys.iter().map(|k| &*k.name);
        let values = self.key(row).map_or(&[][..], |k| &k.values);
        names.zip(values).filter_map(|(name, v)| Some((name, v.clone()?))).collect()
    }

    pub(crate) fn rows(self) -> impl Iterator<Item = u32> + 'a {
        self.table.rows_from(self.state().first_row)
    }

    pub(crate) fn key(self, row: u32) -> Option<&'a Arc<Key>> {
        self.table.rows.link(row).map(|l| &l.key)
    }

    pub(crate) fn key_order(self, a: u32, b: u32) -> Ordering {
        match (self.key(a), self.key(b)) {
            (Some(a), Some(b)) => a.order(b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        }
    }

    fn text(self, row: u32, attribute: usize) -> Option<&'a str> {
        match self.table.rows.get(row, attribute)?.value {
            crate::batch::Datum::Text(t) => Some(t),
            _ => None,
        }
    }

    fn figure(self, row: u32, attribute: usize) -> Option<Latest<'a>> {
        self.table.rows.get(row, attribute).filter(Latest::is_figure)
    }

    /// The merged value as a number, for tiles and aggregates.
    pub(crate) fn number(self, attribute: usize) -> Option<f64> {
        if !self.table.layout.keyed() {
            return self.figure(self.state().first_row, attribute)?.value.number();
        }
        match self.merged(attribute)? {
            Value::Bool(v) => Some(f64::from(u8::from(v))),
            v => v.as_f64(),
        }
    }

    fn merged(self, attribute: usize) -> Option<Value> {
        if !self.table.layout.keyed() {
            return Some(self.figure(self.state().first_row, attribute)?.value.to_value());
        }
        let mut best: Vec<(u32, Latest<'a>)> = Vec::new();
        let mut rank = None;
        for row in self.rows() {
            let (Some(latest), Some(key)) = (self.figure(row, attribute), self.key(row)) else { continue };
            let own = (std::cmp::Reverse(key.period_secs), latest.stamp.observed_at);
            if rank.is_none_or(|r| own > r) {
                rank = Some(own);
                best.clear();
            }
            if rank == Some(own) {
                best.push((row, latest));
            }
        }
        best.sort_by(|a, b| self.key_order(a.0, b.0));
        self.combine(attribute, &best)
    }

    /// `best` in key order, so that sums of floats come out the same whatever the order of arrival.
    fn combine(self, attribute: usize, best: &[(u32, Latest<'a>)]) -> Option<Value> {
        let (_, first) = best.first()?;
        let layout = &self.table.layout;
        match first.value.to_value() {
            Value::Int(_) if layout.attributes[attribute].additive => {
                Some(Value::Int(best.iter().filter_map(|(_, l)| l.value.number()).sum::<f64>() as i64))
            }
            Value::Float(_) if best.len() > 1 => {
                let weight =
                    |row: u32| layout.headline.filter(|&h| layout.attributes[h].additive).and_then(|h| self.figure(row, h)?.value.number());
                let weighted = best.iter().map(|&(row, l)| (l.value.number().unwrap_or(0.0), weight(row).unwrap_or(1.0)));
                let (sum, weights) = weighted.fold((0.0, 0.0), |(s, w), (v, own)| (s + v * own, w + own));
                let mean = if weights > 0.0 {
                    sum / weights
                } else {
                    best.iter().filter_map(|(_, l)| l.value.number()).sum::<f64>() / best.len() as f64
                };
                Some(Value::Float(mean))
            }
            other => Some(other),
        }
    }
}

#[cfg(test)]
mod tests;
