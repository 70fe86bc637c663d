//! Mapping files. `ingest/mappings/*.toml` are examples with every key.

use super::{
    EntityRule, FieldRule, FieldSource, Mapping, Mappings, QualityRule, Scalar, UnknownFields,
    keys::Keys,
    pointer::Pointer,
    template::{TenantRule, TextTemplate, TopicTemplate},
};
use crate::{
    IngestError, chirpstack,
    decode::time::TimeFormat,
    format::{self, Chosen},
};
use schemas::{ProductId, Quality, Tenant};
use toml::{Table, Value};

type Result<T> = std::result::Result<T, IngestError>;

/// For senders without a clock; said in the mapping, so that nobody takes it for the time of observation by accident.
const RECEIPT: &str = "receipt";

/// Adds what a file holds to `all`.
pub fn file(file: &str, text: &str, all: &mut Mappings) -> Result<()> {
    let mut keys = Keys::file(file, text)?;
    for value in keys.list("drop")? {
        let Value::String(topic) = value else { return keys.fail("drop", "must be a list of topic templates") };
        all.dropped.push(TopicTemplate::parse(&topic).map_err(|e| keys.error("drop", e))?);
    }
    for value in keys.list("influx_entity_tags")? {
        let Value::String(tag) = value else { return keys.fail("influx_entity_tags", "must be a list of names of tags") };
        all.entity_tags.push(tag);
    }
    for (i, table) in keys.tables("mapping")?.into_iter().enumerate() {
        let mapping = mapping(&format!("{file}: mapping[{i}]"), table, &mut all.formats)?;
        all.list.push(mapping);
    }
    let devices = keys.tables("chirpstack")?;
    if !devices.is_empty() {
        chirpstack::add(file, devices, all)?;
    }
    keys.finish()
}

fn mapping(place: &str, table: Table, formats: &mut Vec<Chosen>) -> Result<Mapping> {
    let mut keys = Keys::new(place, table);
    let name = keys.need_text("name")?;
    keys.called(&name);
    let topic = keys.parsed("topic", TopicTemplate::parse)?.ok_or_else(|| keys.error("topic", "is missing"))?;
    let names: Vec<&str> = topic.names().collect();
    let product = keys.parsed("product", ProductId::new)?.ok_or_else(|| keys.error("product", "is missing"))?;
    let tenant = tenant(&mut keys, &names)?;
    let entity = entity(&mut keys, &names)?;
    let (observed_at, time_format) = time(&mut keys)?;
    let mapping = Mapping {
        entity,
        format: format(&mut keys, formats)?,
        codec: keys.text("codec")?,
        each: keys.parsed("each", Pointer::parse)?,
        when: when(&mut keys)?,
        lon: keys.parsed("lon", Pointer::parse)?,
        lat: keys.parsed("lat", Pointer::parse)?,
        quality: quality(&mut keys)?,
        simulated: keys.parsed("simulated", Pointer::parse)?,
        fields: fields(&mut keys)?,
        unknown_fields: keys.parsed("unknown_fields", unknown_fields)?.unwrap_or(UnknownFields::Quarantine),
        name: keys.place().to_owned(),
        topic: topic.clone(),
        product,
        tenant,
        observed_at,
        time_format,
    };
    if mapping.lon.is_some() != mapping.lat.is_some() {
        return keys.fail("lon", "lon and lat come together");
    }
    if mapping.each.is_none() && pointers(&mapping).any(|p| p.from_root) {
        return keys.fail("each", "a pointer with '^' needs 'each'; write it without '^'");
    }
    keys.finish()?;
    Ok(mapping)
}

fn format(keys: &mut Keys, formats: &mut Vec<Chosen>) -> Result<Option<Chosen>> {
    let Some(chosen) = keys.parsed("format", format::named)? else { return Ok(None) };
    if let Some(known) = formats.iter().find(|f| f.name == chosen.name) {
        return Ok(Some(known.clone()));
    }
    formats.push(chosen.clone());
    Ok(Some(chosen))
}

fn pointers(m: &Mapping) -> impl Iterator<Item = &Pointer> {
    let entity = match &m.entity {
        EntityRule::Payload(p) => Some(p),
        EntityRule::Topic(_) => None,
    };
    let fields = m.fields.iter().filter_map(|(_, f)| match &f.source {
        FieldSource::Pointer(p) => Some(p),
        FieldSource::Constant(_) => None,
    });
    let others = [m.lon.as_ref(), m.lat.as_ref(), m.quality.pointer.as_ref(), m.simulated.as_ref()];
    [Some(&m.observed_at), entity].into_iter().chain(others).flatten().chain(fields)
}

fn unknown_fields(text: &str) -> std::result::Result<UnknownFields, &'static str> {
    match text {
        "quarantine" => Ok(UnknownFields::Quarantine),
        "ignore" => Ok(UnknownFields::Ignore),
        "drop" => Ok(UnknownFields::Drop),
        _ => Err("must be 'quarantine', 'ignore' or 'drop'"),
    }
}

fn tenant(keys: &mut Keys, names: &[&str]) -> Result<TenantRule> {
    let rule = |text: &str| match text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
        Some(name) if names.contains(&name) => Ok(TenantRule::Captured(name.to_owned())),
        Some(name) => Err(format!("'{{{name}}}' is not in the topic")),
        None => Tenant::new(text).map(TenantRule::Fixed).map_err(|e| e.to_string()),
    };
    Ok(keys.parsed("tenant", rule)?.unwrap_or(TenantRule::Sender))
}

fn entity(keys: &mut Keys, names: &[&str]) -> Result<EntityRule> {
    let rule = |text: &str| {
        if text.starts_with(['/', '^']) {
            Pointer::parse(text).map(EntityRule::Payload)
        } else {
            TextTemplate::parse(text, names).map(EntityRule::Topic)
        }
    };
    keys.parsed("entity", rule)?.ok_or_else(|| keys.error("entity", "is missing; write a text with {names} of the topic, or a pointer"))
}

fn time(keys: &mut Keys) -> Result<(Pointer, TimeFormat)> {
    let place = format!("{}: observed_at", keys.place());
    match keys.take("observed_at") {
        Some(Value::String(text)) if text == RECEIPT => Ok((Pointer { path: Vec::new(), from_root: false }, TimeFormat::Receipt)),
        Some(Value::String(text)) => Ok((Pointer::parse(&text).map_err(|e| keys.error("observed_at", e))?, TimeFormat::Auto)),
        Some(Value::Table(table)) => {
            let mut keys = Keys::new(place, table);
            let pointer = keys.parsed("pointer", Pointer::parse)?.ok_or_else(|| keys.error("pointer", "is missing"))?;
            let zone = keys.text("zone")?;
            let format = keys.text("format")?;
            let format = TimeFormat::named(format.as_deref().unwrap_or("auto"), zone.as_deref()).map_err(|e| keys.error("format", e))?;
            let format = match keys.text("or")?.as_deref() {
                None => format,
                Some(RECEIPT) => TimeFormat::OrReceipt(Box::new(format)),
                Some(_) => return keys.fail("or", format!("must be '{RECEIPT}'")),
            };
            keys.finish()?;
            Ok((pointer, format))
        }
        _ => keys.fail("observed_at", format!("must be a pointer, or {{ pointer, format, zone, or }}, or \"{RECEIPT}\"")),
    }
}

fn when(keys: &mut Keys) -> Result<Vec<(Pointer, String)>> {
    let table = keys.table("when")?;
    let entry = |(key, value): (String, Value)| match (Pointer::parse(&key), value) {
        (Ok(pointer), Value::String(text)) => Ok((pointer, text)),
        (Ok(_), _) => keys.fail("when", format!("'{key}' must be compared with a text")),
        (Err(e), _) => keys.fail("when", e),
    };
    table.into_iter().map(entry).collect()
}

/// Shared with `[[chirpstack]]`.
pub(crate) fn quality(keys: &mut Keys) -> Result<QualityRule> {
    let mut rule = QualityRule { pointer: None, table: Vec::new(), default: Quality::Unchecked };
    let place = format!("{}: quality", keys.place());
    let name = |text: &str| Quality::from_name(text).ok_or("must be one of valid, unchecked, suspect, invalid");
    match keys.take("quality") {
        None => {}
        Some(Value::String(text)) => rule.pointer = Some(Pointer::parse(&text).map_err(|e| keys.error("quality", e))?),
        Some(Value::Table(table)) => {
            let mut inner = Keys::new(place, table);
            rule.pointer = inner.parsed("pointer", Pointer::parse)?;
            rule.default = inner.parsed("default", name)?.unwrap_or(Quality::Unchecked);
            for (flag, value) in inner.table("table")? {
                let quality = value.as_str().and_then(Quality::from_name);
                rule.table.push((flag, quality.ok_or_else(|| inner.error("table", "values are valid, unchecked, suspect, invalid"))?));
            }
            inner.finish()?;
        }
        Some(_) => return keys.fail("quality", "must be a pointer, or { pointer, table, default }"),
    }
    Ok(rule)
}

/// Shared with `[[chirpstack]]`.
pub(crate) fn fields(keys: &mut Keys) -> Result<Vec<(String, FieldRule)>> {
    let table = keys.table("fields")?;
    if table.is_empty() {
        return keys.fail("fields", "is missing; name at least one field of the contract");
    }
    table.into_iter().map(|(name, value)| field(keys, &name, value).map(|rule| (name, rule))).collect()
}

fn field(keys: &Keys, name: &str, value: Value) -> Result<FieldRule> {
    let place = format!("{}: fields.{name}", keys.place());
    let table = match value {
        Value::String(text) => return Ok(FieldRule::plain(Pointer::parse(&text).map_err(|e| keys.error(name, e))?)),
        Value::Table(table) => table,
        _ => {
            return keys.fail(name, "must be a pointer, or { pointer, scale, offset, absent, number_in_text, unit_in_text }, or { value }");
        }
    };
    let mut keys = Keys::new(place, table);
    let source = match (keys.parsed("pointer", Pointer::parse)?, keys.take("value")) {
        (Some(pointer), None) => FieldSource::Pointer(pointer),
        (None, Some(value)) => FieldSource::Constant(scalar(&keys, "value", value)?),
        _ => return keys.fail("pointer", "give either 'pointer' or 'value'"),
    };
    let absent = keys.list("absent")?;
    let rule = FieldRule {
        source,
        scale: keys.number("scale", 1.0)?,
        offset: keys.number("offset", 0.0)?,
        absent: absent.into_iter().map(|v| scalar(&keys, "absent", v)).collect::<Result<_>>()?,
        unit_in_text: keys.text("unit_in_text")?,
        number_in_text: keys.flag("number_in_text")?,
    };
    keys.finish()?;
    Ok(rule)
}

fn scalar(keys: &Keys, key: &str, value: Value) -> Result<Scalar> {
    match value {
        Value::String(text) => Ok(Scalar::Text(text)),
        Value::Integer(n) => Ok(Scalar::Number(n as f64)),
        Value::Float(n) => Ok(Scalar::Number(n)),
        Value::Boolean(b) => Ok(Scalar::Bool(b)),
        _ => keys.fail(key, "must be a number, a text, true or false"),
    }
}
