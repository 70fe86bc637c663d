//! The register of cameras as rows of `<tenant>.camera_register`, so that the map, SQL and the past show it like everything else.
//! An entry that changed is a new row; one that left the files is closed, and its data go by its last retention.

use super::{
    Parts,
    own_rows::{self, Origin},
};
use anyhow::Result;
use ingest::camera::Stream;
use schemas::{EntityId, Position, ProductId, TableRef, Tenant, Timestamp, Value};
use serde_json::{Map, json};
use std::collections::{BTreeMap, HashSet};
use twin::{EntityView, Twin};

pub const PRODUCT: &str = "camera_register";
const ENTITY_TYPE: &str = "Camera";
const CLOSED: &str = "closed";

type Row = Map<String, serde_json::Value>;

/// A text of an entry; empty when it has none.
pub fn text(entry: EntityView<'_>, field: &str) -> String {
    match entry.value(field) {
        Some(Value::Text(text)) => text.to_string(),
        _ => String::new(),
    }
}

/// Writes what the table does not say yet.
pub(super) async fn round(parts: &Parts) -> Result<()> {
    let (now, twin) = (parts.clock.now(), parts.feed.snapshot());
    for (tenant, rows) in changes(parts.devices.readers.cameras.streams(), &twin, now)? {
        let rows = rows.into_iter().map(|row| serde_json::Value::Object(row).to_string());
        let outcome =
            own_rows::submit(parts, Origin { source: "portico/cameras", tenant: &tenant, simulated: false }, PRODUCT, rows, now).await?;
        tracing::info!(%tenant, stored = outcome.counts.stored, refused = outcome.counts.quarantined, "register of cameras");
    }
    Ok(())
}

fn changes(streams: &[Stream], twin: &Twin, now: Timestamp) -> Result<BTreeMap<Tenant, Vec<Row>>> {
    let mut out: BTreeMap<Tenant, Vec<Row>> = BTreeMap::new();
    let mut named = HashSet::new();
    for stream in streams {
        let id = EntityId::compose(ENTITY_TYPE, &stream.tenant, &stream.id)?;
        let table = TableRef::new(stream.tenant.clone(), ProductId::new(PRODUCT)?);
        let known = twin.find(id.as_str()).find(|e| *e.table() == table);
        let row = entry(stream, now);
        if !known.is_some_and(|e| says(e, &row)) {
            out.entry(stream.tenant.clone()).or_default().push(complete(row, id.as_str(), now));
        }
        named.insert(id);
    }
    let left = twin.all().filter(|e| e.table().product.as_str() == PRODUCT && !named.iter().any(|n| n.as_str() == e.id()));
    for entry in left.filter(|e| text(*e, "state") != CLOSED) {
        let values = entry.values().into_iter().map(|(name, value)| (name.to_owned(), serde_json::to_value(value).unwrap_or_default()));
        let mut row: Row = values.collect();
        row.insert("state".into(), CLOSED.into());
        if text(entry, "valid_to").is_empty() {
            row.insert("valid_to".into(), now.to_date_text().into());
        }
        place(&mut row, entry.place());
        out.entry(entry.table().tenant.clone()).or_default().push(complete(row, entry.id(), now));
    }
    Ok(out)
}

/// What the table should say of a stream; an absent text is empty, so that it replaces what was there.
fn entry(stream: &Stream, now: Timestamp) -> Row {
    let ended = stream.valid_to.is_some_and(|to| to <= now);
    let corners: Vec<[f64; 2]> = stream.field_of_view.iter().map(|p| [p.lon, p.lat]).collect();
    let values = json!({
        "state": if ended { "ended" } else { "registered" },
        "owner": stream.owner, "contact": stream.contact, "purpose_it": stream.purpose.it, "purpose_en": stream.purpose.en,
        "legal_basis": stream.legal_basis, "dpia": stream.dpia, "retention_days": stream.retention_days,
        "recipients": stream.recipients.join("; "), "zones": stream.zones.join("; "),
        "valid_from": stream.valid_from.to_date_text(), "valid_to": stream.valid_to.map(Timestamp::to_date_text).unwrap_or_default(),
        "field_of_view": json!(corners).to_string(),
    });
    let mut row = match values {
        serde_json::Value::Object(row) => row,
        _ => Row::new(),
    };
    place(&mut row, stream.position.or_else(|| middle(&stream.field_of_view)));
    row
}

fn complete(mut row: Row, id: &str, now: Timestamp) -> Row {
    row.extend([("id".to_owned(), json!(id)), ("observed_at".into(), json!(now.to_rfc3339())), ("quality".into(), json!("valid"))]);
    row
}

fn says(known: EntityView<'_>, row: &Row) -> bool {
    let at = known.place();
    row.iter().all(|(name, value)| match name.as_str() {
        "lon" => at.map(|p| json!(p.lon)).as_ref() == Some(value),
        "lat" => at.map(|p| json!(p.lat)).as_ref() == Some(value),
        _ => known.value(name).and_then(|v| serde_json::to_value(v).ok()).as_ref() == Some(value),
    })
}

fn place(row: &mut Row, at: Option<Position>) {
    if let Some(at) = at {
        row.extend([("lon".to_owned(), json!(at.lon)), ("lat".to_owned(), json!(at.lat))]);
    }
}

fn middle(ring: &[Position]) -> Option<Position> {
    let n = ring.len() as f64;
    Position::new(ring.iter().map(|p| p.lon).sum::<f64>() / n, ring.iter().map(|p| p.lat).sum::<f64>() / n)
}
