//! Which entities a caller asks for, and the pages they come in.

use crate::{
    EntityView, Freshness, Twin, TwinError,
    area::{BBox, Near, Polygon},
    index::Index,
    table::Table,
};
use schemas::{ProductId, TableRef, Tenant, Timestamp};
use std::{fmt, str::FromStr};

/// Most entities of one page.
pub const PAGE_MAX: usize = 100_000;

/// Whose tables a caller may see (API-1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tenants {
    All,
    Only(Vec<Tenant>),
}

impl Tenants {
    #[must_use]
    pub fn sees(&self, tenant: &Tenant) -> bool {
        match self {
            Self::All => true,
            Self::Only(list) => list.contains(tenant),
        }
    }
}

/// All conditions must hold; those left out hold always.
#[derive(Debug, Clone)]
pub struct Filter {
    pub tenants: Tenants,
    /// Empty: all.
    pub products: Vec<ProductId>,
    /// NGSI-LD type, as the contract has it.
    pub entity_type: Option<String>,
    pub bbox: Option<BBox>,
    pub polygon: Option<Polygon>,
    pub near: Option<Near>,
    /// Freshness wanted, judged at this instant.
    pub freshness: Option<(Freshness, Timestamp)>,
    /// Clamped to 1..=[`PAGE_MAX`].
    pub limit: usize,
    /// Where the page before ended.
    pub after: Option<Cursor>,
}

impl Filter {
    /// Everything that `tenants` may see.
    #[must_use]
    pub fn all(tenants: Tenants, limit: usize) -> Self {
        Self {
            tenants,
            products: Vec::new(),
            entity_type: None,
            bbox: None,
            polygon: None,
            near: None,
            freshness: None,
            limit,
            after: None,
        }
    }

    fn wants_table(&self, table: &Table) -> bool {
        self.tenants.sees(&table.table.tenant)
            && (self.products.is_empty() || self.products.contains(&table.table.product))
            && self.entity_type.as_ref().is_none_or(|t| *t == table.contract.entity_type)
            && self.after.as_ref().is_none_or(|c| c.table <= table.table)
    }

    fn wants_entity(&self, entity: EntityView<'_>) -> bool {
        self.freshness.is_none_or(|(wanted, now)| entity.freshness(now) == wanted)
    }

    /// Boxes that an entity's block must meet; none of them: the place does not matter.
    fn boxes(&self) -> impl Iterator<Item = BBox> {
        [self.bbox, self.polygon.as_ref().map(Polygon::bounds), self.near.as_ref().map(Near::bounds)].into_iter().flatten()
    }

    fn wants_place(&self, lon: f64, lat: f64) -> bool {
        self.bbox.is_none_or(|a| a.contains(lon, lat))
            && self.polygon.as_ref().is_none_or(|a| a.contains(lon, lat))
            && self.near.is_none_or(|a| a.contains(lon, lat))
    }
}

/// Entities by table, H3 cell and URN, so that a page is mostly one neighbourhood.
#[derive(Debug)]
pub struct Page<'a> {
    pub entities: Vec<EntityView<'a>>,
    /// Hand it back as [`Filter::after`] for the rest; `None` when there is none. An entity that moves between two
    /// pages may be seen twice or not at all.
    pub next: Option<Cursor>,
}

/// The last entity of a page. Its text form is opaque to callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    table: TableRef,
    cell: i64,
    id: String,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:x}/{}", self.table, self.cell, self.id)
    }
}

impl FromStr for Cursor {
    type Err = TwinError;

    fn from_str(text: &str) -> Result<Self, TwinError> {
        let parse = || {
            let mut parts = text.splitn(3, '/');
            let table = TableRef::parse(parts.next()?).ok()?;
            let cell = i64::from_str_radix(parts.next()?, 16).ok()?;
            Some(Self { table, cell, id: parts.next()?.to_owned() })
        };
        parse().ok_or_else(|| TwinError::Request {
            what: "cursor",
            value: text.chars().take(80).collect(),
            rule: "hand back the 'next' of the page before, unchanged",
        })
    }
}

impl Twin {
    /// The entities that meet a filter, at most `filter.limit` of them.
    #[must_use]
    pub fn entities(&self, filter: &Filter) -> Page<'_> {
        let limit = filter.limit.clamp(1, PAGE_MAX);
        let mut page = Page { entities: Vec::new(), next: None };
        for table in self.tables().values().filter(|t| filter.wants_table(t)) {
            fill(&mut page, table, filter, limit);
            if page.entities.len() > limit {
                page.entities.truncate(limit);
                page.next = page.entities.last().map(cursor);
                break;
            }
        }
        page
    }
}

fn cursor(entity: &EntityView<'_>) -> Cursor {
    Cursor { table: entity.table().clone(), cell: entity.cell().map_or(i64::MAX, |c| c.0), id: entity.id().to_owned() }
}

/// Adds matches of one table until there is one more than `limit`, the sign that there is a next page.
fn fill<'a>(page: &mut Page<'a>, table: &'a Table, filter: &Filter, limit: usize) {
    let index = table.index();
    let (start, start_unplaced) = start(table, index, filter);
    let boxes: Vec<BBox> = filter.boxes().collect();
    // The first box selects blocks; the exact test below looks at all.
    let ranges: Box<dyn Iterator<Item = std::ops::Range<usize>>> = match boxes.first() {
        Some(area) => Box::new(index.candidates(area)),
        None => Box::new(std::iter::once(0..index.placed.len())),
    };
    for entry in ranges.filter(|r| r.end > start).flat_map(|r| &index.placed[r.start.max(start)..r.end]) {
        let entity = EntityView::new(table, entry.entity);
        if filter.wants_place(entry.lon, entry.lat) && filter.wants_entity(entity) {
            page.entities.push(entity);
            if page.entities.len() > limit {
                return;
            }
        }
    }
    if boxes.is_empty() {
        let rest = index.unplaced[start_unplaced..].iter().map(|&i| EntityView::new(table, i));
        let room = limit + 1 - page.entities.len();
        page.entities.extend(rest.filter(|&e| filter.wants_entity(e)).take(room));
    }
}

/// Where the page begins among the placed and the unplaced entities.
fn start(table: &Table, index: &Index, filter: &Filter) -> (usize, usize) {
    let Some(after) = filter.after.as_ref().filter(|c| c.table == table.table) else { return (0, 0) };
    let id = |entity: u32| &**table.ids.at(entity);
    let placed = index.placed.partition_point(|e| (e.cell, id(e.entity)) <= (after.cell, &*after.id));
    let unplaced = if after.cell == i64::MAX { index.unplaced.partition_point(|&e| id(e) <= &*after.id) } else { 0 };
    (placed, unplaced)
}

#[cfg(test)]
mod tests;
