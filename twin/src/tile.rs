//! Vector tiles of one product: H3 cells when far, points when near.

use crate::{
    EntityView, Freshness, Twin, TwinError,
    aggregate::{CellAggregate, Sums, gather},
    area::BBox,
    filter::Tenants,
    index::Entry,
    mercator::{self, WORLD},
    mvt::{EXTENT, Geometry, Layer},
    table::Table,
    twin::attribute_of,
};
use h3o::Resolution;
use schemas::{ProductId, Quality, Timestamp};

/// Units around a tile that are drawn too, so that symbols at the edge are not cut.
const BUFFER: f64 = 64.0;
/// Beyond this a tile is smaller than the 32 bits of a coordinate can tell apart.
const ZOOM_MAX: u8 = 24;
/// Cells are drawn a little smaller than they are: the gap tells neighbours apart at no cost, where outlines would be drawn twice each.
const CELL_DRAWN: f64 = 0.95;
const POINT_KEYS: &[&str] = &["id", "name", "value", "freshness", "quality", "simulated"];
const CELL_KEYS: &[&str] = &["h3", "n", "mean", "min", "max"];

/// What to draw.
#[derive(Debug, Clone)]
pub struct TileRequest {
    pub tenants: Tenants,
    pub product: ProductId,
    /// The headline when absent.
    pub field: Option<String>,
    /// Freshness is judged at this instant.
    pub now: Timestamp,
    /// From this zoom on a tile has points.
    pub points_from: u8,
    /// A tile with more points than this has cells instead.
    pub points_max: usize,
}

impl TileRequest {
    /// Points from zoom 13, at most 50,000 a tile.
    #[must_use]
    pub fn new(tenants: Tenants, product: ProductId, now: Timestamp) -> Self {
        Self { tenants, product, field: None, now, points_from: 13, points_max: 50_000 }
    }
}

impl Twin {
    /// The tile as Mapbox Vector Tile 2.1, uncompressed; empty when nothing is there. One layer:
    /// `points` (id, name, value, freshness, quality, simulated) or `cells` (h3, n, mean, min, max), see [`TileRequest`].
    /// Errors: unknown product or field; a tile that does not exist.
    pub fn tile(&self, z: u8, x: u32, y: u32, request: &TileRequest) -> Result<Vec<u8>, TwinError> {
        let window = Window::new(z, x, y)?;
        let mut tables = Vec::new();
        for table in self.tables_of(&request.product, &request.tenants)? {
            tables.push((table, attribute_of(table, request.field.as_deref())?));
        }
        if z >= request.points_from
            && let Some(points) = points(&tables, &window, request)
        {
            return Ok(points);
        }
        Ok(cells(&tables, &window))
    }
}

/// One tile in the units of [`mercator`].
#[derive(Debug)]
struct Window {
    z: u8,
    /// North-west corner.
    x: f64,
    y: f64,
    size: f64,
}

impl Window {
    fn new(z: u8, x: u32, y: u32) -> Result<Self, TwinError> {
        if z > ZOOM_MAX || u64::from(x.max(y)) >= 1 << z {
            let rule = "zoom is at most 24, x and y are below 2 to the power of zoom";
            return Err(TwinError::Request { what: "tile", value: format!("{z}/{x}/{y}"), rule });
        }
        let size = WORLD / f64::from(1u32 << z);
        Ok(Self { z, x: f64::from(x) * size, y: f64::from(y) * size, size })
    }

    /// The tile with its buffer.
    fn bounds(&self) -> BBox {
        let margin = self.size * BUFFER / f64::from(EXTENT);
        let [west, north] = mercator::unproject([self.x - margin, self.y - margin]);
        let [east, south] = mercator::unproject([self.x + self.size + margin, self.y + self.size + margin]);
        BBox::unwrapped(west, south, east, north)
    }

    /// Units from the north-west corner; east of the antimeridian continues west of it.
    fn local(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let scale = f64::from(EXTENT) / self.size;
        [(x - self.x) * scale, (y - self.y) * scale]
    }

    /// The same, moved by whole worlds until it is nearest to the middle of the tile.
    fn nearest(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let worlds = ((x - self.x - self.size / 2.0) / WORLD).round();
        self.local([x - worlds * WORLD, y])
    }

    fn point(&self, entry: &Entry) -> Option<[i32; 2]> {
        let at = self.nearest([f64::from(entry.x), f64::from(entry.y)]);
        let inside = |v: f64| (-BUFFER..=f64::from(EXTENT) + BUFFER).contains(&v);
        (inside(at[0]) && inside(at[1])).then(|| at.map(|v| v.floor() as i32))
    }
}

/// `None` when there are more than the request allows.
fn points(tables: &[(&Table, usize)], window: &Window, request: &TileRequest) -> Option<Vec<u8>> {
    let mut layer = Layer::new("points", POINT_KEYS);
    // The same few words on every feature: written once, in a known order.
    let freshness = Freshness::ALL.map(|f| layer.text(f.name()));
    let quality = [Quality::Valid, Quality::Unchecked, Quality::Suspect, Quality::Invalid].map(|q| layer.text(q.name()));
    let simulated = [false, true].map(|s| layer.unique_flag(s));
    let bounds = window.bounds();
    for &(table, attribute) in tables {
        let index = table.index();
        for entry in index.candidates(&bounds).flat_map(|r| &index.placed[r]) {
            let Some(at) = window.point(entry) else { continue };
            if layer.len == request.points_max {
                return None;
            }
            let entity = EntityView::new(table, entry.entity);
            let mut tags = [[0, 0]; POINT_KEYS.len()];
            tags[0] = [0, layer.unique_text(entity.id())];
            tags[1] = [1, layer.text(entity.name())];
            tags[2] = [3, freshness[entity.freshness(request.now) as usize]];
            tags[3] = [4, quality[entity.quality() as usize]];
            tags[4] = [5, simulated[usize::from(entity.simulated())]];
            let mut n_tags = 5;
            if let Some(v) = entity.number(attribute) {
                tags[5] = [2, layer.double(v)];
                n_tags = 6;
            }
            layer.feature(Geometry::Point(at), &tags[..n_tags]);
        }
    }
    Some(layer.finish())
}

/// Cells of about 10 to 40 pixels on the screen.
fn resolution(z: u8) -> Resolution {
    match z {
        0..=3 => Resolution::Three,
        4 => Resolution::Four,
        5..=6 => Resolution::Five,
        7..=8 => Resolution::Six,
        9..=10 => Resolution::Seven,
        11 => Resolution::Eight,
        12 => Resolution::Nine,
        13 => Resolution::Ten,
        _ => Resolution::Eleven,
    }
}

fn cells(tables: &[(&Table, usize)], window: &Window) -> Vec<u8> {
    let resolution = resolution(window.z);
    // An entity lies within a cell's width of its cell, so that far beyond the edge cells may still reach in.
    let area = window.bounds().grown(3.0 * resolution.edge_length_m());
    let mut sums = Sums::new();
    for &(table, attribute) in tables {
        gather(table, attribute, resolution, Some(&area), &mut sums);
    }
    let mut layer = Layer::new("cells", CELL_KEYS);
    let mut ring = Vec::new();
    for (cell, sum) in sums {
        outline(&cell, window, &mut ring);
        if ring.len() >= 3 {
            cell_feature(&mut layer, &sum.aggregate(cell), &ring);
        }
    }
    layer.finish()
}

fn cell_feature(layer: &mut Layer, a: &CellAggregate, ring: &[[i32; 2]]) {
    let n = u32::try_from(a.n).unwrap_or(u32::MAX);
    let tags = [
        [0, layer.unique_text(&a.cell.text())],
        [1, layer.number(n)],
        [2, layer.double(a.mean)],
        [3, layer.double(a.min)],
        [4, layer.double(a.max)],
    ];
    layer.feature(Geometry::Polygon(ring), &tags);
}

/// The part of a cell inside the tile and its buffer, in tile units, clockwise on the screen; empty when there is none.
fn outline(cell: &schemas::Cell, window: &Window, ring: &mut Vec<[i32; 2]>) {
    ring.clear();
    let Some(index) = cell.index() else { return };
    let center = h3o::LatLng::from(index);
    let middle = window.nearest(mercator::project(center.lng(), center.lat()));
    let mut shape: Vec<[f64; 2]> = Vec::with_capacity(12);
    for corner in index.boundary().iter() {
        // Measured from the middle of the cell, so that no cell is torn apart at the antimeridian.
        let lon = center.lng() + (corner.lng() - center.lng() + 540.0).rem_euclid(360.0) - 180.0;
        let [dx, dy] = window.local(mercator::project(lon, corner.lat()));
        let [cx, cy] = window.local(mercator::project(center.lng(), center.lat()));
        shape.push([middle[0] + (dx - cx) * CELL_DRAWN, middle[1] + (dy - cy) * CELL_DRAWN]);
    }
    for (axis, limit, keep_less) in
        [(0, -BUFFER, false), (0, f64::from(EXTENT) + BUFFER, true), (1, -BUFFER, false), (1, f64::from(EXTENT) + BUFFER, true)]
    {
        shape = clip(&shape, axis, limit, keep_less);
    }
    ring.extend(shape.iter().map(|p| p.map(|v| v.round() as i32)));
    ring.dedup();
    while ring.len() > 1 && ring.first() == ring.last() {
        ring.pop();
    }
    match area(ring) {
        0 => ring.clear(),
        a if a < 0 => ring.reverse(),
        _ => {}
    }
}

/// One side of Sutherland and Hodgman's clipping of a convex shape: keeps what is below (or above) `limit` on `axis`.
fn clip(shape: &[[f64; 2]], axis: usize, limit: f64, keep_less: bool) -> Vec<[f64; 2]> {
    let inside = |p: &[f64; 2]| if keep_less { p[axis] <= limit } else { p[axis] >= limit };
    let mut out = Vec::with_capacity(shape.len() + 2);
    for (i, to) in shape.iter().enumerate() {
        let from = &shape[(i + shape.len() - 1) % shape.len()];
        if inside(from) != inside(to) {
            let t = (limit - from[axis]) / (to[axis] - from[axis]);
            let mut cut = [from[0] + t * (to[0] - from[0]), from[1] + t * (to[1] - from[1])];
            cut[axis] = limit;
            out.push(cut);
        }
        if inside(to) {
            out.push(*to);
        }
    }
    out
}

/// Twice the area by the surveyor's formula; positive when clockwise on the screen (specification, 4.3.3.3).
fn area(ring: &[[i32; 2]]) -> i64 {
    let [x, y] = [0, 1].map(|axis| move |p: &[i32; 2]| i64::from(p[axis]));
    ring.iter().zip(ring.iter().cycle().skip(1)).map(|(a, b)| x(a) * y(b) - x(b) * y(a)).sum()
}

#[cfg(test)]
mod tests;
