//! The latest value of every attribute, in columns: one row per entity and key values.

use crate::{
    batch::Datum,
    chunks::CHUNK,
    key::Key,
    layout::Layout,
    state::{NONE, Stamp},
};
use schemas::{FieldType, Quality};
use std::sync::Arc;

/// The values of one attribute in one chunk.
#[derive(Debug, Clone)]
pub(crate) enum Values {
    Float(Vec<f64>),
    Int(Vec<i64>),
    Bool(Vec<bool>),
    Text(Vec<Option<Arc<str>>>),
}

impl Values {
    pub(crate) fn of(kind: FieldType) -> Self {
        match kind {
            FieldType::Float => Self::Float(Vec::new()),
            FieldType::Int => Self::Int(Vec::new()),
            FieldType::Bool => Self::Bool(Vec::new()),
            FieldType::Text => Self::Text(Vec::new()),
        }
    }

    fn push_absent(&mut self) {
        match self {
            Self::Float(v) => v.push(0.0),
            Self::Int(v) => v.push(0),
            Self::Bool(v) => v.push(false),
            Self::Text(v) => v.push(None),
        }
    }

    fn get(&self, i: usize) -> Datum<'_> {
        match self {
            Self::Float(v) => Datum::Float(v[i]),
            Self::Int(v) => Datum::Int(v[i]),
            Self::Bool(v) => Datum::Bool(v[i]),
            Self::Text(v) => Datum::Text(v[i].as_deref().unwrap_or("")),
        }
    }

    /// A value of another kind than the column cannot come here: batches are typed by the same contract.
    fn set(&mut self, i: usize, value: Datum<'_>) {
        match (self, value) {
            (Self::Float(v), Datum::Float(x)) => v[i] = x,
            (Self::Int(v), Datum::Int(x)) => v[i] = x,
            (Self::Bool(v), Datum::Bool(x)) => v[i] = x,
            (Self::Text(v), Datum::Text(x)) if v[i].as_deref() != Some(x) => v[i] = Some(x.into()),
            _ => {}
        }
    }
}

/// One attribute of one chunk: value, who said it, and how far it may be trusted.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) values: Values,
    pub(crate) stamps: Vec<Stamp>,
    pub(crate) quality: Vec<Quality>,
}

/// The value of an attribute with its circumstances.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latest<'a> {
    pub(crate) value: Datum<'a>,
    pub(crate) stamp: Stamp,
    pub(crate) quality: Quality,
}

impl Latest<'_> {
    /// What its owner calls wrong is kept, and never shown as a figure.
    pub(crate) fn is_figure(&self) -> bool {
        self.quality != Quality::Invalid
    }
}

impl Column {
    /// Of `n` rows that have no value.
    pub(crate) fn absent(kind: FieldType, n: usize) -> Self {
        let mut out = Self { values: Values::of(kind), stamps: Vec::new(), quality: Vec::new() };
        (0..n).for_each(|_| out.push_absent());
        out
    }

    fn push_absent(&mut self) {
        self.values.push_absent();
        self.stamps.push(Stamp::ABSENT);
        self.quality.push(Quality::Valid);
    }

    fn get(&self, i: usize) -> Option<Latest<'_>> {
        self.stamps[i].is_present().then(|| Latest { value: self.values.get(i), stamp: self.stamps[i], quality: self.quality[i] })
    }

    /// The rule of the fold. Beyond (`observed_at`, `position`) the rest only makes the order total, for two rows of one frame.
    fn fold(&mut self, i: usize, new: Latest<'_>) -> bool {
        let order =
            new.stamp.cmp(&self.stamps[i]).then_with(|| new.quality.cmp(&self.quality[i])).then_with(|| new.value.cmp(&self.values.get(i)));
        if order.is_le() {
            return false;
        }
        self.values.set(i, new.value);
        self.stamps[i] = new.stamp;
        self.quality[i] = new.quality;
        true
    }
}

/// Key values of a row, and the next row of the same entity.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) key: Arc<Key>,
    pub(crate) next: u32,
}

/// Up to [`CHUNK`] rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct RowChunk {
    /// Empty when the product has no key fields.
    pub(crate) links: Vec<Link>,
    pub(crate) columns: Vec<Column>,
    pub(crate) len: usize,
}

/// All rows of a table, copied on write by the chunk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    pub(crate) chunks: Vec<Arc<RowChunk>>,
}

const fn split(row: u32) -> (usize, usize) {
    (row as usize / CHUNK, row as usize % CHUNK)
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len)
    }

    /// Adds an empty row and gives its index.
    pub(crate) fn push(&mut self, layout: &Layout, link: Option<Link>) -> u32 {
        let row = self.len() as u32;
        if row as usize % CHUNK == 0 {
            self.chunks.push(Arc::new(RowChunk::empty(layout)));
        }
        let chunk = self.chunks.last_mut().map(Arc::make_mut).expect("a chunk was pushed when there was none with room");
        chunk.columns.iter_mut().for_each(Column::push_absent);
        chunk.links.extend(link);
        chunk.len += 1;
        row
    }

    /// Adds a copy of a row of `other`, which has the same layout.
    pub(crate) fn push_copy(&mut self, layout: &Layout, link: Option<Link>, other: &Self, from: u32) -> u32 {
        let row = self.push(layout, link);
        let (chunk, at) = self.chunk_mut(row);
        for (n, column) in chunk.columns.iter_mut().enumerate() {
            if let Some(latest) = other.get(from, n) {
                column.fold(at, latest);
            }
        }
        row
    }

    /// Forgets what a row held and gives it to other key values.
    pub(crate) fn reuse(&mut self, row: u32, key: Arc<Key>) {
        let (c, i) = split(row);
        let chunk = Arc::make_mut(&mut self.chunks[c]);
        chunk.links[i].key = key;
        for column in &mut chunk.columns {
            column.stamps[i] = Stamp::ABSENT;
            column.quality[i] = Quality::Valid;
        }
    }

    pub(crate) fn link(&self, row: u32) -> Option<&Link> {
        let (c, i) = split(row);
        self.chunks[c].links.get(i)
    }

    pub(crate) fn next(&self, row: u32) -> u32 {
        self.link(row).map_or(NONE, |l| l.next)
    }

    pub(crate) fn get(&self, row: u32, attribute: usize) -> Option<Latest<'_>> {
        let (c, i) = split(row);
        self.chunks[c].columns[attribute].get(i)
    }

    /// The chunk of a row, ready to be written, and the row's place in it.
    pub(crate) fn chunk_mut(&mut self, row: u32) -> (&mut RowChunk, usize) {
        let (c, i) = split(row);
        (Arc::make_mut(&mut self.chunks[c]), i)
    }
}

impl RowChunk {
    fn empty(layout: &Layout) -> Self {
        Self { links: Vec::new(), columns: layout.attributes.iter().map(|a| Column::absent(a.kind, 0)).collect(), len: 0 }
    }

    pub(crate) fn fold(&mut self, attribute: usize, i: usize, new: Latest<'_>) -> bool {
        self.columns[attribute].fold(i, new)
    }
}
