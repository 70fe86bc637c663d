//! Files of the register.

use super::{Homography, Purpose, Register, Stream, sector::Sector};
use crate::{IngestError, mapping::keys::Keys};
use schemas::{EntityId, Position, Tenant, Timestamp};
use toml::{Table, Value};

type Result<T> = std::result::Result<T, IngestError>;

/// Corners of a field of view.
const CORNERS_MAX: usize = 1_000;
/// Longest retention that an entry may state.
const RETENTION_DAYS_MAX: f64 = 3_660.0;
const TEXT_MAX: usize = 1_000;
/// Longest name of a line or zone, as the contracts allow.
const ZONE_MAX: usize = 64;

/// Adds what a file holds.
pub(super) fn file(file: &str, text: &str, register: &mut Register) -> Result<()> {
    let mut keys = Keys::file(file, text)?;
    for (i, table) in keys.tables("stream")?.into_iter().enumerate() {
        add(&format!("{file}: stream[{i}]"), table, register)?;
    }
    keys.finish()
}

fn add(place: &str, table: Table, register: &mut Register) -> Result<()> {
    let mut keys = Keys::new(place, table);
    let stream = stream(&mut keys)?;
    let at = register.streams.len();
    if register.by_id.entry(stream.tenant.clone()).or_default().insert(stream.id.clone(), at).is_some() {
        return keys.fail("id", format!("'{}' stands twice in the register of {}", stream.id, stream.tenant));
    }
    let own = register.by_name.entry(stream.tenant.clone()).or_default();
    for name in &stream.names {
        if own.insert(name.clone(), at).is_some() {
            return keys.fail("names", format!("'{name}' is a name of another stream too; one name means one stream"));
        }
    }
    register.streams.push(stream);
    keys.finish()
}

fn stream(keys: &mut Keys) -> Result<Stream> {
    let id = need(keys, "id")?;
    keys.called(&id);
    if id != EntityId::local_part(&id) || id.is_empty() {
        return keys.fail("id", "must be lower-case letters, digits, '.', '-' and '_'");
    }
    let day = |text: &str| Timestamp::parse(&if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() });
    let valid_from =
        keys.parsed("valid_from", day)?.ok_or_else(|| keys.error("valid_from", "is missing; write a date, for example 2026-01-01"))?;
    let valid_to = keys.parsed("valid_to", day)?;
    if valid_to.is_some_and(|to| to <= valid_from) {
        return keys.fail("valid_to", "must be after valid_from");
    }
    let retention_days = keys.number("retention_days", 0.0)?;
    if !(1.0..=RETENTION_DAYS_MAX).contains(&retention_days) || retention_days.fract() != 0.0 {
        return keys.fail("retention_days", format!("must be a whole number from 1 to {RETENTION_DAYS_MAX}"));
    }
    let tenant = keys.parsed("tenant", Tenant::new)?.ok_or_else(|| keys.error("tenant", "is missing"))?;
    let position = position(keys)?;
    let sector = sector(keys, position)?;
    Ok(Stream {
        names: texts(keys, "names", TEXT_MAX)?,
        owner: need(keys, "owner")?,
        contact: need(keys, "contact")?,
        purpose: Purpose { it: need(keys, "purpose_it")?, en: need(keys, "purpose_en")? },
        legal_basis: need(keys, "legal_basis")?,
        dpia: need(keys, "dpia")?,
        retention_days: retention_days as u32,
        recipients: texts(keys, "recipients", TEXT_MAX)?,
        position,
        field_of_view: ring(keys, sector)?,
        zones: optional_texts(keys, "zones", ZONE_MAX)?,
        image: image(keys)?,
        homography: homography(keys)?,
        id,
        tenant,
        valid_from,
        valid_to,
    })
}

fn need(keys: &mut Keys, key: &'static str) -> Result<String> {
    let text = keys.need_text(key)?;
    if text.trim().is_empty() || text.len() > TEXT_MAX {
        return keys.fail(key, format!("must be a text of 1 to {TEXT_MAX} bytes"));
    }
    Ok(text)
}

fn texts(keys: &mut Keys, key: &'static str, len_max: usize) -> Result<Vec<String>> {
    let list = optional_texts(keys, key, len_max)?;
    if list.is_empty() { keys.fail(key, "must be a list with at least one text") } else { Ok(list) }
}

fn optional_texts(keys: &mut Keys, key: &'static str, len_max: usize) -> Result<Vec<String>> {
    let list = keys.list(key)?;
    let text = |v: Value| match v {
        Value::String(text) if !text.trim().is_empty() && text.len() <= len_max => Ok(text),
        _ => keys.fail(key, format!("must be a list of texts of 1 to {len_max} bytes")),
    };
    list.into_iter().map(text).collect()
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Float(n) if n.is_finite() => Some(*n),
        Value::Integer(n) => Some(*n as f64),
        _ => None,
    }
}

fn numbers<const N: usize>(value: &Value) -> Option<[f64; N]> {
    let list: Vec<f64> = value.as_array()?.iter().map(number).collect::<Option<_>>()?;
    list.try_into().ok()
}

fn position(keys: &mut Keys) -> Result<Option<Position>> {
    match keys.take("position").as_ref().map(numbers::<2>) {
        None => Ok(None),
        Some(at) => match at.and_then(|[lon, lat]| Position::new(lon, lat)) {
            Some(at) => Ok(Some(at)),
            None => keys.fail("position", "must be [longitude, latitude] in degrees, WGS 84"),
        },
    }
}

/// `bearing`, `angle` and `range_m`, all or none.
fn sector(keys: &mut Keys, position: Option<Position>) -> Result<Option<Sector>> {
    let [bearing, angle, range_m] = ["bearing", "angle", "range_m"].map(|key| keys.take(key).map(|v| number(&v).unwrap_or(f64::NAN)));
    let (Some(bearing), Some(angle), Some(range_m)) = (bearing, angle, range_m) else {
        let none = bearing.is_none() && angle.is_none() && range_m.is_none();
        return if none { Ok(None) } else { keys.fail("bearing", "comes with 'angle' and 'range_m'; write all three or none") };
    };
    let Some(from) = position else { return keys.fail("position", "is missing; a bearing needs the place that it is taken from") };
    match Sector::new(from, bearing, angle, range_m) {
        Ok(sector) => Ok(Some(sector)),
        Err((key, rule)) => keys.fail(key, rule),
    }
}

fn ring(keys: &mut Keys, sector: Option<Sector>) -> Result<Vec<Position>> {
    let list = keys.list("field_of_view")?;
    if let (Some(sector), true) = (sector, list.is_empty()) {
        return Ok(sector.ring());
    }
    let corner = |v: &Value| numbers::<2>(v).and_then(|[lon, lat]| Position::new(lon, lat));
    let mut ring: Vec<Position> = match list.iter().map(corner).collect::<Option<_>>() {
        Some(ring) => ring,
        None => return keys.fail("field_of_view", "must be a list of [longitude, latitude] in degrees, WGS 84"),
    };
    if ring.len() > 3 && ring.first().map(|p| (p.lon, p.lat)) == ring.last().map(|p| (p.lon, p.lat)) {
        ring.pop();
    }
    if (3..=CORNERS_MAX).contains(&ring.len()) {
        Ok(ring)
    } else {
        keys.fail("field_of_view", format!("must have 3 to {CORNERS_MAX} corners: the ground that the camera may observe; or write position, bearing, angle and range_m"))
    }
}

fn image(keys: &mut Keys) -> Result<Option<(f64, f64)>> {
    match keys.take("image").as_ref().map(numbers::<2>) {
        None => Ok(None),
        Some(Some([w, h])) if w >= 1.0 && h >= 1.0 => Ok(Some((w, h))),
        Some(_) => keys.fail("image", "must be [width, height] in pixels"),
    }
}

fn homography(keys: &mut Keys) -> Result<Option<Homography>> {
    match keys.take("homography").as_ref().map(numbers::<9>) {
        None => Ok(None),
        Some(Some(m)) => Homography::new(m).map(Some).map_err(|rule| keys.error("homography", rule)),
        Some(None) => keys.fail("homography", "must be a list of nine numbers, row by row"),
    }
}
