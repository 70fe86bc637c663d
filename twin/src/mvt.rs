//! A writer of Mapbox Vector Tiles, version 2.1: the few messages of its protobuf schema, by hand.
//!
//! Source: Mapbox Vector Tile Specification 2.1, sections 4.1 (layers), 4.3 (geometry), 4.4 (attributes), and its .proto file.

use hashbrown::HashMap;

/// Units across a tile.
pub const EXTENT: u32 = 4_096;

/// What a geometry is (4.3.4).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Geometry<'a> {
    Point([i32; 2]),
    /// One exterior ring, not closed, clockwise on the screen (positive area, y downwards).
    Polygon(&'a [[i32; 2]]),
}

/// A layer being written: features are encoded at once, keys and values are collected and each written once.
#[derive(Debug)]
pub(crate) struct Layer {
    name: &'static str,
    keys: &'static [&'static str],
    features: Vec<u8>,
    values: Vec<u8>,
    values_len: u32,
    texts: HashMap<Box<str>, u32, foldhash::fast::RandomState>,
    doubles: HashMap<u64, u32, foldhash::fast::RandomState>,
    numbers: HashMap<u32, u32, foldhash::fast::RandomState>,
    scratch: Vec<u8>,
    geometry: Vec<u8>,
    pub(crate) len: usize,
}

impl Layer {
    pub(crate) fn new(name: &'static str, keys: &'static [&'static str]) -> Self {
        Self {
            name,
            keys,
            features: Vec::new(),
            values: Vec::new(),
            values_len: 0,
            texts: HashMap::default(),
            doubles: HashMap::default(),
            numbers: HashMap::default(),
            scratch: Vec::new(),
            geometry: Vec::new(),
            len: 0,
        }
    }

    /// Index of a text that may occur again.
    pub(crate) fn text(&mut self, text: &str) -> u32 {
        if let Some(&found) = self.texts.get(text) {
            return found;
        }
        let index = self.unique_text(text);
        self.texts.insert(text.into(), index);
        index
    }

    /// Index of a text that the caller knows to be new.
    pub(crate) fn unique_text(&mut self, text: &str) -> u32 {
        let len = text.len() as u32;
        varint(&mut self.values, key(4, 2));
        varint(&mut self.values, 1 + varint_len(len) + len);
        varint(&mut self.values, key(1, 2));
        varint(&mut self.values, len);
        self.values.extend(text.as_bytes());
        self.next_value()
    }

    pub(crate) fn double(&mut self, v: f64) -> u32 {
        if let Some(&found) = self.doubles.get(&v.to_bits()) {
            return found;
        }
        varint(&mut self.values, key(4, 2));
        varint(&mut self.values, 9);
        varint(&mut self.values, key(3, 1));
        self.values.extend(v.to_le_bytes());
        let index = self.next_value();
        self.doubles.insert(v.to_bits(), index);
        index
    }

    /// A flag or whole number that the caller knows to be new. `field` is 7 for a flag, 5 for an unsigned number.
    fn unique_varint(&mut self, field: u32, v: u32) -> u32 {
        varint(&mut self.values, key(4, 2));
        varint(&mut self.values, 1 + varint_len(v));
        varint(&mut self.values, key(field, 0));
        varint(&mut self.values, v);
        self.next_value()
    }

    pub(crate) fn unique_flag(&mut self, v: bool) -> u32 {
        self.unique_varint(7, u32::from(v))
    }

    pub(crate) fn number(&mut self, v: u32) -> u32 {
        if let Some(&found) = self.numbers.get(&v) {
            return found;
        }
        let index = self.unique_varint(5, v);
        self.numbers.insert(v, index);
        index
    }

    fn next_value(&mut self) -> u32 {
        self.values_len += 1;
        self.values_len - 1
    }

    /// `tags`: pairs of key index and value index.
    pub(crate) fn feature(&mut self, geometry: Geometry<'_>, tags: &[[u32; 2]]) {
        self.scratch.clear();
        self.geometry.clear();
        tags.iter().flatten().for_each(|&t| varint(&mut self.scratch, t));
        let kind = match geometry {
            Geometry::Point(p) => {
                varint(&mut self.geometry, command(1, 1));
                step(&mut self.geometry, [0, 0], p);
                1
            }
            Geometry::Polygon(ring) => {
                polygon(&mut self.geometry, ring);
                3
            }
        };
        let (tags_len, geometry_len) = (self.scratch.len() as u32, self.geometry.len() as u32);
        let out = &mut self.features;
        varint(out, key(2, 2));
        varint(out, 1 + varint_len(tags_len) + tags_len + 2 + 1 + varint_len(geometry_len) + geometry_len);
        varint(out, key(2, 2));
        varint(out, tags_len);
        out.extend_from_slice(&self.scratch);
        varint(out, key(3, 0));
        varint(out, kind);
        varint(out, key(4, 2));
        varint(out, geometry_len);
        out.extend_from_slice(&self.geometry);
        self.len += 1;
    }

    /// The layer as a tile of its own (tiles are joined by joining their bytes); empty without features.
    pub(crate) fn finish(self) -> Vec<u8> {
        if self.len == 0 {
            return Vec::new();
        }
        let mut ends = Vec::new();
        for name in self.keys {
            bytes(&mut ends, 3, name.as_bytes());
        }
        let mut head = Vec::new();
        varint(&mut head, key(15, 0));
        varint(&mut head, 2);
        bytes(&mut head, 1, self.name.as_bytes());
        let mut extent = Vec::new();
        varint(&mut extent, key(5, 0));
        varint(&mut extent, EXTENT);
        let parts = [&head, &self.features, &ends, &self.values, &extent];
        let len: usize = parts.iter().map(|p| p.len()).sum();
        let mut out = Vec::with_capacity(len + 8);
        varint(&mut out, key(3, 2));
        varint(&mut out, len as u32);
        parts.iter().for_each(|p| out.extend_from_slice(p));
        out
    }
}

fn polygon(out: &mut Vec<u8>, ring: &[[i32; 2]]) {
    let Some((&first, rest)) = ring.split_first() else { return };
    varint(out, command(1, 1));
    step(out, [0, 0], first);
    varint(out, command(2, rest.len() as u32));
    let mut at = first;
    for &to in rest {
        step(out, at, to);
        at = to;
    }
    varint(out, command(7, 1));
}

const fn command(id: u32, count: u32) -> u32 {
    (count << 3) | id
}

fn step(out: &mut Vec<u8>, from: [i32; 2], to: [i32; 2]) {
    for axis in 0..2 {
        let d = to[axis] - from[axis];
        varint(out, ((d << 1) ^ (d >> 31)) as u32);
    }
}

/// Tag of a protobuf field.
const fn key(field: u32, wire: u32) -> u32 {
    (field << 3) | wire
}

fn bytes(out: &mut Vec<u8>, field: u32, content: &[u8]) {
    varint(out, key(field, 2));
    varint(out, content.len() as u32);
    out.extend_from_slice(content);
}

fn varint(out: &mut Vec<u8>, mut v: u32) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

const fn varint_len(v: u32) -> u32 {
    match v {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        0x20_0000..=0xfff_ffff => 4,
        _ => 5,
    }
}
