//! Entities as GeoJSON (RFC 7946), written straight to bytes: a page can hold a hundred thousand.

use crate::scope::Visible;
use schemas::{Timestamp, Value};
use serde::Serialize;

/// One feature. `visible` is the entity's table as the caller sees it; `at` is when freshness is judged.
pub(super) fn feature(out: &mut Vec<u8>, entity: twin::EntityView<'_>, visible: &Visible, at: Timestamp) {
    out.extend_from_slice(b"{\"type\":\"Feature\",\"id\":");
    json(out, entity.id());
    geometry(out, entity.place());
    out.extend_from_slice(b",\"properties\":{");
    common(out, entity, visible, at);
    out.extend_from_slice(b",\"values\":{");
    let mut first = true;
    for (name, value) in entity.values() {
        if visible.shows(name) {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            json(out, name);
            out.push(b':');
            json(out, &value);
        }
    }
    out.extend_from_slice(b"}}}");
}

/// One entity with every attribute, each with its own time, quality and key values.
pub(super) fn entity(out: &mut Vec<u8>, entity: twin::EntityView<'_>, visible: &Visible, at: Timestamp) {
    out.extend_from_slice(b"{\"id\":");
    json(out, entity.id());
    geometry(out, entity.place());
    out.push(b',');
    common(out, entity, visible, at);
    out.extend_from_slice(b",\"attributes\":[");
    let mut first = true;
    for attribute in entity.attributes().iter().filter(|a| visible.shows(a.name)) {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        json(out, &Shown::of(attribute, visible));
    }
    out.extend_from_slice(format!("],\"truncated\":{}}}", entity.truncated()).as_bytes());
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    value: &'a Value,
    unit: Option<&'a str>,
    observed_at: String,
    received_at: String,
    quality: &'static str,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    key: serde_json::Map<String, serde_json::Value>,
}

impl<'a> Shown<'a> {
    fn of(attribute: &'a twin::Attribute<'a>, visible: &Visible) -> Self {
        let key = attribute.key.iter().filter(|(name, _)| visible.shows(name));
        Self {
            name: attribute.name,
            value: &attribute.value,
            unit: attribute.unit,
            observed_at: attribute.observed_at.to_rfc3339(),
            received_at: attribute.received_at.to_rfc3339(),
            quality: attribute.quality.name(),
            key: key.map(|(name, value)| ((*name).to_owned(), serde_json::to_value(value).unwrap_or_default())).collect(),
        }
    }
}

/// The members that a feature's properties and a single entity share, without braces.
fn common(out: &mut Vec<u8>, entity: twin::EntityView<'_>, visible: &Visible, at: Timestamp) {
    let texts = [
        ("product", visible.table.product.as_str()),
        ("tenant", visible.table.tenant.as_str()),
        ("type", &visible.contract.entity_type),
        ("name", name(entity, visible)),
        ("quality", entity.quality().name()),
        ("source", entity.source()),
        ("freshness", entity.freshness(at).name()),
    ];
    for (key, text) in texts {
        json(out, key);
        out.push(b':');
        json(out, text);
        out.push(b',');
    }
    let (observed, received) = (entity.observed_at().to_rfc3339(), entity.received_at().to_rfc3339());
    out.extend_from_slice(
        format!("\"observed_at\":\"{observed}\",\"received_at\":\"{received}\",\"simulated\":{}", entity.simulated()).as_bytes(),
    );
}

/// The name comes from a field, which the caller may not be cleared for; then the end of the URN stands in.
fn name<'a>(entity: twin::EntityView<'a>, visible: &Visible) -> &'a str {
    let name = entity.name();
    let hidden = visible.contract.fields.iter().filter(|f| !visible.shows(&f.name));
    let from_hidden = hidden.into_iter().any(|f| matches!(entity.value(&f.name), Some(Value::Text(t)) if *t == *name));
    if from_hidden { entity.id().rsplit(':').next().unwrap_or_default() } else { name }
}

fn geometry(out: &mut Vec<u8>, place: Option<schemas::Position>) {
    match place {
        Some(p) => {
            out.extend_from_slice(b",\"geometry\":{\"type\":\"Point\",\"coordinates\":[");
            json(out, &p.lon);
            out.push(b',');
            json(out, &p.lat);
            out.extend_from_slice(b"]}");
        }
        None => out.extend_from_slice(b",\"geometry\":null"),
    }
}

/// Writing plain values to memory cannot fail.
pub(super) fn json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let _ = serde_json::to_writer(out, value);
}
