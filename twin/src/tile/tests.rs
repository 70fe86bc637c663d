use super::*;
use crate::testing::{Row, lights, product, twin};
use proptest::prelude::*;
use std::collections::HashMap;

/// A decoder written from the specification, apart from the encoder.
mod decode {
    use std::collections::BTreeMap;

    #[derive(Debug, Clone, PartialEq)]
    pub(super) enum Value {
        Text(String),
        Double(f64),
        Uint(u64),
        Bool(bool),
    }

    #[derive(Debug)]
    pub(super) struct Feature {
        pub(super) kind: u64,
        pub(super) points: Vec<[i64; 2]>,
        pub(super) tags: BTreeMap<String, Value>,
    }

    #[derive(Debug, Default)]
    pub(super) struct Layer {
        pub(super) name: String,
        pub(super) version: u64,
        pub(super) extent: u64,
        pub(super) features: Vec<Feature>,
        pub(super) n_values: usize,
    }

    #[derive(Clone, Copy)]
    enum Wire<'a> {
        Number(u64),
        Fixed(u64),
        Bytes(&'a [u8]),
    }

    fn varint(data: &mut &[u8]) -> u64 {
        let (mut v, mut shift) = (0, 0);
        loop {
            let byte = data[0];
            *data = &data[1..];
            v |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return v;
            }
        }
    }

    fn fields(mut data: &[u8]) -> Vec<(u64, Wire<'_>)> {
        let mut out = Vec::new();
        while !data.is_empty() {
            let tag = varint(&mut data);
            let wire = match tag & 7 {
                0 => Wire::Number(varint(&mut data)),
                1 => {
                    let (v, rest) = data.split_at(8);
                    data = rest;
                    Wire::Fixed(u64::from_le_bytes(v.try_into().unwrap()))
                }
                2 => {
                    let len = varint(&mut data) as usize;
                    let (v, rest) = data.split_at(len);
                    data = rest;
                    Wire::Bytes(v)
                }
                other => panic!("wire type {other}"),
            };
            out.push((tag >> 3, wire));
        }
        out
    }

    fn packed(mut data: &[u8]) -> Vec<u64> {
        let mut out = Vec::new();
        while !data.is_empty() {
            out.push(varint(&mut data));
        }
        out
    }

    fn value(data: &[u8]) -> Value {
        match fields(data)[..] {
            [(1, Wire::Bytes(t))] => Value::Text(String::from_utf8(t.to_vec()).unwrap()),
            [(3, Wire::Fixed(v))] => Value::Double(f64::from_bits(v)),
            [(5, Wire::Number(v))] => Value::Uint(v),
            [(7, Wire::Number(v))] => Value::Bool(v != 0),
            _ => panic!("a value has one known field"),
        }
    }

    fn geometry(data: &[u8]) -> Vec<[i64; 2]> {
        let numbers = packed(data);
        let (mut at, mut pen, mut out) = (0, [0, 0], Vec::new());
        while at < numbers.len() {
            let (command, count) = (numbers[at] & 7, numbers[at] >> 3);
            at += 1;
            if command == 7 {
                continue;
            }
            for _ in 0..count {
                for axis in &mut pen {
                    let n = numbers[at];
                    *axis += (n >> 1) as i64 ^ -((n & 1) as i64);
                    at += 1;
                }
                out.push(pen);
            }
        }
        out
    }

    pub(super) fn tile(data: &[u8]) -> Vec<Layer> {
        fields(data)
            .into_iter()
            .map(|(n, wire)| if let (3, Wire::Bytes(b)) = (n, wire) { layer(b) } else { panic!("not a layer") })
            .collect()
    }

    fn layer(data: &[u8]) -> Layer {
        let (mut out, mut keys, mut values, mut raw) = (Layer::default(), Vec::new(), Vec::new(), Vec::new());
        for (n, wire) in fields(data) {
            match (n, wire) {
                (15, Wire::Number(v)) => out.version = v,
                (5, Wire::Number(v)) => out.extent = v,
                (1, Wire::Bytes(b)) => out.name = String::from_utf8(b.to_vec()).unwrap(),
                (2, Wire::Bytes(b)) => raw.push(b),
                (3, Wire::Bytes(b)) => keys.push(String::from_utf8(b.to_vec()).unwrap()),
                (4, Wire::Bytes(b)) => values.push(value(b)),
                _ => panic!("field {n} of a layer"),
            }
        }
        out.n_values = values.len();
        for feature in raw {
            let mut f = Feature { kind: 0, points: Vec::new(), tags: BTreeMap::new() };
            for (n, wire) in fields(feature) {
                match (n, wire) {
                    (2, Wire::Bytes(b)) => {
                        f.tags = packed(b).chunks(2).map(|t| (keys[t[0] as usize].clone(), values[t[1] as usize].clone())).collect();
                    }
                    (3, Wire::Number(v)) => f.kind = v,
                    (4, Wire::Bytes(b)) => f.points = geometry(b),
                    _ => panic!("field {n} of a feature"),
                }
            }
            out.features.push(f);
        }
        out
    }
}

use decode::Value as V;

fn request() -> TileRequest {
    TileRequest { field: Some("power".into()), ..TileRequest::new(Tenants::All, product("street_light"), Timestamp(10)) }
}

/// A place in tiles of a zoom, by the formula every map library prints.
fn world(z: u8, lon: f64, lat: f64) -> [f64; 2] {
    let n = 2f64.powi(i32::from(z));
    let phi = lat.to_radians();
    [(lon + 180.0) / 360.0 * n, (1.0 - (phi.tan() + 1.0 / phi.cos()).ln() / std::f64::consts::PI) / 2.0 * n]
}

/// The tile that holds a point of [`world`], and the point in units of the tile.
fn tile_of([x, y]: [f64; 2]) -> ([u32; 2], [f64; 2]) {
    ([x as u32, y as u32], [x.fract() * 4096.0, y.fract() * 4096.0])
}

fn locate(z: u8, lon: f64, lat: f64) -> ([u32; 2], [f64; 2]) {
    tile_of(world(z, lon, lat))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_point_is_in_its_tile_at_its_place(places in prop::collection::vec((-179.0..179.0f64, -80.0..80.0f64), 1..50), z in 13..=20u8) {
        let twin = lights(&places);
        for (i, &(lon, lat)) in places.iter().enumerate() {
            let ([x, y], [px, py]) = locate(z, lon, lat);
            let layers = decode::tile(&twin.tile(z, x, y, &request()).unwrap());
            prop_assert_eq!((layers[0].name.as_str(), layers[0].version, layers[0].extent), ("points", 2, 4096));
            let feature = layers[0].features.iter().find(|f| f.tags["value"] == V::Double(i as f64)).unwrap();
            // A unit of zoom 20 is a nanodegree or so: the 32-bit grid is as fine as the rounding allows.
            prop_assert!((feature.points[0][0] as f64 - px).abs() <= 1.5 && (feature.points[0][1] as f64 - py).abs() <= 1.5);
            prop_assert_eq!(&feature.tags["id"], &V::Text(format!("urn:ngsi-ld:Thing:bologna:{i}")));
            prop_assert_eq!(&feature.tags["name"], &V::Text(i.to_string()));
            prop_assert_eq!((&feature.tags["freshness"], &feature.tags["quality"]), (&V::Text("fresh".into()), &V::Text("valid".into())));
            prop_assert_eq!((feature.kind, &feature.tags["simulated"]), (1, &V::Bool(true)));
        }
    }

    #[test]
    fn cells_carry_their_figures_and_lie_clockwise_in_the_tile(places in prop::collection::vec((11.2..11.5f64, 44.4..44.6f64), 1..300), z in 7..=12u8) {
        let twin = lights(&places);
        let aggregates = twin.h3_aggregates(&crate::AggregateRequest {
            tenants: Tenants::All, product: product("street_light"), field: Some("power".into()), resolution: resolution(z), bbox: None,
        }).unwrap();
        let mut tiles: HashMap<[u32; 2], decode::Layer> = HashMap::new();
        for a in aggregates {
            let index = a.cell.index().unwrap();
            let centre = h3o::LatLng::from(index);
            let middle = world(z, centre.lng(), centre.lat());
            // Each tile that a drawn corner of the cell lies in has the cell, so a cell across an edge is in both.
            for corner in index.boundary().iter() {
                let whole = world(z, corner.lng(), corner.lat());
                let ([x, y], [px, py]) = tile_of([0, 1].map(|axis| middle[axis] + (whole[axis] - middle[axis]) * CELL_DRAWN));
                let layer = tiles.entry([x, y]).or_insert_with(|| decode::tile(&twin.tile(z, x, y, &request()).unwrap()).remove(0));
                let feature = layer.features.iter().find(|f| f.tags["h3"] == V::Text(a.cell.text())).unwrap();
                prop_assert_eq!(&feature.tags["n"], &V::Uint(a.n));
                prop_assert_eq!((&feature.tags["mean"], &feature.tags["min"], &feature.tags["max"]), (&V::Double(a.mean), &V::Double(a.min), &V::Double(a.max)));
                prop_assert!(feature.points.iter().any(|p| (p[0] as f64 - px).abs() <= 1.0 && (p[1] as f64 - py).abs() <= 1.0), "corner {:?} of {:?}", (px, py), feature.points);
            }
        }
        for feature in tiles.values().flat_map(|l| &l.features) {
            let ring: Vec<[i32; 2]> = feature.points.iter().map(|p| p.map(|v| v as i32)).collect();
            prop_assert!(ring.iter().flatten().all(|v| (-64..=4096 + 64).contains(v)));
            prop_assert_eq!(feature.kind, 3);
            prop_assert!(area(&ring) > 0);
            prop_assert!(ring.first() != ring.last());
        }
    }
}

#[test]
fn keys_and_values_are_written_once() {
    let rows: Vec<Row> = (0..100).map(|i| Row::new(&i.to_string(), 10, 1).at(11.3, 44.5).with("power", 5.0)).collect();
    let ([x, y], _) = locate(14, 11.3, 44.5);
    let layers = decode::tile(&twin("street_light", &rows).tile(14, x, y, &request()).unwrap());
    // 100 ids, 100 names, one figure, 3 words of freshness, 4 of quality, 2 flags.
    assert_eq!((layers[0].features.len(), layers[0].n_values), (100, 210));
}

#[test]
fn a_crowded_tile_has_cells_instead_of_points() {
    let rows: Vec<Row> = (0..20).map(|i| Row::new(&i.to_string(), 10, 1).at(11.3, 44.5).with("power", 5.0)).collect();
    let ([x, y], _) = locate(14, 11.3, 44.5);
    let few = TileRequest { points_max: 19, ..request() };
    let layers = decode::tile(&twin("street_light", &rows).tile(14, x, y, &few).unwrap());
    assert_eq!((layers[0].name.as_str(), &layers[0].features[0].tags["n"]), ("cells", &V::Uint(20)));
}

#[test]
fn cells_across_the_antimeridian_are_drawn_on_both_sides_and_not_across_the_world() {
    let twin = lights(&[(179.999, -17.0), (-179.999, -17.0)]);
    let mut seen = 0;
    for (x, y) in [(511, 280), (0, 280), (511, 279), (0, 279)] {
        for feature in decode::tile(&twin.tile(9, x, y, &request()).unwrap()).iter().flat_map(|l| &l.features) {
            let width = feature.points.iter().map(|p| p[0]).max().unwrap() - feature.points.iter().map(|p| p[0]).min().unwrap();
            assert!(width < 1_000, "{:?}", feature.points);
            seen += 1;
        }
    }
    assert!(seen >= 2, "at least once on each side: {seen}");
}

#[test]
fn an_empty_tile_is_empty_and_an_impossible_one_an_error() {
    let twin = lights(&[(11.3, 44.5)]);
    assert_eq!(twin.tile(14, 0, 0, &request()).unwrap(), Vec::<u8>::new());
    assert_eq!(twin.tile(3, 0, 0, &request()).unwrap(), Vec::<u8>::new());
    assert!(twin.tile(3, 8, 0, &request()).is_err());
    assert!(twin.tile(25, 0, 0, &request()).is_err());
    assert!(twin.tile(3, 0, 0, &TileRequest { field: Some("nothing".into()), ..request() }).is_err());
    let hidden = TileRequest { tenants: Tenants::Only(vec![]), ..request() };
    assert_eq!(twin.tile(0, 0, 0, &hidden).unwrap(), Vec::<u8>::new());
    assert!(!twin.tile(0, 0, 0, &request()).unwrap().is_empty());
}
