//! Typed, borrowed access to a batch of rows: nothing is copied until a value wins.

use crate::{TwinError, layout::Layout, state::Stamp};
use arrow_array::{
    Array, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray, cast::AsArray,
};
use schemas::{FieldType, LogPosition, Quality, TableRef, Value, row};
use std::cmp::Ordering;

/// One value, borrowed from a column or from the state.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Datum<'a> {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
}

impl<'a> Datum<'a> {
    pub(crate) fn of(value: &'a Value) -> Self {
        match value {
            Value::Bool(v) => Self::Bool(*v),
            Value::Int(v) => Self::Int(*v),
            Value::Float(v) => Self::Float(*v),
            Value::Text(v) => Self::Text(v),
        }
    }

    pub(crate) fn to_value(self) -> Value {
        match self {
            Self::Bool(v) => Value::Bool(v),
            Self::Int(v) => Value::Int(v),
            Self::Float(v) => Value::Float(v),
            Self::Text(v) => Value::Text(v.into()),
        }
    }

    /// For aggregates and tiles: a flag counts as 1 or 0, so its mean is a share.
    pub(crate) fn number(self) -> Option<f64> {
        match self {
            Self::Bool(v) => Some(f64::from(u8::from(v))),
            Self::Int(v) => Some(v as f64),
            Self::Float(v) => Some(v),
            Self::Text(_) => None,
        }
    }

    /// Kind and content as bytes, the same for equal values only.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Bool(v) => out.extend([1, u8::from(v)]),
            Self::Int(v) => {
                out.push(2);
                out.extend(v.to_le_bytes());
            }
            Self::Float(v) => {
                out.push(3);
                out.extend(v.to_bits().to_le_bytes());
            }
            Self::Text(v) => {
                out.push(4);
                out.extend((v.len() as u32).to_le_bytes());
                out.extend(v.as_bytes());
            }
        }
    }
}

impl Ord for Datum<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |d: &Self| match d {
            Self::Bool(_) => 0,
            Self::Int(_) => 1,
            Self::Float(_) => 2,
            Self::Text(_) => 3,
        };
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

impl PartialOrd for Datum<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Datum<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Datum<'_> {}

/// Whether the mode and resolution bits are those of a cell of the `h3` column. The rest is not looked at: it only decides the order.
fn is_row_cell(cell: i64) -> bool {
    cell > 0 && (cell >> 59) & 0xf == 1 && (cell >> 52) & 0xf == i64::from(u8::from(schemas::geo::ROW_RESOLUTION))
}

/// A text column, in either of the layouts that Arrow engines return.
#[derive(Debug)]
pub(crate) enum Texts<'a> {
    Offsets(&'a StringArray),
    Views(&'a StringViewArray),
}

impl<'a> Texts<'a> {
    fn of(array: &'a dyn Array) -> Option<Self> {
        array.as_string_opt::<i32>().map(Self::Offsets).or_else(|| array.as_string_view_opt().map(Self::Views))
    }

    fn get(&self, i: usize) -> Option<&'a str> {
        match self {
            Self::Offsets(a) => a.is_valid(i).then(|| a.value(i)),
            Self::Views(a) => a.is_valid(i).then(|| a.value(i)),
        }
    }
}

/// A column of a contract's field.
#[derive(Debug)]
enum Cells<'a> {
    Float(&'a Float64Array),
    Int(&'a Int64Array),
    Bool(&'a BooleanArray),
    Text(Texts<'a>),
}

impl<'a> Cells<'a> {
    fn of(array: &'a dyn Array, kind: FieldType) -> Option<Self> {
        match kind {
            FieldType::Float => array.as_primitive_opt().map(Self::Float),
            FieldType::Int => array.as_primitive_opt().map(Self::Int),
            FieldType::Bool => array.as_boolean_opt().map(Self::Bool),
            FieldType::Text => Texts::of(array).map(Self::Text),
        }
    }

    fn get(&self, i: usize) -> Option<Datum<'a>> {
        match self {
            Self::Float(a) => a.is_valid(i).then(|| Datum::Float(a.value(i))),
            Self::Int(a) => a.is_valid(i).then(|| Datum::Int(a.value(i))),
            Self::Bool(a) => a.is_valid(i).then(|| Datum::Bool(a.value(i))),
            Self::Text(a) => a.get(i).map(Datum::Text),
        }
    }
}

/// Where the log position of a row comes from: its frame, or its own column once stored.
#[derive(Debug)]
enum Positions<'a> {
    Frame(LogPosition),
    Column(&'a Int64Array),
}

/// The columns of a batch that the fold reads.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    pub(crate) len: usize,
    entity: Texts<'a>,
    observed: &'a TimestampMicrosecondArray,
    received: &'a TimestampMicrosecondArray,
    source: Texts<'a>,
    quality: Texts<'a>,
    simulated: &'a BooleanArray,
    lon: &'a Float64Array,
    lat: &'a Float64Array,
    h3: &'a Int64Array,
    position: Positions<'a>,
    attributes: Vec<Option<Cells<'a>>>,
    keys: Vec<Option<Cells<'a>>>,
}

impl<'a> Batch<'a> {
    /// Columns are found by name, so rows written before a contract gained a field are read too.
    /// `frame` is the position of rows that do not carry one. Errors: [`TwinError::Schema`].
    pub(crate) fn of(table: &TableRef, rows: &'a RecordBatch, layout: &Layout, frame: Option<LogPosition>) -> Result<Self, TwinError> {
        let column = |name: &str| rows.column_by_name(name).map(AsRef::as_ref);
        let fail = |name: &str, expected| TwinError::Schema { table: table.clone(), column: name.to_owned(), expected };
        let text = |name: &str| column(name).and_then(Texts::of).ok_or_else(|| fail(name, "text"));
        let time = |name: &str| column(name).and_then(|c| c.as_primitive_opt()).ok_or_else(|| fail(name, "a time in microseconds"));
        let float = |name: &str| column(name).and_then(|c| c.as_primitive_opt()).ok_or_else(|| fail(name, "Float64"));
        let int = |name: &str| column(name).and_then(|c| c.as_primitive_opt()).ok_or_else(|| fail(name, "Int64"));
        let field = |name: &str, kind: FieldType| match column(name) {
            None => Ok(None),
            Some(c) => Cells::of(c, kind).map(Some).ok_or_else(|| fail(name, "of the type that the contract says")),
        };
        Ok(Self {
            len: rows.num_rows(),
            entity: text(row::ENTITY_ID)?,
            observed: time(row::OBSERVED_AT)?,
            received: time(row::RECEIVED_AT)?,
            source: text(row::SOURCE)?,
            quality: text(row::QUALITY)?,
            simulated: column(row::SIMULATED).and_then(|c| c.as_boolean_opt()).ok_or_else(|| fail(row::SIMULATED, "Boolean"))?,
            lon: float(row::LON)?,
            lat: float(row::LAT)?,
            h3: int(row::H3)?,
            position: match frame {
                Some(position) => Positions::Frame(position),
                None => Positions::Column(int(row::POSITION)?),
            },
            attributes: layout.attributes.iter().map(|a| field(&a.name, a.kind)).collect::<Result<_, _>>()?,
            keys: layout.keys.iter().map(|k| field(&k.name, k.kind)).collect::<Result<_, _>>()?,
        })
    }

    /// `None` for a row without identity, which no table may hold.
    pub(crate) fn entity(&self, i: usize) -> Option<&'a str> {
        self.entity.get(i).filter(|_| self.observed.is_valid(i))
    }

    pub(crate) fn stamp(&self, i: usize) -> Stamp {
        let position = match self.position {
            Positions::Frame(p) => p,
            // 0 marks an absent value; no frame has it.
            Positions::Column(c) => u64::try_from(c.value(i)).unwrap_or(1).max(1),
        };
        Stamp { observed_at: self.observed.value(i), position, received_at: self.received.value(i) }
    }

    pub(crate) fn source(&self, i: usize) -> &'a str {
        self.source.get(i).unwrap_or("")
    }

    /// An unknown word is not trusted.
    pub(crate) fn quality(&self, i: usize) -> Quality {
        self.quality.get(i).and_then(Quality::from_name).unwrap_or(Quality::Suspect)
    }

    pub(crate) fn simulated(&self, i: usize) -> bool {
        self.simulated.is_valid(i) && self.simulated.value(i)
    }

    /// Longitude, latitude and cell; `None` when the place is unknown or off the globe.
    pub(crate) fn place(&self, i: usize) -> Option<(schemas::Position, i64)> {
        if self.lon.is_null(i) || self.lat.is_null(i) {
            return None;
        }
        let position = schemas::Position::new(self.lon.value(i), self.lat.value(i))?;
        let stored = self.h3.is_valid(i).then(|| self.h3.value(i)).filter(|&cell| is_row_cell(cell));
        Some((position, stored.unwrap_or_else(|| position.cell().0)))
    }

    pub(crate) fn attribute(&self, attribute: usize, i: usize) -> Option<Datum<'a>> {
        self.attributes[attribute].as_ref()?.get(i)
    }

    pub(crate) fn key(&self, i: usize) -> impl Iterator<Item = Option<Datum<'a>>> {
        self.keys.iter().map(move |c| c.as_ref()?.get(i))
    }
}
