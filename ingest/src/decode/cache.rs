//! What a decoder remembers: routes by topic, entities by name, cells by position. All bounded, all only for speed.

use super::{block::Entity, reject::Reject};
use crate::mapping::route::{Route, Router, Table};
use bytes::Bytes;
use foldhash::fast::RandomState;
use schemas::{Position, Tenant};
use std::{collections::HashMap, sync::Arc};

/// Routes by topic. Emptied when full: simple, and a live system refills it in milliseconds.
#[derive(Debug)]
pub(super) struct Routes {
    max: usize,
    /// Of the router when the answers were given.
    generation: u64,
    by_topic: HashMap<Box<[u8]>, (Tenant, Arc<Route>), RandomState>,
    /// Of the newest message. Doors that take many messages at once share one text of the topic between them.
    last: Option<(Bytes, Tenant, Arc<Route>)>,
    /// Where the topic of the newest message stood. Only one that stands there again is worth holding.
    place: (usize, usize),
}

impl Routes {
    pub(super) fn new(max: usize) -> Self {
        Self { max: max.max(1), generation: 0, by_topic: HashMap::default(), last: None, place: (0, 0) }
    }

    pub(super) fn get(&mut self, router: &Router, tenant: &Tenant, topic: &Bytes) -> Arc<Route> {
        let generation = router.generation();
        if generation != self.generation {
            self.by_topic.clear();
            self.last = None;
            self.generation = generation;
        }
        // The text is held here, so the same address and length are the same bytes.
        if let Some((text, owner, route)) = &self.last
            && text.as_ptr() == topic.as_ptr()
            && text.len() == topic.len()
            && owner == tenant
        {
            return Arc::clone(route);
        }
        let route = self.find(router, tenant, topic);
        let place = (topic.as_ptr().addr(), topic.len());
        if self.place == place {
            self.last = Some((topic.clone(), tenant.clone(), Arc::clone(&route)));
        }
        self.place = place;
        route
    }

    fn find(&mut self, router: &Router, tenant: &Tenant, topic: &[u8]) -> Arc<Route> {
        if let Some((owner, route)) = self.by_topic.get(topic)
            && owner == tenant
        {
            return Arc::clone(route);
        }
        let route = Arc::new(router.route(tenant, &String::from_utf8_lossy(topic)));
        if self.by_topic.len() >= self.max {
            self.by_topic.clear();
        }
        self.by_topic.insert(topic.into(), (tenant.clone(), Arc::clone(&route)));
        route
    }
}

/// Entities that payloads name, per table.
#[derive(Debug)]
pub(super) struct Entities {
    max: usize,
    len: usize,
    by_table: Vec<HashMap<Box<str>, Entity, RandomState>>,
}

impl Entities {
    pub(super) fn new(max: usize) -> Self {
        Self { max: max.max(1), len: 0, by_table: Vec::new() }
    }

    pub(super) fn get(&mut self, router: &Router, table: &Table, text: &str) -> Result<Entity, Reject> {
        if let Some(entity) = self.by_table.get(table.id).and_then(|m| m.get(text)) {
            return Ok(entity.clone());
        }
        let entity = router.entity(table, text)?;
        if self.len >= self.max {
            self.by_table.clear();
            self.len = 0;
        }
        if self.by_table.len() <= table.id {
            self.by_table.resize_with(table.id + 1, HashMap::default);
        }
        self.by_table[table.id].insert(text.into(), entity.clone());
        self.len += 1;
        Ok(entity)
    }
}

/// 24 bytes each; a power of two, of which the top 16 bits of a hash choose one.
const CELLS: usize = 65_536;

/// H3 cells of recent positions. A cell costs half a microsecond to compute, and most sensors do not move.
#[derive(Debug)]
pub(super) struct Cells(Vec<(Position, i64)>);

impl Default for Cells {
    fn default() -> Self {
        // NaN equals nothing, so an empty entry never answers.
        Self(vec![(Position { lon: f64::NAN, lat: f64::NAN }, 0); CELLS])
    }
}

impl Cells {
    pub(super) fn cell(&mut self, position: Position) -> i64 {
        let mixed = (position.lon.to_bits() ^ position.lat.to_bits().rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let entry = &mut self.0[(mixed >> 48) as usize];
        if entry.0 != position {
            *entry = (position, position.cell().0);
        }
        entry.1
    }
}
