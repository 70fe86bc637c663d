//! One number for the whole state, and the first differences between two states (TW-1).

use crate::{EntityView, Twin, batch::Datum, state::Stamp};
use schemas::TableRef;
use std::{collections::BTreeMap, fmt};

/// A hash of everything the entities hold, whatever the order in which they arrived. Not of the log position.
/// For finding defects, not for defence: it is not cryptographic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub u128);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// One entity in which two twins differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub table: TableRef,
    pub id: String,
    /// In words: which side lacks it, or the first field with both values.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.table, self.id, self.what)
    }
}

impl Twin {
    /// See [`Digest`]. Reads every entity once.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut bytes = Vec::new();
        let sum = self.all().fold(0u128, |sum, entity| {
            canonical(entity, &mut bytes);
            // Each entity's hash is one term of a sum, so their order does not matter.
            sum.wrapping_add(fnv1a_128(&bytes))
        });
        Digest(sum)
    }

    /// The entities that differ, by table and URN, at most `limit` of them; empty when the digests are equal.
    #[must_use]
    pub fn diff(&self, other: &Self, limit: usize) -> Vec<Difference> {
        let by_name = |twin: &Self, table: &TableRef| -> BTreeMap<String, u32> {
            twin.tables().get(table).map_or_else(BTreeMap::new, |t| (0..).zip(t.ids.iter()).map(|(i, id)| (id.to_string(), i)).collect())
        };
        let mut out = Vec::new();
        let mut tables: Vec<&TableRef> = self.tables().keys().chain(other.tables().keys()).collect();
        tables.sort();
        tables.dedup();
        for table in tables {
            let (left, right) = (by_name(self, table), by_name(other, table));
            let view = |twin: &Self, i: Option<&u32>| twin.tables().get(table).zip(i).map(|(t, &i)| describe(EntityView::new(t, i)));
            let mut ids: Vec<&String> = left.keys().chain(right.keys()).collect();
            ids.sort();
            ids.dedup();
            for id in ids {
                let what = match (view(self, left.get(id)), view(other, right.get(id))) {
                    (None, _) => Some("missing on the left".to_owned()),
                    (_, None) => Some("missing on the right".to_owned()),
                    (Some(a), Some(b)) => first_difference(&a, &b),
                };
                out.extend(what.map(|what| Difference { table: table.clone(), id: id.clone(), what }));
                if out.len() == limit {
                    return out;
                }
            }
        }
        out
    }
}

/// Everything an entity holds, as named texts in a fixed order.
type Facts = BTreeMap<String, String>;

fn first_difference(a: &Facts, b: &Facts) -> Option<String> {
    let name = a.iter().find(|(k, v)| b.get(*k) != Some(v)).map(|(k, _)| k).or_else(|| b.keys().find(|k| !a.contains_key(*k)))?;
    let side = |facts: &Facts| facts.get(name).cloned().unwrap_or_else(|| "absent".into());
    Some(format!("{name} is {} on the left and {} on the right", side(a), side(b)))
}

/// The facts that [`canonical`] hashes.
fn describe(entity: EntityView<'_>) -> Facts {
    let row = format!(
        "{} at position {} received {} from {}, {}, simulated {}",
        entity.observed_at(),
        entity.position(),
        entity.received_at(),
        entity.source(),
        entity.quality().name(),
        entity.simulated()
    );
    let place = entity.state().place;
    let mut out = Facts::from([
        ("newest row".to_owned(), row),
        ("place".to_owned(), format!("{:?} cell {:x} by {:?}", place.position(), place.cell, place.stamp)),
        ("truncated".to_owned(), entity.truncated().to_string()),
    ]);
    for a in entity.attributes() {
        let key: String = a.key.iter().map(|(name, v)| format!(" {name}={v:?}")).collect();
        let value =
            format!("{:?} ({}) of {} at position {} received {}", a.value, a.quality.name(), a.observed_at, a.position, a.received_at);
        out.insert(format!("{}{key}", a.name), value);
    }
    out
}

fn canonical(entity: EntityView<'_>, out: &mut Vec<u8>) {
    let stamp = |out: &mut Vec<u8>, s: Stamp| {
        out.extend(s.observed_at.to_le_bytes());
        out.extend(s.position.to_le_bytes());
        out.extend(s.received_at.to_le_bytes());
    };
    out.clear();
    for text in [entity.table().tenant.as_str(), entity.table().product.as_str(), entity.id(), entity.source()] {
        Datum::Text(text).write(out);
    }
    let state = entity.state();
    stamp(out, state.last);
    out.extend([state.quality as u8, u8::from(state.simulated), u8::from(state.truncated)]);
    if state.place.stamp.is_present() {
        stamp(out, state.place.stamp);
        Datum::Float(state.place.lon).write(out);
        Datum::Float(state.place.lat).write(out);
        out.extend(state.place.cell.to_le_bytes());
    }
    for row in entity.rows_in_order() {
        if let Some(key) = entity.key(row) {
            for value in key.data() {
                match value {
                    None => out.push(0),
                    Some(v) => v.write(out),
                }
            }
        }
        for (name, latest) in entity.latest(row) {
            Datum::Text(name).write(out);
            stamp(out, latest.stamp);
            out.push(latest.quality as u8);
            latest.value.write(out);
        }
    }
}

/// Fowler, Noll and Vo's hash with their 128-bit constants.
fn fnv1a_128(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, &b| {
        (hash ^ u128::from(b)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}
