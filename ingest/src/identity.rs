//! What makes two rows the same row (ING-3): entity, instant, key fields and the set of fields that hold a value.
//!
//! Hashes live in memory only and are seeded anew for every pipeline, so that nobody can prepare rows that collide with another's.

use crate::{decode::block::Slot, mapping::route::Table};
use arrow_array::{Array, RecordBatch, cast::AsArray, types};
use foldhash::quality::RandomState;
use schemas::{Contract, FieldType, Quality, row};
use std::hash::{BuildHasher, Hasher};

/// Hashes of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowHash {
    /// Entity, key fields and set of fields with a value.
    pub series: u64,
    /// Values of the other fields, and quality.
    pub content: u32,
}

impl RowHash {
    /// The row within its table: its series and its instant.
    #[must_use]
    pub fn identity(self, observed_at_us: i64) -> u64 {
        // SplitMix64's finaliser over a sum: bijective in the instant, so two rows of one series never share an identity.
        let mut z = self.series.wrapping_add((observed_at_us as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The value of one field as the hash sees it, wherever it comes from.
#[derive(Debug, Clone, Copy)]
enum Seen<'a> {
    Null,
    Bits(u64),
    Text(&'a str),
}

fn float_bits(v: f64) -> u64 {
    // -0.0 and 0.0 are equal values.
    (v + 0.0).to_bits()
}

/// The hash functions of one pipeline.
#[derive(Debug, Clone, Default)]
pub struct Identities(RandomState);

impl Identities {
    #[must_use]
    pub fn entity(&self, id: &str) -> u64 {
        self.0.hash_one(id)
    }

    /// Of a decoded row.
    #[must_use]
    pub fn row(&self, contract: &Contract, entity: u64, quality: Quality, slots: &[Slot], texts: &str) -> RowHash {
        self.hash(contract, entity, quality, |i| match slots[i] {
            Slot::Null => Seen::Null,
            Slot::Float(v) => Seen::Bits(float_bits(v)),
            Slot::Int(v) => Seen::Bits(v as u64),
            Slot::Bool(v) => Seen::Bits(u64::from(v)),
            Slot::Text { start, len } => Seen::Text(&texts[start as usize..(start + len) as usize]),
        })
    }

    fn hash<'a>(&self, contract: &Contract, entity: u64, quality: Quality, seen: impl Fn(usize) -> Seen<'a>) -> RowHash {
        let (mut series, mut content) = (self.0.build_hasher(), self.0.build_hasher());
        series.write_u64(entity);
        content.write_u8(quality as u8);
        let mut mask = 0u128;
        for (i, field) in contract.fields.iter().enumerate() {
            let value = seen(i);
            let to = if field.key { &mut series } else { &mut content };
            match value {
                Seen::Null if field.key => to.write_u8(0),
                Seen::Null => continue,
                Seen::Bits(bits) => to.write_u64(bits),
                Seen::Text(text) => {
                    to.write(text.as_bytes());
                    to.write_u64(text.len() as u64);
                }
            }
            mask |= 1 << (i % 128);
        }
        series.write_u128(mask);
        RowHash { series: series.finish(), content: content.finish() as u32 }
    }

    /// Identity and content of stored rows. The error names a column that is missing or has another type.
    pub fn stored(&self, table: &Table, batch: &RecordBatch) -> Result<Vec<(u64, u32)>, String> {
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("{}: stored rows lack '{name}'", table.name));
        let wrong = |name: &str| format!("{}: stored column '{name}' has an unexpected type", table.name);
        let entities = column(row::ENTITY_ID)?.as_string_opt::<i32>().ok_or_else(|| wrong(row::ENTITY_ID))?;
        let times = column(row::OBSERVED_AT)?;
        let times = times.as_primitive_opt::<types::TimestampMicrosecondType>().ok_or_else(|| wrong(row::OBSERVED_AT))?;
        let qualities = column(row::QUALITY)?.as_string_opt::<i32>().ok_or_else(|| wrong(row::QUALITY))?;
        let columns = table.contract.fields.iter().map(|f| column(&f.name)).collect::<Result<Vec<_>, _>>()?;
        for (field, column) in table.contract.fields.iter().zip(&columns) {
            if *column.data_type() != field.kind.arrow() {
                return Err(wrong(&field.name));
            }
        }
        let out = (0..batch.num_rows()).map(|i| {
            let quality = Quality::from_name(qualities.value(i)).unwrap_or(Quality::Unchecked);
            let hash = self.hash(&table.contract, self.entity(entities.value(i)), quality, |f| {
                seen(table.contract.fields[f].kind, columns[f].as_ref(), i)
            });
            (hash.identity(times.value(i)), hash.content)
        });
        Ok(out.collect())
    }
}

fn seen(kind: FieldType, column: &dyn Array, i: usize) -> Seen<'_> {
    if column.is_null(i) {
        return Seen::Null;
    }
    match kind {
        FieldType::Float => Seen::Bits(float_bits(column.as_primitive::<types::Float64Type>().value(i))),
        FieldType::Int => Seen::Bits(column.as_primitive::<types::Int64Type>().value(i) as u64),
        FieldType::Bool => Seen::Bits(u64::from(column.as_boolean().value(i))),
        FieldType::Text => Seen::Text(column.as_string::<i32>().value(i)),
    }
}
