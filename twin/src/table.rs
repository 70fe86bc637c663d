//! The entities of one table, and the fold of rows into them.

use crate::{
    Change, EntityView,
    batch::{Batch, Datum},
    chunks::Chunks,
    index::Index,
    key::Key,
    layout::Layout,
    rows::{Latest, Link, Rows},
    state::{NONE, Stamp, State},
};
use hashbrown::HashTable;
use schemas::{Contract, TableRef, Timestamp, Value};
use std::{
    hash::BuildHasher as _,
    sync::{Arc, OnceLock},
};

/// Most key values (direction and class, say) that are kept per entity: the smallest in [`Key::order`],
/// because which ones those are does not depend on the order of arrival.
pub(crate) const KEYS_MAX: usize = 64;

/// Below this many entities memory is near anyway.
const CLUSTER_MIN: usize = 4_096;

/// One table. A clone shares everything until one side writes.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) table: TableRef,
    pub(crate) contract: Arc<Contract>,
    pub(crate) layout: Arc<Layout>,
    hasher: foldhash::fast::RandomState,
    /// Entity indices by the hash of their URN.
    lookup: Arc<HashTable<u32>>,
    pub(crate) ids: Chunks<Arc<str>>,
    pub(crate) states: Chunks<State>,
    pub(crate) rows: Rows,
    pub(crate) sources: Arc<Vec<Arc<str>>>,
    /// Built by the first snapshot that asks, shared by all until an entity appears or moves.
    index: Arc<OnceLock<Index>>,
    /// Entities when they were last put in the order of space, see [`Self::clustered`].
    n_clustered: usize,
}

/// What folding a batch came to.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Folded {
    /// Rows without identity, or of new entities beyond the limit.
    pub(crate) refused: u64,
}

impl Table {
    pub(crate) fn new(table: TableRef, contract: Arc<Contract>) -> Self {
        Self {
            layout: Arc::new(Layout::of(&contract)),
            table,
            contract,
            hasher: foldhash::fast::RandomState::default(),
            lookup: Arc::default(),
            ids: Chunks::default(),
            states: Chunks::default(),
            rows: Rows::default(),
            sources: Arc::default(),
            index: Arc::default(),
            n_clustered: 0,
        }
    }

    pub(crate) fn is_clustered(&self) -> bool {
        self.n_clustered == self.len()
    }

    /// Says that the entities were added in the order of space.
    pub(crate) fn set_clustered(&mut self) {
        self.n_clustered = self.len();
    }

    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    pub(crate) fn find(&self, id: &str) -> Option<u32> {
        self.lookup.find(self.hasher.hash_one(id), |&i| &**self.ids.at(i) == id).copied()
    }

    /// The spatial index of this state; sorts all entities when nobody asked before.
    pub(crate) fn index(&self) -> &Index {
        self.index.get_or_init(|| Index::build(self))
    }

    /// Folds every row of the batch; `changes` collects those that won something.
    pub(crate) fn fold(&mut self, batch: &Batch<'_>, entities_max: usize, mut changes: Option<&mut Vec<Change>>) -> Folded {
        let layout = Arc::clone(&self.layout);
        let (mut folded, mut moved) = (Folded::default(), false);
        for i in 0..batch.len {
            let Some((entity, new)) = batch.entity(i).and_then(|id| self.entity_or_new(id, entities_max)) else {
                folded.refused += 1;
                continue;
            };
            let stamp = batch.stamp(i);
            let moved_now = self.fold_state(entity, batch, i, stamp);
            moved |= moved_now | new;
            let values = match self.row_of(entity, batch, i, &layout) {
                Some(row) => self.fold_values(row, batch, i, stamp, changes.is_some()),
                None => Vec::new(),
            };
            if let Some(changes) = changes.as_deref_mut()
                && (moved_now || !values.is_empty())
            {
                changes.push(self.change(entity, stamp, values));
            }
        }
        if moved {
            // Snapshots keep the old one, which fits what they hold.
            self.index = Arc::default();
        }
        if self.len() > 2 * self.n_clustered + CLUSTER_MIN {
            *self = self.clustered();
        }
        folded
    }

    /// The same with entities and rows in the order of the spatial index, so that neighbours on the ground are neighbours
    /// in memory: a tile then reads a few stretches instead of thousands of places. Done when saving, and when the number
    /// of entities has doubled, so that its cost per entity stays the same however many there are.
    pub(crate) fn clustered(&self) -> Self {
        let mut out = Self::new(self.table.clone(), Arc::clone(&self.contract));
        // Keys carry hashes made by this hasher.
        out.hasher = self.hasher.clone();
        out.sources = Arc::clone(&self.sources);
        for entity in self.index().order() {
            let old = EntityView::new(self, entity);
            let first_row = old.rows_in_order().into_iter().rev().fold(NONE, |next, row| {
                let link = old.key(row).map(|key| Link { key: Arc::clone(key), next });
                out.rows.push_copy(&self.layout, link, &self.rows, row)
            });
            // A new allocation, for the texts shall be neighbours too.
            out.push_entity(Arc::from(&**self.ids.at(entity)), State { first_row, ..*self.states.at(entity) });
        }
        out.set_clustered();
        out
    }

    fn change(&self, entity: u32, stamp: Stamp, values: Vec<(Arc<str>, Value)>) -> Change {
        Change {
            table: self.table.clone(),
            id: Arc::clone(self.ids.at(entity)),
            observed_at: Timestamp(stamp.observed_at),
            place: self.states.at(entity).place.position(),
            values,
        }
    }

    /// Index of the entity, and whether it is new; `None` when there is no room.
    fn entity_or_new(&mut self, id: &str, entities_max: usize) -> Option<(u32, bool)> {
        if let Some(found) = self.find(id) {
            return Some((found, false));
        }
        (self.len() < entities_max).then(|| {
            let entity = self.push_entity(id.into(), State::NEW);
            if !self.layout.keyed() {
                self.states.at_mut(entity).first_row = self.rows.push(&self.layout, None);
            }
            (entity, true)
        })
    }

    /// Adds an entity whose URN is not there yet.
    pub(crate) fn push_entity(&mut self, id: Arc<str>, state: State) -> u32 {
        let entity = self.len() as u32;
        let hash = self.hasher.hash_one(&*id);
        self.ids.push(id);
        self.states.push(state);
        let (ids, hasher) = (&self.ids, &self.hasher);
        Arc::make_mut(&mut self.lookup).insert_unique(hash, entity, |&i| hasher.hash_one(&**ids.at(i)));
        entity
    }

    /// Newest row and place; tells whether the entity moved.
    fn fold_state(&mut self, entity: u32, batch: &Batch<'_>, i: usize, stamp: Stamp) -> bool {
        let old = self.states.at(entity);
        let (source, quality, simulated) = (batch.source(i), batch.quality(i), batch.simulated(i));
        let order = stamp.cmp(&old.last).then_with(|| {
            let old_source = self.sources.get(old.source as usize).map_or("", |s| s);
            (source, quality, simulated).cmp(&(old_source, old.quality, old.simulated))
        });
        if order.is_gt() {
            let source = self.source_index(source, old.source);
            let state = self.states.at_mut(entity);
            (state.last, state.source, state.quality, state.simulated) = (stamp, source, quality, simulated);
        }
        match batch.place(i) {
            Some((position, cell)) if stamp >= self.states.at(entity).place.stamp => {
                self.states.at_mut(entity).place.fold(stamp, position, cell)
            }
            _ => false,
        }
    }

    /// Sources are publishers with credentials: few, and mostly the one that wrote last.
    fn source_index(&mut self, source: &str, likely: u32) -> u32 {
        if self.sources.get(likely as usize).is_some_and(|s| &**s == source) {
            return likely;
        }
        let found = self.sources.iter().position(|s| &**s == source).unwrap_or_else(|| {
            Arc::make_mut(&mut self.sources).push(source.into());
            self.sources.len() - 1
        });
        found as u32
    }

    /// The row of the entity for the key values of this batch row, made if need be; `None` when it is beyond [`KEYS_MAX`].
    fn row_of(&mut self, entity: u32, batch: &Batch<'_>, i: usize, layout: &Layout) -> Option<u32> {
        let first = self.states.at(entity).first_row;
        if !layout.keyed() {
            return Some(first);
        }
        let hash = key_hash(&self.hasher, batch.key(i));
        let mut count = 0;
        for row in self.rows_from(first) {
            let link = self.rows.link(row)?;
            if link.key.hash == hash && link.key.data().eq(batch.key(i)) {
                return Some(row);
            }
            count += 1;
        }
        let key = Key::new(batch.key(i), hash, layout.period);
        if count < KEYS_MAX {
            let row = self.rows.push(layout, Some(Link { key, next: first }));
            self.states.at_mut(entity).first_row = row;
            return Some(row);
        }
        self.replace_greatest_key(entity, key)
    }

    fn replace_greatest_key(&mut self, entity: u32, key: Arc<Key>) -> Option<u32> {
        let state = self.states.at_mut(entity);
        state.truncated = true;
        let first = state.first_row;
        let (row, greatest) =
            self.rows_from(first).filter_map(|row| Some((row, &self.rows.link(row)?.key))).max_by(|a, b| a.1.order(b.1))?;
        if key.order(greatest).is_gt() {
            return None;
        }
        self.rows.reuse(row, key);
        Some(row)
    }

    /// The chain of rows; bounded, so that not even a damaged chain runs for ever.
    pub(crate) fn rows_from(&self, first: u32) -> impl Iterator<Item = u32> {
        std::iter::successors((first != NONE).then_some(first), |&row| Some(self.rows.next(row)).filter(|&next| next != NONE))
            .take(KEYS_MAX)
    }

    fn fold_values(&mut self, row: u32, batch: &Batch<'_>, i: usize, stamp: Stamp, report: bool) -> Vec<(Arc<str>, Value)> {
        let quality = batch.quality(i);
        let (chunk, at) = self.rows.chunk_mut(row);
        let mut won = Vec::new();
        for (n, attribute) in self.layout.attributes.iter().enumerate() {
            let Some(value) = batch.attribute(n, i) else { continue };
            let latest = Latest { value, stamp, quality };
            if chunk.fold(n, at, latest) && report && latest.is_figure() {
                won.push((Arc::clone(&attribute.name), value.to_value()));
            }
        }
        won
    }

    /// For keys read back from a saved twin, whose hashes were another process's.
    pub(crate) fn rehashed(&self, values: &[Option<Value>]) -> Arc<Key> {
        let data = || values.iter().map(|v| v.as_ref().map(Datum::of));
        Key::new(data(), key_hash(&self.hasher, data()), self.layout.period)
    }
}

fn key_hash<'a>(hasher: &foldhash::fast::RandomState, values: impl Iterator<Item = Option<Datum<'a>>>) -> u64 {
    use std::hash::{Hash as _, Hasher as _};
    let mut h = hasher.build_hasher();
    for value in values {
        match value {
            None => 0u8.hash(&mut h),
            Some(Datum::Bool(v)) => v.hash(&mut h),
            Some(Datum::Int(v)) => v.hash(&mut h),
            Some(Datum::Float(v)) => v.to_bits().hash(&mut h),
            Some(Datum::Text(v)) => v.hash(&mut h),
        }
    }
    h.finish()
}
