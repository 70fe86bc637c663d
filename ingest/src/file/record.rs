//! One line of a file: its cells to the fields of messages, by the shape of the file.

use super::{
    cell::{Object, number, topic_level},
    layout::{FieldColumn, Layout, Shape, hour_label},
    mapping::{CellKind, Spec},
    time::Instant,
};
use crate::decode::reject::{Reason, cut};
use bytes::Bytes;
use schemas::{Position, Quality, Timestamp};
use std::{borrow::Cow, collections::HashSet};

/// Why a cell or a line is refused.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) reason: &'static str,
    pub(super) field: Option<String>,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, field: None, message: message.into() }
    }

    fn at(reason: &'static str, column: &str, message: impl Into<String>) -> Self {
        Self { reason, field: Some(column.to_owned()), message: message.into() }
    }
}

/// What one cell or line gave.
pub(super) enum Outcome {
    Blank,
    Refused(Fault),
    Row { local: String, observed_at: Timestamp, payload: Bytes },
}

/// One line with what is known about its columns.
pub(super) struct Record<'a> {
    pub(super) spec: &'a Spec,
    pub(super) layout: &'a Layout,
    pub(super) cells: &'a [Cow<'a, str>],
}

impl Record<'_> {
    fn cell(&self, column: usize) -> &str {
        self.cells[column].trim()
    }

    fn is_absent(&self, cell: &str) -> bool {
        cell.is_empty() || self.spec.absent.iter().any(|a| a == cell)
    }

    /// Every outcome of the line. An error refuses the whole line.
    pub(super) fn items(&self, out: &mut Vec<Outcome>, memory: &mut Memory) -> Result<(), Fault> {
        let time = self.cell(self.layout.time);
        let bad_time = |message| Fault::at(Reason::BadTime.code(), &self.spec.time.column, message);
        if let Shape::Hours { field, columns } = &self.layout.shape {
            let hours = self.layout.clock.hours(time).map_err(bad_time)?;
            return self.hours(field, columns, hours, out);
        }
        let at = memory.time(time, |t| self.layout.clock.instant(t)).map_err(bad_time)?;
        if at == Instant::Never {
            let message = format!("'{time}' did not exist: the clock went over it when summer time started");
            return Err(Fault::at("skipped_hour", &self.spec.time.column, message));
        }
        match &self.layout.shape {
            Shape::Stations { field, columns } => {
                for (station, value, flag) in columns {
                    out.push(self.station(field, station, (*value, *flag), at).unwrap_or_else(Outcome::Refused));
                }
            }
            Shape::Pivot { .. } => out.push(self.pivot(at)?),
            Shape::Long | Shape::Hours { .. } => out.push(self.long(at, memory)?),
        }
        Ok(())
    }

    fn long(&self, at: Instant, memory: &mut Memory) -> Result<Outcome, Fault> {
        let local = self.entity("")?;
        let mut object = Object::new();
        let mut any = false;
        for f in &self.layout.fields {
            any |= self.field(f, &mut object)? && !f.key;
        }
        if !any {
            return Ok(Outcome::Blank);
        }
        let observed_at = memory.instant(at, || {
            let keys = self.layout.fields.iter().filter(|f| f.key).map(|f| self.cell(f.column));
            std::iter::once(local.as_str()).chain(keys).collect::<Vec<_>>().join(";")
        });
        self.row(local, object, observed_at, "")
    }

    fn station(&self, field: &str, station: &str, columns: (usize, Option<usize>), at: Instant) -> Result<Outcome, Fault> {
        let cell = self.cell(columns.0);
        if self.is_absent(cell) {
            return Ok(Outcome::Blank);
        }
        let mut object = Object::new();
        object.raw(field, &self.number(station, cell)?);
        let flag = columns.1.map_or("", |c| self.cell(c));
        let quality = self.spec.flags.get(flag).copied().unwrap_or(Quality::Unchecked);
        object.text("quality", quality.name());
        self.row(self.entity(station)?, object, first(at), station)
    }

    fn pivot(&self, at: Instant) -> Result<Outcome, Fault> {
        let Shape::Pivot { column, value, unit, fields } = &self.layout.shape else { return Ok(Outcome::Blank) };
        let cell = self.cell(*value);
        if self.is_absent(cell) {
            return Ok(Outcome::Blank);
        }
        let (agent, found) = (self.cell(*column), self.cell(*unit));
        let Some(want) = fields.get(agent) else {
            let message = format!("'{}' is not one of the measured things that the mapping knows", cut(agent, 60));
            return Err(Fault::at(Reason::UnknownField.code(), &self.layout.header[*column], message));
        };
        if found != want.unit {
            let message = format!("'{agent}' is in {}, the contract wants {}; convert the file", cut(found, 20), want.unit);
            return Err(Fault::at("wrong_unit", &self.layout.header[*unit], message));
        }
        let mut object = Object::new();
        object.raw(&want.field, &self.number(&self.layout.header[*value], cell)?);
        self.row(self.entity("")?, object, first(at), "")
    }

    /// One row per hour that holds a value. What belongs to the whole line is checked once, and then refuses the whole line.
    fn hours(&self, field: &str, columns: &[usize; 24], hours: [Instant; 24], out: &mut Vec<Outcome>) -> Result<(), Fault> {
        let local = self.entity("")?;
        self.position("")?;
        for (hour, (column, at)) in columns.iter().zip(hours).enumerate() {
            let cell = self.cell(*column);
            if self.is_absent(cell) {
                out.push(Outcome::Blank);
                continue;
            }
            out.push(self.hour(field, &local, (hour, cell), at).unwrap_or_else(Outcome::Refused));
        }
        Ok(())
    }

    fn hour(&self, field: &str, local: &str, (hour, cell): (usize, &str), at: Instant) -> Result<Outcome, Fault> {
        let label = hour_label(hour);
        if at == Instant::Never {
            let message = format!("'{}' in {label}, an hour that did not exist: summer time started; leave it blank", cut(cell, 40));
            return Err(Fault::at("skipped_hour", &label, message));
        }
        let mut object = Object::new();
        object.raw(field, &self.number(&label, cell)?);
        for f in &self.layout.fields {
            self.field(f, &mut object)?;
        }
        if let Instant::Twice(first, _) = at {
            // The column of a repeated hour covers both.
            return self.row_of(local.to_owned(), object, first, "", Some("PT2H"));
        }
        self.row_of(local.to_owned(), object, first(at), "", None)
    }

    /// Writes one field; false when the cell holds no value.
    fn field(&self, f: &FieldColumn, object: &mut Object) -> Result<bool, Fault> {
        let cell = self.cell(f.column);
        if self.is_absent(cell) {
            return Ok(false);
        }
        match f.kind {
            CellKind::Text => object.text(&f.name, cell),
            CellKind::Number => object.raw(&f.name, &self.number(&self.layout.header[f.column], cell)?),
        }
        Ok(true)
    }

    fn number(&self, column: &str, cell: &str) -> Result<String, Fault> {
        number(cell).ok_or_else(|| {
            let message = format!("'{}' is not a number; leave the cell blank when there is no value", cut(cell, 60));
            Fault::at(Reason::WrongType.code(), column, message)
        })
    }

    fn entity(&self, station: &str) -> Result<String, Fault> {
        let text = self.layout.entity.fill(|i| &self.cells[i], station);
        topic_level(&text).ok_or_else(|| {
            let message = format!("'{}' cannot name an entity: it needs a letter or digit and at most 160 characters", cut(&text, 60));
            Fault::new(Reason::BadEntity.code(), message)
        })
    }

    /// From the geopoint column, else from the mapping's table of stations.
    fn position(&self, station: &str) -> Result<Option<Position>, Fault> {
        let Some(column) = self.layout.geopoint else {
            let key = self.layout.entity.fill(|i| &self.cells[i], station);
            return Ok(self.spec.stations.get(&key).copied());
        };
        let cell = self.cell(column);
        if cell.is_empty() {
            return Ok(None);
        }
        let parsed = cell.split_once(',').and_then(|(lat, lon)| Position::new(lon.trim().parse().ok()?, lat.trim().parse().ok()?));
        parsed.map(Some).ok_or_else(|| {
            let message = format!("'{}' is not a position; write it as lat, lon in degrees", cut(cell, 60));
            Fault::at(Reason::BadPosition.code(), &self.layout.header[column], message)
        })
    }

    fn row(&self, local: String, object: Object, observed_at: Timestamp, station: &str) -> Result<Outcome, Fault> {
        self.row_of(local, object, observed_at, station, None)
    }

    fn row_of(&self, local: String, mut object: Object, at: Timestamp, station: &str, period: Option<&str>) -> Result<Outcome, Fault> {
        object.text("observed_at", &at.to_rfc3339());
        for (name, value) in &self.spec.constants {
            object.text(name, period.filter(|_| name == "period").unwrap_or(value));
        }
        if let Some(p) = self.position(station)? {
            object.float("lon", p.lon);
            object.float("lat", p.lat);
        }
        Ok(Outcome::Row { local, observed_at: at, payload: object.finish() })
    }
}

fn first(at: Instant) -> Timestamp {
    match at {
        Instant::Once(at) | Instant::Twice(at, _) => at,
        // Every caller has refused the line or the cell before.
        Instant::Never => Timestamp::MIN,
    }
}

/// What one line needs to know of those before it.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The last time cell: files are in order of time, and reading a local time is most of the work of a line.
    last: Option<(String, Instant)>,
    /// Rows already seen in the local hour that autumn repeats, and the instant it begins.
    first: Timestamp,
    seen: HashSet<String>,
}

/// More rows of one repeated hour than this are all put into the first.
const REPEATED_MAX: usize = 100_000;

impl Memory {
    fn time(&mut self, cell: &str, read: impl Fn(&str) -> Result<Instant, String>) -> Result<Instant, String> {
        if let Some((_, at)) = self.last.as_ref().filter(|(last, _)| last == cell) {
            return Ok(*at);
        }
        let at = read(cell)?;
        self.last = Some((cell.to_owned(), at));
        Ok(at)
    }

    /// Files list the repeated hour's rows twice, or once with both hours in it: a second row of the same keys is the second hour.
    fn instant(&mut self, at: Instant, keys: impl Fn() -> String) -> Timestamp {
        let Instant::Twice(one, two) = at else { return first(at) };
        if self.first != one {
            self.first = one;
            self.seen.clear();
        }
        let keys = keys();
        let again = self.seen.contains(&keys);
        if !again && self.seen.len() < REPEATED_MAX {
            self.seen.insert(keys);
        }
        if again { two } else { one }
    }
}
